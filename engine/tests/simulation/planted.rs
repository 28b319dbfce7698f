//! The simulation can fail: each planted bug is found.

use std::process::ExitCode;

use engine::planted::{Bug, plant};
use reactor::sim::seeds;

use crate::Engine;

/// Seeds a bug may hide in.
const SEEDS_MAX: u64 = 5_000;

/// All of them, or the one that `BUG=Name` names, which may be one that need not be found.
pub fn hunt_all() -> ExitCode {
    let wanted = std::env::var("BUG").ok();
    let bugs: Vec<Bug> = match &wanted {
        None => Bug::ALL.to_vec(),
        Some(name) => {
            let known = Bug::ALL.iter().chain(Bug::UNSEEN).copied();
            known.filter(|bug| *name == format!("{bug:?}")).collect()
        }
    };
    seeds::hunt::<Engine, Bug>(&bugs, SEEDS_MAX, plant)
}
