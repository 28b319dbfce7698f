//! Consumer protocol (KIP-848).

use super::reason;
use crate::config::property::{Owner, Section, int, list, string};

pub(super) const SECTION: Section = Section {
    title: "Consumer protocol (KIP-848)",
    intro: "Bounds and defaults of groups with the consumer protocol.",
    owner: Owner::Broker,
    rows: &[
        int("group.consumer.session.timeout.ms")
            .default("45000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Time without heartbeats after which a member is removed."),
        int("group.consumer.min.session.timeout.ms")
            .default("45000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Smallest session timeout that a group may configure."),
        int("group.consumer.max.session.timeout.ms")
            .default("60000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Largest session timeout that a group may configure."),
        int("group.consumer.heartbeat.interval.ms")
            .default("5000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Heartbeat interval that members are told."),
        int("group.consumer.min.heartbeat.interval.ms")
            .default("5000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Smallest heartbeat interval that a group may configure."),
        int("group.consumer.max.heartbeat.interval.ms")
            .default("15000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Largest heartbeat interval that a group may configure."),
        int("group.consumer.assignment.interval.ms")
            .default("1000")
            .at_least(0)
            .ms()
            .cluster_wide()
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Least time between two assignments of a group."),
        int("group.consumer.min.assignment.interval.ms")
            .default("0")
            .at_least(0)
            .ms()
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Smallest assignment interval that a group may configure."),
        int("group.consumer.max.assignment.interval.ms")
            .default("15000")
            .at_least(0)
            .ms()
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Largest assignment interval that a group may configure."),
        int("group.consumer.max.size")
            .default("2147483647")
            .at_least(1)
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Largest number of members of a group."),
        list("group.consumer.assignors")
            .default("uniform,range")
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Assignors of the broker; the first is the default."),
        string("group.consumer.migration.policy")
            .default("bidirectional")
            .one_of_any_case(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"])
            .no_effect(reason::NO_CONSUMER_PROTOCOL)
            .doc("Which conversions between classic and consumer protocol a group may make."),
    ],
};
