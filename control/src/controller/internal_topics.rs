//! The topics brokers keep for themselves: made on first use, shaped by the broker's own properties.

use crate::config::BrokerConfig;
use crate::image::ConfigMap;

/// How an internal topic is made.
#[derive(Clone, Debug, PartialEq)]
pub struct InternalTopic {
    pub name: &'static str,
    pub partition_count: i32,
    /// At most; a cluster with fewer live brokers gets as many replicas as it has brokers, so that a single node works.
    pub replication_factor: i16,
    pub configs: ConfigMap,
}

impl InternalTopic {
    /// Where the committed offsets and members of groups are.
    pub const OFFSETS: &'static str = "__consumer_offsets";

    pub(super) fn all(config: &BrokerConfig) -> Vec<InternalTopic> {
        let offsets = &config.offsets;
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", offsets.segment_bytes.to_string()),
        ];
        vec![InternalTopic {
            name: InternalTopic::OFFSETS,
            partition_count: i32::try_from(offsets.partition_count).unwrap_or(i32::MAX),
            replication_factor: i16::try_from(offsets.replication_factor).unwrap_or(i16::MAX),
            configs: configs.map(|(name, value)| (name.to_owned(), value)).into(),
        }]
    }
}
