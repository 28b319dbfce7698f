//! Retention.

use super::reason;
use super::synonym;
use crate::config::property::{Owner, Section, int, list, long};

pub(super) const SECTION: Section = Section {
    title: "Retention",
    intro: "When old records are deleted.",
    owner: Owner::Broker,
    rows: &[
        list("log.cleanup.policy")
            .default("delete")
            .each_of(&["compact", "delete"])
            .cluster_wide()
            .doc(
                "What happens to old segments: delete them, compact them by key, both, or (empty) \
                 keep them forever.",
            ),
        long("log.retention.ms")
            .ms()
            .high()
            .cluster_wide()
            .synonyms(synonym::RETENTION_MS)
            .doc("Age at which records are deleted; -1: never; unset: log.retention.minutes."),
        int("log.retention.minutes")
            .minutes()
            .high()
            .synonyms(synonym::RETENTION_MS)
            .doc(
                "Age in minutes at which records are deleted, where log.retention.ms is unset; unset: \
                 log.retention.hours.",
            ),
        int("log.retention.hours")
            .default("168")
            .hours()
            .high()
            .synonyms(synonym::RETENTION_MS)
            .doc(
                "Age in hours at which records are deleted, where neither log.retention.ms nor \
                 log.retention.minutes is set.",
            ),
        long("log.retention.bytes")
            .default("-1")
            .bytes()
            .high()
            .cluster_wide()
            .doc("Size of a partition beyond which its oldest segments are deleted; -1: no limit."),
        long("log.retention.check.interval.ms")
            .default("300000")
            .at_least(1)
            .ms()
            .doc("How often segments are checked for deletion."),
        long("log.segment.delete.delay.ms")
            .default("60000")
            .at_least(0)
            .ms()
            .high()
            .cluster_wide()
            .doc(
                "Time between a segment's removal from the log and the removal of its files, for \
                 reads still under way.",
            ),
        long("log.local.retention.ms")
            .default("-2")
            .at_least(-2)
            .ms()
            .cluster_wide()
            .no_effect(reason::NO_TIERED)
            .doc("Age at which segments that are also in remote storage are deleted here."),
        long("log.local.retention.bytes")
            .default("-2")
            .at_least(-2)
            .bytes()
            .cluster_wide()
            .no_effect(reason::NO_TIERED)
            .doc("Local size beyond which segments that are also in remote storage are deleted here."),
    ],
};
