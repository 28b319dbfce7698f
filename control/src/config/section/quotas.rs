//! Quotas.

use super::reason;
use crate::config::property::{Owner, Section, class, int, long};

pub(super) const SECTION: Section = Section {
    title: "Quotas",
    intro: "Measuring windows of rate limits.",
    owner: Owner::Broker,
    rows: &[
        int("quota.window.num")
            .default("11")
            .at_least(1)
            .low()
            .no_effect(reason::NO_QUOTAS)
            .doc("Samples kept for client quotas."),
        int("quota.window.size.seconds")
            .default("1")
            .at_least(1)
            .seconds()
            .low()
            .no_effect(reason::NO_QUOTAS)
            .doc("Length of one sample for client quotas."),
        int("controller.quota.window.num")
            .default("11")
            .at_least(1)
            .low()
            .no_effect(reason::NO_QUOTAS)
            .doc("Samples kept for quotas on topic changes."),
        int("controller.quota.window.size.seconds")
            .default("1")
            .at_least(1)
            .seconds()
            .low()
            .no_effect(reason::NO_QUOTAS)
            .doc("Length of one sample for quotas on topic changes."),
        int("replication.quota.window.num")
            .default("11")
            .at_least(1)
            .low()
            .no_effect(reason::NO_SAMPLES)
            .doc("Samples kept for replication quotas."),
        int("replication.quota.window.size.seconds")
            .default("1")
            .at_least(1)
            .seconds()
            .low()
            .no_effect(reason::NO_SAMPLES)
            .doc("Length of one sample for replication quotas."),
        int("alter.log.dirs.replication.quota.window.num")
            .default("11")
            .at_least(1)
            .low()
            .no_effect(reason::MOVES)
            .doc("Samples kept for quotas on moves between directories."),
        int("alter.log.dirs.replication.quota.window.size.seconds")
            .default("1")
            .at_least(1)
            .seconds()
            .low()
            .no_effect(reason::MOVES)
            .doc("Length of one sample for quotas on moves between directories."),
        class("client.quota.callback.class")
            .low()
            .refused_unless_default(reason::JAVA_RULES)
            .doc("Java class that decides client quotas."),
        long("leader.replication.throttled.rate")
            .default("9223372036854775807")
            .at_least(0)
            .dynamic_only()
            .doc("Bytes per second that throttled replicas may be sent by their leaders."),
        long("follower.replication.throttled.rate")
            .default("9223372036854775807")
            .at_least(0)
            .dynamic_only()
            .doc("Bytes per second that throttled replicas may fetch."),
        long("replica.alter.log.dirs.io.max.bytes.per.second")
            .default("9223372036854775807")
            .at_least(0)
            .bytes_per_second()
            .dynamic_only()
            .no_effect(reason::MOVES)
            .doc("Bytes per second for moves between directories."),
    ],
};
