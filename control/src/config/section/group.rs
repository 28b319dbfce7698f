//! Group configuration.

use super::reason;
use crate::config::property::{Owner, Section, boolean, int, same, string};

pub(super) const SECTION: Section = Section {
    title: "Group configuration",
    intro: "Set per group.",
    owner: Owner::Group,
    rows: &[
        int("consumer.session.timeout.ms")
            .default("45000")
            .at_least(1)
            .ms()
            .synonyms(&[same("group.consumer.session.timeout.ms")])
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Time without heartbeats after which a member is removed."),
        int("consumer.heartbeat.interval.ms")
            .default("5000")
            .at_least(1)
            .ms()
            .synonyms(&[same("group.consumer.heartbeat.interval.ms")])
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Heartbeat interval that members are told."),
        int("consumer.assignment.interval.ms")
            .default("1000")
            .at_least(0)
            .ms()
            .synonyms(&[same("group.consumer.assignment.interval.ms")])
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Least time between two assignments of the group."),
        int("share.session.timeout.ms")
            .default("45000")
            .at_least(1)
            .ms()
            .synonyms(&[same("group.share.session.timeout.ms")])
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Time without heartbeats after which a member is removed."),
        int("share.heartbeat.interval.ms")
            .default("5000")
            .at_least(1)
            .ms()
            .synonyms(&[same("group.share.heartbeat.interval.ms")])
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Heartbeat interval that members are told."),
        int("share.assignment.interval.ms")
            .default("1000")
            .at_least(0)
            .ms()
            .synonyms(&[same("group.share.assignment.interval.ms")])
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Least time between two assignments of the group."),
        string("share.auto.offset.reset")
            .default("latest")
            .offset_reset()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Where a new group begins: latest, earliest or by_duration:<ISO 8601 duration>."),
        int("share.delivery.count.limit")
            .default("5")
            .at_least(2)
            .synonyms(&[same("group.share.delivery.count.limit")])
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("How often a record is delivered before it is given up."),
        string("share.isolation.level")
            .default("read_uncommitted")
            .one_of(&["read_committed", "read_uncommitted"])
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Whether records of open transactions are delivered."),
        int("share.partition.max.record.locks")
            .default("2000")
            .at_least(100)
            .synonyms(&[same("group.share.partition.max.record.locks")])
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Records of one partition that may be locked at a time."),
        int("share.record.lock.duration.ms")
            .default("30000")
            .at_least(1000)
            .ms()
            .synonyms(&[same("group.share.record.lock.duration.ms")])
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("How long a record is locked for the member that got it."),
        boolean("share.renew.acknowledge.enable")
            .default("true")
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Let members renew the lock of a record."),
        int("streams.session.timeout.ms")
            .default("45000")
            .at_least(1)
            .ms()
            .synonyms(&[same("group.streams.session.timeout.ms")])
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Time without heartbeats after which a member is removed."),
        int("streams.heartbeat.interval.ms")
            .default("5000")
            .at_least(1)
            .ms()
            .synonyms(&[same("group.streams.heartbeat.interval.ms")])
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Heartbeat interval that members are told."),
        int("streams.assignment.interval.ms")
            .default("1000")
            .at_least(0)
            .ms()
            .synonyms(&[same("group.streams.assignment.interval.ms")])
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Least time between two assignments of the group."),
        int("streams.initial.rebalance.delay.ms")
            .default("3000")
            .at_least(0)
            .ms()
            .synonyms(&[same("group.streams.initial.rebalance.delay.ms")])
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("How long the first assignment of an empty group waits for more members."),
        int("streams.num.standby.replicas")
            .default("0")
            .at_least(0)
            .synonyms(&[same("group.streams.num.standby.replicas")])
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Standby copies of each task."),
    ],
};
