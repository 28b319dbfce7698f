//! Metadata log.

use super::reason;
use crate::config::property::{Owner, Section, int, long, string};

pub(super) const SECTION: Section = Section {
    title: "Metadata log",
    intro: "The log of cluster metadata and its snapshots.",
    owner: Owner::Broker,
    rows: &[
        string("metadata.log.dir")
            .high()
            .no_effect(reason::METADATA_DIR)
            .doc("Directory of the metadata log; unset: the first of log.dirs."),
        long("metadata.log.max.record.bytes.between.snapshots")
            .default("20971520")
            .at_least(1)
            .high()
            .doc(
                "Bytes of metadata records after which a new snapshot is written. Smaller: faster \
                 start, more writing.",
            ),
        long("metadata.log.max.snapshot.interval.ms")
            .default("3600000")
            .at_least(0)
            .ms()
            .high()
            .no_effect(reason::METADATA_SIZE)
            .doc("Longest time between two metadata snapshots while there are changes."),
        int("metadata.log.segment.bytes")
            .default("1073741824")
            .at_least(8388608)
            .bytes()
            .high()
            .no_effect(reason::METADATA_SIZE)
            .doc("Size at which a segment of the metadata log is closed."),
        long("metadata.log.segment.ms")
            .default("604800000")
            .ms()
            .high()
            .no_effect(reason::METADATA_SIZE)
            .doc("Age at which a segment of the metadata log is closed."),
        int("metadata.max.idle.interval.ms")
            .default("500")
            .at_least(0)
            .ms()
            .low()
            .no_effect(reason::NO_IDLE_RECORDS)
            .doc("How often the active controller writes a no-op record when it is idle."),
        long("metadata.max.retention.bytes")
            .default("104857600")
            .bytes()
            .high()
            .no_effect(reason::METADATA_SIZE)
            .doc("Size of metadata log and snapshots beyond which the oldest are deleted."),
        long("metadata.max.retention.ms")
            .default("604800000")
            .ms()
            .high()
            .no_effect(reason::METADATA_SIZE)
            .doc("Age of metadata log and snapshots beyond which they are deleted."),
    ],
};
