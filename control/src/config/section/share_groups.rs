//! Share groups (KIP-932).

use super::reason;
use crate::config::property::{Owner, Section, int};

pub(super) const SECTION: Section = Section {
    title: "Share groups (KIP-932)",
    intro: "Bounds and defaults of share groups.",
    owner: Owner::Broker,
    rows: &[
        int("group.share.session.timeout.ms")
            .default("45000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Time without heartbeats after which a member is removed."),
        int("group.share.min.session.timeout.ms")
            .default("45000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Smallest session timeout that a group may configure."),
        int("group.share.max.session.timeout.ms")
            .default("60000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Largest session timeout that a group may configure."),
        int("group.share.heartbeat.interval.ms")
            .default("5000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Heartbeat interval that members are told."),
        int("group.share.min.heartbeat.interval.ms")
            .default("5000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Smallest heartbeat interval that a group may configure."),
        int("group.share.max.heartbeat.interval.ms")
            .default("15000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Largest heartbeat interval that a group may configure."),
        int("group.share.assignment.interval.ms")
            .default("1000")
            .at_least(0)
            .ms()
            .cluster_wide()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Least time between two assignments of a group."),
        int("group.share.min.assignment.interval.ms")
            .default("0")
            .at_least(0)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Smallest assignment interval that a group may configure."),
        int("group.share.max.assignment.interval.ms")
            .default("15000")
            .at_least(0)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Largest assignment interval that a group may configure."),
        int("group.share.delivery.count.limit")
            .default("5")
            .between(2, 10)
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("How often a record is delivered before it is given up."),
        int("group.share.min.delivery.count.limit")
            .default("2")
            .between(2, 5)
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Smallest delivery count that a group may configure."),
        int("group.share.max.delivery.count.limit")
            .default("10")
            .between(5, 25)
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Largest delivery count that a group may configure."),
        int("group.share.record.lock.duration.ms")
            .default("30000")
            .between(1000, 3600000)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("How long a record is locked for the member that got it."),
        int("group.share.min.record.lock.duration.ms")
            .default("15000")
            .between(1000, 30000)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Smallest lock duration that a group may configure."),
        int("group.share.max.record.lock.duration.ms")
            .default("60000")
            .between(30000, 3600000)
            .ms()
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Largest lock duration that a group may configure."),
        int("group.share.partition.max.record.locks")
            .default("2000")
            .between(100, 10000)
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Records of one partition that may be locked at a time."),
        int("group.share.min.partition.max.record.locks")
            .default("100")
            .between(100, 2000)
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Smallest number of record locks that a group may configure."),
        int("group.share.max.partition.max.record.locks")
            .default("4000")
            .between(2000, 10000)
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Largest number of record locks that a group may configure."),
        int("group.share.max.size")
            .default("200")
            .between(1, 1000)
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Largest number of members of a group."),
        int("group.share.max.share.sessions")
            .default("2000")
            .at_least(1)
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Share sessions kept at a time."),
    ],
};
