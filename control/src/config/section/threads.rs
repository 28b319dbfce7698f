//! Threads.

use super::reason;
use crate::config::property::{Owner, Section, int};

pub(super) const SECTION: Section = Section {
    title: "Threads",
    intro: "Kafka's thread pools. ringlog has one thread per core instead.",
    owner: Owner::Broker,
    rows: &[
        int("num.network.threads")
            .default("3")
            .at_least(1)
            .high()
            .cluster_wide()
            .no_effect(reason::THREADS)
            .doc("Threads that read requests and write answers."),
        int("num.io.threads")
            .default("8")
            .at_least(1)
            .high()
            .cluster_wide()
            .no_effect(reason::THREADS)
            .doc("Threads that process requests."),
        int("background.threads")
            .default("10")
            .at_least(1)
            .high()
            .cluster_wide()
            .no_effect(reason::THREADS)
            .doc("Threads for background work."),
        int("num.recovery.threads.per.data.dir")
            .default("2")
            .at_least(1)
            .high()
            .cluster_wide()
            .no_effect(reason::THREADS)
            .doc("Threads per data directory for recovery at start and flushing at stop."),
        int("num.replica.alter.log.dirs.threads")
            .high()
            .no_effect(reason::MOVES)
            .doc("Threads that move replicas between data directories."),
    ],
};
