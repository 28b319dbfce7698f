//! A group's configuration, typed: the overrides of the group over the values of its broker.

use super::read::Reader;

/// What the consumer protocol (KIP-848) tells the members of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    pub consumer_session_timeout_ms: u32,
    pub consumer_heartbeat_interval_ms: u32,
    pub consumer_assignment_interval_ms: u32,
}

impl GroupConfig {
    pub(super) fn read(reader: &Reader<'_>) -> GroupConfig {
        GroupConfig {
            consumer_session_timeout_ms: reader.count("consumer.session.timeout.ms"),
            consumer_heartbeat_interval_ms: reader.count("consumer.heartbeat.interval.ms"),
            consumer_assignment_interval_ms: reader.count("consumer.assignment.interval.ms"),
        }
    }
}
