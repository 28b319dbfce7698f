//! The ways between hosts: how fast they are, and which are blocked.

use std::time::Duration;

use super::{HostId, Net, State};

/// How long a segment takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSpeed {
    pub min: Duration,
    pub max: Duration,
}

/// One direction between two hosts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    is_blocked: bool,
    speed: Option<LinkSpeed>,
}

impl Net {
    /// Blocks or opens one direction.
    pub(in super::super) fn set_blocked(&self, from: HostId, to: HostId, is_blocked: bool) {
        self.with(|state| {
            let link = state.links.entry((from, to)).or_default();
            if link.is_blocked != is_blocked {
                link.is_blocked = is_blocked;
                state.paths_changed();
            }
        });
    }

    /// Opens every direction and gives all links the speed of the network.
    pub(in super::super) fn heal(&self) {
        self.with(|state| {
            state.links.clear();
            for host in &mut state.hosts {
                host.refuses = false;
            }
            state.paths_changed();
        });
    }

    pub(in super::super) fn set_speed(&self, from: HostId, to: HostId, speed: Option<LinkSpeed>) {
        self.with(|state| state.links.entry((from, to)).or_default().speed = speed);
    }

    pub(in super::super) fn is_blocked(&self, from: HostId, to: HostId) -> bool {
        self.with(|state| state.is_blocked(from, to))
    }
}

impl State {
    pub(super) fn is_blocked(&self, from: HostId, to: HostId) -> bool {
        from != to && self.links.get(&(from, to)).is_some_and(|link| link.is_blocked)
    }

    /// Whether a segment that arrives now gets to the host.
    pub(super) fn is_open(&self, from: HostId, to: HostId) -> bool {
        self.hosts[to.0].is_up && !self.is_blocked(from, to)
    }

    /// How long a segment takes that is sent now.
    pub(super) fn latency_ns(&mut self, from: HostId, to: HostId) -> u64 {
        let own = self.links.get(&(from, to)).and_then(|link| link.speed);
        let speed = match own {
            _ if from == to => self.config.loopback,
            Some(speed) => speed,
            None => self.config.link,
        };
        let (min, max) = (nanos(speed.min), nanos(speed.max));
        let mut latency = min + self.chance.below(max.saturating_sub(min) + 1);
        if from != to && self.chance.happens(self.config.loss_ppm) {
            self.counts.lost += 1;
            latency += nanos(self.config.retransmit_min);
        }
        latency
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
