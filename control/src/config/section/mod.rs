//! The rows of the table, one file per section.

use super::property::Section;

mod cleaner;
mod connections;
mod consumer_groups;
#[cfg(test)]
mod facts;
mod group;
mod groups;
mod limits;
mod listeners;
mod log;
mod metadata;
mod metrics;
mod node;
mod offsets;
mod quotas;
pub(super) mod reason;
mod replication;
mod retention;
mod ringlog;
mod security;
mod share_groups;
mod streams_groups;
mod synonym;
mod threads;
mod tiered;
mod topic;
mod topics;
mod transactions;

/// In the order of `docs/CONFIG.md`: what an operator sets first comes first.
pub(super) const ALL: &[&Section] = &[
    &node::SECTION,
    &listeners::SECTION,
    &ringlog::SECTION,
    &topics::SECTION,
    &log::SECTION,
    &retention::SECTION,
    &cleaner::SECTION,
    &connections::SECTION,
    &limits::SECTION,
    &offsets::SECTION,
    &groups::SECTION,
    &metadata::SECTION,
    &threads::SECTION,
    &replication::SECTION,
    &transactions::SECTION,
    &consumer_groups::SECTION,
    &share_groups::SECTION,
    &streams_groups::SECTION,
    &quotas::SECTION,
    &security::SECTION,
    &tiered::SECTION,
    &metrics::SECTION,
    &topic::SECTION,
    &group::SECTION,
];
