//! Fetch and request limits.

use super::reason;
use crate::config::property::{Owner, Section, int};

pub(super) const SECTION: Section = Section {
    title: "Fetch and request limits",
    intro: "Bounds of single requests and of what waits.",
    owner: Owner::Broker,
    rows: &[
        int("fetch.max.bytes")
            .default("57671680")
            .at_least(1024)
            .bytes()
            .doc("Largest fetch answer, whatever the client asks for."),
        int("max.incremental.fetch.session.cache.slots")
            .default("1000")
            .at_least(0)
            .doc("Fetch sessions kept at a time, over all connections."),
        int("fetch.purgatory.purge.interval.requests")
            .default("1000")
            .no_effect(reason::PURGATORY)
            .doc("Finished fetch requests that may stay in the waiting room before it is swept."),
        int("producer.purgatory.purge.interval.requests")
            .default("1000")
            .no_effect(reason::PURGATORY)
            .doc("Finished produce requests that may stay in the waiting room before it is swept."),
        int("delete.records.purgatory.purge.interval.requests")
            .default("1")
            .no_effect(reason::PURGATORY)
            .doc("Finished delete-records requests that may stay in the waiting room before it is swept."),
    ],
};
