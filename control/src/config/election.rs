//! What the choice of a partition's leader depends on, in its topic's configuration.

use super::read::Reader;

/// Read apart from the rest: a broker's death asks it of each of the broker's topics.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ElectionConfig {
    /// As configured; a partition with fewer replicas needs no more than it has.
    pub min_insync_replicas: usize,
    /// Whether a replica that is not in sync may lead where no other is left.
    pub unclean_election: bool,
}

impl ElectionConfig {
    pub(super) fn read(reader: &Reader<'_>) -> ElectionConfig {
        ElectionConfig {
            min_insync_replicas: reader.count("min.insync.replicas") as usize,
            unclean_election: reader.boolean("unclean.leader.election.enable"),
        }
    }
}
