//! What a world is made of.

use crate::sim::config::{Faults, Latency};
use crate::sim::net::NetConfig;

#[derive(Clone, Copy, Debug)]
pub struct WorldConfig {
    pub seed: u64,
    pub net: NetConfig,
    /// Of the disks of hosts, until [`World::set_faults`](super::World::set_faults) says otherwise.
    pub faults: Faults,
    pub latency: Latency,
    /// Keep readable traces.
    pub trace: bool,
    /// Polls of all tasks after which the world counts as stuck.
    pub polls_max: u64,
    /// What one poll takes of its host's processor.
    pub poll_ns: u64,
}

impl WorldConfig {
    /// A healthy world.
    pub fn new(seed: u64) -> WorldConfig {
        WorldConfig {
            seed,
            net: NetConfig::default(),
            faults: Faults::default(),
            latency: Latency::default(),
            trace: false,
            polls_max: 50_000_000,
            poll_ns: 2_000,
        }
    }
}
