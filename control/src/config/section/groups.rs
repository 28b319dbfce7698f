//! Consumer groups.

use super::reason;
use crate::config::property::{Owner, Section, int, list};

pub(super) const SECTION: Section = Section {
    title: "Consumer groups",
    intro: "The group coordinator and the classic rebalance protocol.",
    owner: Owner::Broker,
    rows: &[
        int("group.min.session.timeout.ms")
            .default("6000")
            .ms()
            .doc("Smallest session timeout a member may ask for."),
        int("group.max.session.timeout.ms")
            .default("1800000")
            .ms()
            .doc("Largest session timeout a member may ask for."),
        int("group.initial.rebalance.delay.ms")
            .default("3000")
            .ms()
            .doc("How long the first rebalance of an empty group waits for more members."),
        int("group.max.size")
            .default("2147483647")
            .at_least(1)
            .doc("Largest number of members of a group."),
        list("group.coordinator.rebalance.protocols")
            .default("classic,consumer,streams")
            .each_of(&["consumer", "classic", "share", "streams"])
            .no_effect(reason::CLASSIC_ONLY)
            .doc("Rebalance protocols that are served."),
        int("group.coordinator.threads")
            .default("4")
            .at_least(1)
            .high()
            .no_effect(reason::THREADS)
            .doc("Threads of the group coordinator."),
        int("group.coordinator.background.threads")
            .default("2")
            .at_least(1)
            .high()
            .no_effect(reason::THREADS)
            .doc("Threads of the group coordinator for background work."),
        int("group.coordinator.append.linger.ms")
            .default("-1")
            .at_least(-1)
            .ms()
            .no_effect(reason::OFFSETS_BATCHING)
            .doc(
                "Time the coordinator gathers writes before they go to the offsets topic; -1: as load \
                 demands.",
            ),
        int("group.coordinator.cached.buffer.max.bytes")
            .default("1048588")
            .at_least(524288)
            .bytes()
            .cluster_wide()
            .no_effect(reason::OFFSETS_BUFFER)
            .doc("Largest write buffer the coordinator keeps for reuse."),
    ],
};
