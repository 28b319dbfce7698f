//! Every planted bug must be found.

use std::fmt;
use std::process::ExitCode;

use control::quorum::planted as quorum;
use engine::planted as broker;
use reactor::sim::seeds;

use crate::Clusters;

/// In which each must be found.
const SEEDS_MAX: u64 = 1_000;

/// Those of the quorum that whole clusters must find, too. The quorum's own simulation finds all of them; the others need schedules
/// that a cluster with clients comes to once in thousands of seeds.
const OF_QUORUM: &[quorum::Bug] = &[quorum::Bug::UngrantedVoteCounts];

/// Those of the storage engine that clients of a cluster see, too.
const OF_ENGINE: &[broker::Bug] = &[
    broker::Bug::AcknowledgeBeforeSync,
    broker::Bug::CrcSkippedInRecovery,
    broker::Bug::CheckpointWithoutSync,
    broker::Bug::DuplicateNotCommitted,
];

#[derive(Clone, Copy)]
pub enum Planted {
    Broker(broker::Bug),
    Quorum(quorum::Bug),
}

impl fmt::Debug for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Planted::Broker(bug) => bug.fmt(f),
            Planted::Quorum(bug) => write!(f, "Quorum{bug:?}"),
        }
    }
}

impl Planted {
    fn all() -> Vec<Planted> {
        let brokers = broker::Bug::OF_CLUSTERS.iter().chain(OF_ENGINE);
        let brokers = brokers.copied().map(Planted::Broker);
        brokers
            .chain(OF_QUORUM.iter().copied().map(Planted::Quorum))
            .collect()
    }

    /// Switches one on for this thread, or all off.
    pub fn plant(bug: Option<Planted>) {
        let (of_broker, of_quorum) = match bug {
            None => (None, None),
            Some(Planted::Broker(bug)) => (Some(bug), None),
            Some(Planted::Quorum(bug)) => (None, Some(bug)),
        };
        broker::plant(of_broker);
        quorum::plant(of_quorum);
    }
}

/// The one that `BUG=Name` plants, also in a run of ordinary seeds.
pub fn asked_for() -> Option<Planted> {
    let name = std::env::var("BUG").ok()?;
    let of_broker = broker::Bug::UNSEEN_OF_CLUSTERS.iter().chain(broker::Bug::ALL);
    let of_broker = of_broker.copied().map(Planted::Broker);
    let of_quorum = quorum::Bug::ALL.iter().copied().map(Planted::Quorum);
    let mut known = Planted::all().into_iter().chain(of_broker).chain(of_quorum);
    let found = known.find(|bug| format!("{bug:?}") == name);
    Some(found.unwrap_or_else(|| panic!("no planted bug is called {name}")))
}

pub fn hunt_all() -> ExitCode {
    let bugs = match asked_for() {
        Some(bug) => vec![bug],
        None => Planted::all(),
    };
    seeds::hunt::<Clusters, Planted>(&bugs, SEEDS_MAX, Planted::plant)
}
