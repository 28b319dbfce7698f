//! Streams groups (KIP-1071).

use super::reason;
use crate::config::property::{Owner, Section, int};

pub(super) const SECTION: Section = Section {
    title: "Streams groups (KIP-1071)",
    intro: "Bounds and defaults of streams groups.",
    owner: Owner::Broker,
    rows: &[
        int("group.streams.session.timeout.ms")
            .default("45000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Time without heartbeats after which a member is removed."),
        int("group.streams.min.session.timeout.ms")
            .default("45000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Smallest session timeout that a group may configure."),
        int("group.streams.max.session.timeout.ms")
            .default("60000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Largest session timeout that a group may configure."),
        int("group.streams.heartbeat.interval.ms")
            .default("5000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Heartbeat interval that members are told."),
        int("group.streams.min.heartbeat.interval.ms")
            .default("5000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Smallest heartbeat interval that a group may configure."),
        int("group.streams.max.heartbeat.interval.ms")
            .default("15000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Largest heartbeat interval that a group may configure."),
        int("group.streams.assignment.interval.ms")
            .default("1000")
            .at_least(0)
            .ms()
            .cluster_wide()
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Least time between two assignments of a group."),
        int("group.streams.min.assignment.interval.ms")
            .default("0")
            .at_least(0)
            .ms()
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Smallest assignment interval that a group may configure."),
        int("group.streams.max.assignment.interval.ms")
            .default("15000")
            .at_least(0)
            .ms()
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Largest assignment interval that a group may configure."),
        int("group.streams.initial.rebalance.delay.ms")
            .default("3000")
            .at_least(0)
            .ms()
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("How long the first assignment of an empty group waits for more members."),
        int("group.streams.num.standby.replicas")
            .default("0")
            .at_least(0)
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Standby copies of each task."),
        int("group.streams.max.standby.replicas")
            .default("2")
            .at_least(0)
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Largest number of standby copies that a group may configure."),
        int("group.streams.max.size")
            .default("2147483647")
            .at_least(1)
            .no_effect(reason::NO_STREAMS_GROUPS)
            .doc("Largest number of members of a group."),
    ],
};
