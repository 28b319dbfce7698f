//! One broker's view of all configuration: what it was started with, under what was changed since.

use super::broker::BrokerConfig;
use super::broker_dynamic::BrokerDynamic;
use super::election::ElectionConfig;
use super::group::GroupConfig;
use super::layers::{Layers, Overrides};
use super::property::Owner;
use super::read::Reader;
use super::topic::TopicConfig;

/// Resolves configuration. Cheap to make; resolving a topic parses some thirty short texts, so it is done
/// once per change of the topic's or the broker's overrides and the result is kept.
#[derive(Clone, Copy)]
pub struct ConfigView<'a> {
    pub(super) layers: Layers<'a>,
}

impl<'a> ConfigView<'a> {
    /// `all_brokers` are the overrides of the broker resource with the empty name, `this_broker` those of its
    /// id.
    pub fn new(
        broker: &'a BrokerConfig,
        all_brokers: &'a Overrides,
        this_broker: &'a Overrides,
    ) -> ConfigView<'a> {
        ConfigView {
            layers: Layers::new(this_broker, all_brokers, broker.settings().values()),
        }
    }

    pub fn topic(&self, overrides: &Overrides) -> TopicConfig {
        TopicConfig::read(&Reader::of(Owner::Topic, self.layers, overrides))
    }

    /// The little of [`ConfigView::topic`] that elections need.
    pub fn election(&self, overrides: &Overrides) -> ElectionConfig {
        ElectionConfig::read(&Reader::of(Owner::Topic, self.layers, overrides))
    }

    pub fn group(&self, overrides: &Overrides) -> GroupConfig {
        GroupConfig::read(&Reader::of(Owner::Group, self.layers, overrides))
    }

    pub fn dynamic(&self) -> BrokerDynamic {
        BrokerDynamic::read(&Reader::broker(self.layers))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{CleanupPolicy, Compression, Durability, Settings, ThrottledReplicas, TimestampType};
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> Overrides {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn broker(file: &str) -> BrokerConfig {
        let mut settings = Settings::default();
        settings.add_file(file.as_bytes()).unwrap();
        BrokerConfig::from_settings(settings).unwrap().0
    }

    fn topic(file: &str, own: &[(&str, &str)]) -> TopicConfig {
        let (broker, none) = (broker(file), Overrides::new());
        ConfigView::new(&broker, &none, &none).topic(&overrides(own))
    }

    #[test]
    fn a_topic_without_overrides_has_kafkas_defaults() {
        let expected = TopicConfig {
            cleanup_policy: CleanupPolicy {
                delete: true,
                compact: false,
            },
            compression: Compression::Producer,
            max_message_bytes: 1_048_588,
            min_insync_replicas: 1,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX as u64,
            message_timestamp_after_max_ms: 3_600_000,
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10_485_760,
            index_interval_bytes: 4096,
            preallocate: false,
            durability: Durability::Journal,
            flush_messages: None,
            flush_ms: None,
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            file_delete_delay_ms: 60_000,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: None,
            delete_retention_ms: 86_400_000,
            leader_throttled: ThrottledReplicas::Some(BTreeSet::new()),
            follower_throttled: ThrottledReplicas::Some(BTreeSet::new()),
        };
        assert_eq!(topic("", &[]), expected);
    }

    #[test]
    fn the_finer_unit_of_a_time_counts() {
        let retention_ms = |file: &str| topic(file, &[]).retention_ms;
        assert_eq!(retention_ms("log.retention.hours=2"), Some(7_200_000));
        assert_eq!(
            retention_ms("log.retention.hours=2\nlog.retention.minutes=3"),
            Some(180_000)
        );
        assert_eq!(
            retention_ms("log.retention.hours=2\nlog.retention.minutes=3\nlog.retention.ms=4"),
            Some(4)
        );
        assert_eq!(retention_ms("log.retention.hours=-1"), None);
        assert_eq!(retention_ms("log.retention.ms=-1\nlog.retention.hours=5"), None);
        assert_eq!(
            retention_ms("log.retention.hours=2147483647"),
            Some(2_147_483_647 * 3_600_000)
        );
        assert_eq!(topic("log.roll.hours=1", &[]).segment_ms, 3_600_000);
        assert_eq!(topic("log.roll.hours=1\nlog.roll.ms=5", &[]).segment_ms, 5);
        assert_eq!(topic("log.roll.jitter.hours=1", &[]).segment_jitter_ms, 3_600_000);
        assert_eq!(topic("log.flush.scheduler.interval.ms=9", &[]).flush_ms, Some(9));
        assert_eq!(
            topic("log.flush.scheduler.interval.ms=9\nlog.flush.interval.ms=8", &[]).flush_ms,
            Some(8)
        );
    }

    #[test]
    fn the_nearer_layer_counts() {
        // topic over this broker over all brokers over file over default
        let broker = broker("log.retention.ms=1\nlog.segment.bytes=1048577\nmessage.max.bytes=1");
        let all = overrides(&[
            ("log.retention.ms", "2"),
            ("message.max.bytes", "2"),
            ("max.connections", "2"),
        ]);
        let this = overrides(&[("log.retention.ms", "3"), ("max.connections", "3")]);
        let view = ConfigView::new(&broker, &all, &this);
        let none = Overrides::new();
        assert_eq!(
            view.topic(&overrides(&[("retention.ms", "4")])).retention_ms,
            Some(4)
        );
        assert_eq!(view.topic(&none).retention_ms, Some(3));
        assert_eq!(view.topic(&none).max_message_bytes, 2);
        assert_eq!(view.topic(&none).segment_bytes, 1_048_577);
        assert_eq!(view.topic(&none).index_interval_bytes, 4096);
        assert_eq!(view.dynamic().connection_count, 3);
    }

    #[test]
    fn a_stored_value_that_is_not_allowed_is_passed_over() {
        // The log may hold what another version accepted; the broker must still start.
        let own = [
            ("retention.ms", "x"),
            ("segment.bytes", "1"),
            ("max.message.bytes", "7"),
        ];
        let config = topic("", &own);
        assert_eq!(config.retention_ms, Some(604_800_000));
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(config.max_message_bytes, 7);
    }

    #[test]
    fn compression_and_policy_are_typed() {
        let compression = |own: &[(&str, &str)]| topic("", own).compression;
        assert_eq!(
            compression(&[("compression.type", "gzip")]),
            Compression::Gzip { level: None }
        );
        assert_eq!(
            compression(&[("compression.type", "gzip"), ("compression.gzip.level", "9")]),
            Compression::Gzip { level: Some(9) }
        );
        assert_eq!(
            compression(&[("compression.type", "zstd")]),
            Compression::Zstd { level: 3 }
        );
        assert_eq!(
            compression(&[("compression.type", "lz4")]),
            Compression::Lz4 { level: 9 }
        );
        let policy = |text: &str| topic("", &[("cleanup.policy", text)]).cleanup_policy;
        assert_eq!(
            policy("compact,delete"),
            CleanupPolicy {
                delete: true,
                compact: true
            }
        );
        assert_eq!(
            policy(""),
            CleanupPolicy {
                delete: false,
                compact: false
            }
        );
    }

    #[test]
    fn a_group_inherits_from_its_broker() {
        let (broker, none) = (
            broker("group.consumer.session.timeout.ms=50000"),
            Overrides::new(),
        );
        let view = ConfigView::new(&broker, &none, &none);
        assert_eq!(view.group(&none).consumer_session_timeout_ms, 50_000);
        let own = overrides(&[("consumer.session.timeout.ms", "46000")]);
        assert_eq!(view.group(&own).consumer_session_timeout_ms, 46_000);
    }
}
