//! Small conversions that every handler needs between our types and the protocol's strings.

use kafka_protocol::messages::{BrokerId, TopicName};
use kafka_protocol::protocol::StrBytes;

pub fn text(value: impl Into<String>) -> StrBytes {
    StrBytes::from_string(value.into())
}

pub fn topic_name(value: &str) -> TopicName {
    TopicName(text(value))
}

pub fn broker_ids(ids: &[control::record::BrokerId]) -> Vec<BrokerId> {
    ids.iter().map(|id| BrokerId(id.0)).collect()
}

pub fn optional(value: Option<String>) -> Option<StrBytes> {
    value.map(text)
}
