//! Committed offsets.

use super::reason;
use crate::config::property::{Owner, Section, int, long, short};

pub(super) const SECTION: Section = Section {
    title: "Committed offsets",
    intro: "The topic __consumer_offsets and what it keeps.",
    owner: Owner::Broker,
    rows: &[
        int("offset.metadata.max.bytes")
            .default("4096")
            .bytes()
            .high()
            .doc("Largest text a client may attach to a committed offset."),
        int("offsets.topic.num.partitions")
            .default("50")
            .at_least(1)
            .high()
            .doc("Partitions of the offsets topic; must not change once it exists."),
        short("offsets.topic.replication.factor")
            .default("3")
            .at_least(1)
            .high()
            .doc("Replicas of the offsets topic, at most the number of live brokers when it is created."),
        int("offsets.topic.segment.bytes")
            .default("104857600")
            .at_least(1)
            .bytes()
            .high()
            .doc("Segment size of the offsets topic: small, so that compaction and loading are quick."),
        int("offsets.topic.compression.codec")
            .default("0")
            .high()
            .no_effect(reason::OFFSETS_PLAIN)
            .doc("Codec of the batches in the offsets topic, by number."),
        int("offsets.load.buffer.size")
            .default("5242880")
            .at_least(1)
            .bytes()
            .high()
            .no_effect(reason::OFFSETS_BUFFER)
            .doc("Bytes read at a time when offsets are loaded."),
        int("offsets.commit.timeout.ms")
            .default("5000")
            .at_least(1)
            .ms()
            .high()
            .doc("Longest time an offset commit waits to be durable."),
        int("offsets.retention.minutes")
            .default("10080")
            .at_least(1)
            .minutes()
            .high()
            .doc("How long the offsets of a group without members are kept."),
        long("offsets.retention.check.interval.ms")
            .default("600000")
            .at_least(1)
            .ms()
            .high()
            .doc("How often expired offsets are looked for."),
    ],
};
