//! Alterations told as requests and their answers; the refusals were recorded from Apache Kafka 4.3.1.

use Change::{Append, Delete, Set, Subtract};
use ConfigErrorKind::{InvalidConfig, InvalidRequest};
use Resource::{Broker, BrokerDefault, Group, Topic};

use super::super::{BrokerConfig, ConfigErrorKind, Settings};
use super::*;

fn with_view<T>(test: impl FnOnce(ConfigView<'_>) -> T) -> T {
    let (broker, _) = BrokerConfig::from_settings(Settings::default()).unwrap();
    let none = Overrides::new();
    test(ConfigView::new(&broker, &none, &none))
}

fn alter(
    resource: Resource,
    current: &[(&str, &str)],
    changes: &[(&str, Change<'_>)],
) -> Result<Vec<Write>, ConfigError> {
    let current = current
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    with_view(|view| view.alter(resource, &current, changes))
}

#[track_caller]
fn writes(resource: Resource, current: &[(&str, &str)], change: (&str, Change<'_>), expected: &str) {
    let writes = alter(resource, current, &[change]).unwrap();
    let shown: Vec<String> = writes
        .iter()
        .map(|w| format!("{}={}", w.name, w.value.as_deref().unwrap_or("null")))
        .collect();
    assert_eq!(shown.join(" "), expected);
}

#[track_caller]
fn refused(resource: Resource, name: &str, change: Change<'_>, kind: ConfigErrorKind, message: &str) {
    let error = alter(resource, &[], &[(name, change)]).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.kind(resource)),
        (message, kind)
    );
}

#[test]
fn changes_become_writes() {
    writes(Topic, &[], ("retention.ms", Set(Some("5"))), "retention.ms=5");
    writes(
        Topic,
        &[("retention.ms", "5")],
        ("retention.ms", Set(Some("5"))),
        "",
    );
    writes(
        Topic,
        &[("retention.ms", "5")],
        ("retention.ms", Delete),
        "retention.ms=null",
    );
    writes(Topic, &[], ("retention.ms", Delete), "");
    writes(Topic, &[], ("no.such.name", Delete), "");
    writes(Topic, &[], ("cleanup.policy", Set(Some(""))), "cleanup.policy=");
    writes(
        Topic,
        &[],
        ("internal.segment.bytes", Set(Some("1000"))),
        "internal.segment.bytes=1000",
    );
    writes(
        Broker,
        &[],
        ("some.plugin.key", Set(Some("x"))),
        "some.plugin.key=x",
    );
    writes(
        BrokerDefault,
        &[],
        ("max.connections", Set(Some("9"))),
        "max.connections=9",
    );
    writes(
        Group,
        &[],
        ("consumer.session.timeout.ms", Set(Some("46000"))),
        "consumer.session.timeout.ms=46000",
    );
}

#[test]
fn list_operations_start_from_the_override_or_the_default() {
    writes(
        Topic,
        &[],
        ("cleanup.policy", Append(Some("compact"))),
        "cleanup.policy=delete,compact",
    );
    let both = [("cleanup.policy", "delete,compact")];
    writes(Topic, &both, ("cleanup.policy", Append(Some("compact"))), "");
    writes(
        Topic,
        &both,
        ("cleanup.policy", Subtract(Some("delete"))),
        "cleanup.policy=compact",
    );
    writes(
        Topic,
        &[("cleanup.policy", "compact")],
        ("cleanup.policy", Subtract(Some("delete"))),
        "",
    );
    writes(
        Broker,
        &[],
        ("log.cleanup.policy", Append(Some("compact"))),
        "log.cleanup.policy=delete,compact",
    );
}

#[test]
fn refusals_have_the_words_and_codes_of_kafka() {
    // Recorded from Kafka 4.3.1; tools show these texts, some tests of users compare them.
    let cases: [(Resource, &str, Change<'_>, ConfigErrorKind, &str); 22] = [
        (
            Topic,
            "bogus",
            Set(Some("1")),
            InvalidConfig,
            "Unknown topic config name: bogus",
        ),
        (
            Topic,
            "retention.ms",
            Set(Some("abc")),
            InvalidConfig,
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            Topic,
            "retention.ms",
            Set(Some("-5")),
            InvalidConfig,
            "Invalid value -5 for configuration retention.ms: Value must be at least -1",
        ),
        (
            Topic,
            "cleanup.policy",
            Set(Some("foo")),
            InvalidConfig,
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (
            Topic,
            "min.cleanable.dirty.ratio",
            Set(Some("2")),
            InvalidConfig,
            "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        (
            Topic,
            "compression.gzip.level",
            Set(Some("0")),
            InvalidConfig,
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        ),
        (
            Topic,
            "leader.replication.throttled.replicas",
            Set(Some("x")),
            InvalidConfig,
            "Invalid value [x] for configuration leader.replication.throttled.replicas: \
             leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following \
             format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        ),
        (
            Topic,
            "message.timestamp.type",
            Set(Some("createtime")),
            InvalidConfig,
            "Invalid value createtime for configuration message.timestamp.type: String must be one of: CreateTime, \
             LogAppendTime",
        ),
        (
            Topic,
            "retention.ms",
            Append(Some("5")),
            InvalidConfig,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            Topic,
            "retention.ms",
            Set(None),
            InvalidRequest,
            "Null value not supported for : retention.ms",
        ),
        (
            Broker,
            "num.partitions",
            Set(Some("3")),
            InvalidRequest,
            "Cannot update these configs dynamically: [num.partitions]",
        ),
        (
            Broker,
            "log.retention.hours",
            Set(Some("3")),
            InvalidRequest,
            "Cannot update these configs dynamically: [log.retention.hours]",
        ),
        (
            BrokerDefault,
            "cordoned.log.dirs",
            Set(Some("a")),
            InvalidRequest,
            "Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs]",
        ),
        (
            Broker,
            "log.segment.bytes",
            Set(Some("3")),
            InvalidRequest,
            "Invalid value 3 for configuration log.segment.bytes: Value must be at least 1048576",
        ),
        (
            Broker,
            "ssl.keystore.password",
            Set(Some("p")),
            InvalidRequest,
            "These security configs can be dynamically updated only per-listener using the listener prefix: \
             [ssl.keystore.password]",
        ),
        (
            Broker,
            "max.connections",
            Append(Some("1")),
            InvalidConfig,
            "Config value append is not allowed for config key: max.connections",
        ),
        (
            Broker,
            "log.roll.ms",
            Set(Some("0")),
            InvalidRequest,
            "log.roll.ms must be greater than or equal to 1",
        ),
        (
            Group,
            "foo",
            Set(Some("1")),
            InvalidConfig,
            "Unknown group config name: foo",
        ),
        (
            Group,
            "consumer.session.timeout.ms",
            Set(Some("1")),
            InvalidConfig,
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        ),
        (
            Group,
            "consumer.heartbeat.interval.ms",
            Set(Some("100000")),
            InvalidConfig,
            "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms",
        ),
        (
            Group,
            "share.isolation.level",
            Set(Some("xx")),
            InvalidConfig,
            "Invalid value xx for configuration share.isolation.level: String must be one of: read_committed, \
             read_uncommitted",
        ),
        (
            Group,
            "share.auto.offset.reset",
            Set(Some("xx")),
            InvalidConfig,
            "Invalid value xx for configuration share.auto.offset.reset: Invalid value `xx` for configuration \
             share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format \
             'by_duration:<PnDTnHnMn.nS>'.",
        ),
    ];
    for (resource, name, change, kind, message) in cases {
        refused(resource, name, change, kind, message);
    }
}

#[test]
fn what_cannot_work_is_refused() {
    for (resource, name, value) in [
        (Topic, "remote.storage.enable", "true"),
        (Broker, "config.providers", "file"),
        (Broker, "sasl.jaas.config", "secret"),
        (Broker, "listeners", "PLAINTEXT://:1"),
        (Broker, "listener.name.plaintext.max.connections", "5"),
        (Broker, "ringlog.cores", "0"),
    ] {
        let result = alter(resource, &[], &[(name, Set(Some(value)))]);
        assert!(result.is_err(), "{name}");
    }
}

#[test]
fn values_must_fit_together() {
    let both = [
        ("min.compaction.lag.ms", Set(Some("100"))),
        ("max.compaction.lag.ms", Set(Some("10"))),
    ];
    assert_eq!(
        alter(Topic, &[], &both).unwrap_err().to_string(),
        "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (10)"
    );
    let later = alter(Topic, &[("min.compaction.lag.ms", "100")], &both[1..]);
    assert!(matches!(later, Err(ConfigError::Conflict(_))));
}

#[test]
fn a_name_may_be_changed_once_per_request() {
    let twice = [("retention.ms", Set(Some("1"))), ("retention.ms", Delete)];
    let error = alter(Topic, &[], &twice).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.kind(Topic)),
        (
            "Error due to duplicate config keys : retention.ms",
            InvalidRequest
        )
    );
}

#[test]
fn one_refusal_refuses_all() {
    let changes = [
        ("retention.ms", Set(Some("1"))),
        ("segment.bytes", Set(Some("1"))),
    ];
    assert!(alter(Topic, &[], &changes).is_err());
}

#[test]
fn what_another_version_stored_does_not_block_other_changes() {
    writes(
        Topic,
        &[("from.the.future", "1")],
        ("retention.ms", Set(Some("1"))),
        "retention.ms=1",
    );
}

#[test]
fn replacing_ends_what_is_not_named() {
    let current = [
        ("retention.ms".to_owned(), "1".to_owned()),
        ("segment.ms".to_owned(), "2".to_owned()),
    ]
    .into();
    let writes = with_view(|view| view.replace(Topic, &current, &[("segment.ms", Some("3"))])).unwrap();
    let expected = [
        Write {
            name: "segment.ms".to_owned(),
            value: Some("3".to_owned()),
        },
        Write {
            name: "retention.ms".to_owned(),
            value: None,
        },
    ];
    assert_eq!(writes, expected);
}

#[test]
fn a_new_topic_may_bring_overrides() {
    let created = with_view(|view| view.create_topic(&[("retention.ms", Some("1"))])).unwrap();
    assert_eq!(created["retention.ms"], "1");
    let null = with_view(|view| view.create_topic(&[("retention.ms", None)])).unwrap_err();
    assert_eq!(
        null.to_string(),
        "Null value not supported for topic configs: retention.ms"
    );
}

#[test]
fn operations_have_the_codes_of_the_protocol() {
    let changes: Vec<_> = (0..=4).map(|code| Change::from_code(code, Some("v"))).collect();
    assert_eq!(
        changes,
        [
            Some(Set(Some("v"))),
            Some(Delete),
            Some(Append(Some("v"))),
            Some(Subtract(Some("v"))),
            None
        ]
    );
}
