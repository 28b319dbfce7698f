//! Tiered storage.

use super::reason;
use crate::config::property::{Owner, Section, boolean, int, long, string};

pub(super) const SECTION: Section = Section {
    title: "Tiered storage",
    intro: "Segments in remote storage are not served yet.",
    owner: Owner::Broker,
    rows: &[
        boolean("remote.log.storage.system.enable")
            .default("false")
            .refused_unless_default(reason::NO_TIERED)
            .doc("Keep old segments in remote storage."),
        string("remote.log.storage.manager.class.name")
            .no_effect(reason::NO_TIERED)
            .doc("Java class that moves segments."),
        string("remote.log.metadata.manager.class.name")
            .default("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager")
            .no_effect(reason::NO_TIERED)
            .doc("Java class that keeps the metadata of remote segments."),
        long("remote.log.manager.task.interval.ms")
            .default("30000")
            .at_least(1)
            .ms()
            .low()
            .no_effect(reason::NO_TIERED)
            .doc("How often segments are looked for to move or delete."),
        long("remote.log.index.file.cache.total.size.bytes")
            .default("1073741824")
            .at_least(1)
            .bytes()
            .low()
            .cluster_wide()
            .no_effect(reason::NO_TIERED)
            .doc("Space for cached indexes of remote segments."),
        int("remote.log.reader.threads")
            .default("10")
            .at_least(1)
            .cluster_wide()
            .no_effect(reason::NO_TIERED)
            .doc("Threads that read remote segments."),
        int("remote.fetch.max.wait.ms")
            .default("500")
            .at_least(1)
            .ms()
            .cluster_wide()
            .no_effect(reason::NO_TIERED)
            .doc("Longest time a fetch waits for remote storage."),
    ],
};
