//! Every planted bug must be found.

use std::process::ExitCode;

use engine::planted::{Bug, plant};
use reactor::sim::seeds;

use crate::Clusters;

/// In which each must be found.
const SEEDS_MAX: u64 = 1_000;

/// The one that `BUG=Name` plants, also in a run of ordinary seeds.
pub fn asked_for() -> Option<Bug> {
    let name = std::env::var("BUG").ok()?;
    let mut known = Bug::OF_CLUSTERS.iter().chain(Bug::UNSEEN_OF_CLUSTERS).copied();
    let found = known.find(|bug| format!("{bug:?}") == name);
    Some(found.unwrap_or_else(|| panic!("no planted bug is called {name}")))
}

pub fn hunt_all() -> ExitCode {
    let bugs = match asked_for() {
        Some(bug) => vec![bug],
        None => Bug::OF_CLUSTERS.to_vec(),
    };
    seeds::hunt::<Clusters, Bug>(&bugs, SEEDS_MAX, plant)
}
