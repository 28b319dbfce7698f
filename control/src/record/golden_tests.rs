//! Our records against bytes that Kafka wrote (`golden/metadata_records.txt` says how).

use bytes::Bytes;
use engine::types::{LeaderEpoch, ProducerId, Timestamp};
use uuid::Uuid;

use super::*;
use crate::record::{
    BrokerEndpoint, BrokerEpoch, BrokerId, DirectoryId, FeatureRange, PartitionEpoch, PartitionId,
    QuotaEntity,
};

const GOLDEN: &str = include_str!("golden/metadata_records.txt");

const TOPIC: Uuid = Uuid::from_u128(0x0123456789abcdef_8edcba9876543210);
const DIRECTORY: DirectoryId = DirectoryId(Uuid::from_u128(0x1111111111111111_2222222222222222));

fn golden() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    GOLDEN.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, hex) = line.split_once(' ').expect("name and hex");
        let bytes = (0..hex.len()).step_by(2);
        (
            name,
            bytes
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
                .collect(),
        )
    })
}

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

fn partition() -> PartitionRecord {
    PartitionRecord {
        partition_id: PartitionId(3),
        topic_id: TOPIC,
        replicas: brokers(&[1, 2]),
        isr: brokers(&[2]),
        leader: BrokerId(2),
        leader_epoch: LeaderEpoch(7),
        partition_epoch: PartitionEpoch(300),
        ..PartitionRecord::default()
    }
}

fn change() -> PartitionChangeRecord {
    PartitionChangeRecord {
        partition_id: PartitionId(3),
        topic_id: TOPIC,
        ..PartitionChangeRecord::default()
    }
}

fn endpoint(name: &str, host: &str, port: u16, security_protocol: i16) -> BrokerEndpoint {
    BrokerEndpoint {
        name: name.to_owned(),
        host: host.to_owned(),
        port,
        security_protocol,
        unknown_tags: Vec::new(),
    }
}

fn registration() -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: BrokerId(1),
        incarnation_id: DIRECTORY.0,
        broker_epoch: BrokerEpoch(9),
        end_points: vec![
            endpoint("PLAINTEXT", "localhost", 9092, 0),
            endpoint("SSL", "h", 65535, 1),
        ],
        features: vec![FeatureRange {
            name: "metadata.version".to_owned(),
            min_supported_version: 7,
            max_supported_version: 30,
            unknown_tags: Vec::new(),
        }],
        // the generated class starts with an empty string, not with null
        rack: Some(String::new()),
        ..RegisterBrokerRecord::default()
    }
}

/// What the Java program filled in, in the order of the golden file.
fn expected() -> Vec<(&'static str, Record)> {
    let topic = |name: &str| TopicRecord {
        name: name.to_owned(),
        topic_id: TOPIC,
        ..TopicRecord::default()
    };
    let config = |resource_type, resource_name: &str, name: &str, value: Option<&str>| ConfigRecord {
        resource_type,
        resource_name: resource_name.to_owned(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
        ..ConfigRecord::default()
    };
    let on_broker = |broker_id, broker_epoch| BrokerRegistrationChangeRecord {
        broker_id: BrokerId(broker_id),
        broker_epoch: BrokerEpoch(broker_epoch),
        ..BrokerRegistrationChangeRecord::default()
    };
    vec![
        ("topic", topic("orders.eu").into()),
        ("partition-v0", partition().into()),
        (
            "partition-v1",
            PartitionRecord {
                adding_replicas: brokers(&[5]),
                removing_replicas: brokers(&[6]),
                directories: vec![DIRECTORY, DirectoryId::UNASSIGNED],
                leader_recovery_state: 1,
                ..partition()
            }
            .into(),
        ),
        (
            "partition-v2",
            PartitionRecord {
                partition_id: PartitionId(0),
                directories: vec![DIRECTORY, DirectoryId::UNASSIGNED],
                eligible_leader_replicas: Some(brokers(&[1])),
                last_known_elr: Some(brokers(&[9])),
                ..partition()
            }
            .into(),
        ),
        (
            "partition-change-v0",
            PartitionChangeRecord {
                isr: Some(brokers(&[1, 2])),
                leader: BrokerId(1),
                ..change()
            }
            .into(),
        ),
        (
            "partition-change-v1",
            PartitionChangeRecord {
                replicas: Some(brokers(&[1, 2])),
                removing_replicas: Some(Vec::new()),
                adding_replicas: Some(brokers(&[4])),
                leader_recovery_state: 0,
                directories: Some(vec![DirectoryId::UNASSIGNED]),
                ..change()
            }
            .into(),
        ),
        (
            "partition-change-v2",
            PartitionChangeRecord {
                leader: BrokerId(-1),
                eligible_leader_replicas: Some(brokers(&[1])),
                last_known_elr: Some(Vec::new()),
                directories: Some(vec![DIRECTORY]),
                ..change()
            }
            .into(),
        ),
        (
            "remove-topic",
            RemoveTopicRecord {
                topic_id: TOPIC,
                ..RemoveTopicRecord::default()
            }
            .into(),
        ),
        (
            "clear-elr",
            ClearElrRecord {
                topic_name: "x".to_owned(),
                ..ClearElrRecord::default()
            }
            .into(),
        ),
        (
            "config",
            config(2, "orders.eu", "retention.ms", Some("60000")).into(),
        ),
        ("config-null", config(4, "", "log.cleaner.threads", None).into()),
        (
            "feature",
            FeatureLevelRecord {
                name: "metadata.version".to_owned(),
                feature_level: 30,
                ..FeatureLevelRecord::default()
            }
            .into(),
        ),
        (
            "producer-ids",
            ProducerIdsRecord {
                broker_id: BrokerId(1),
                broker_epoch: BrokerEpoch(12),
                next_producer_id: ProducerId(5_000_000_000),
                ..ProducerIdsRecord::default()
            }
            .into(),
        ),
        ("no-op", NoOpRecord::default().into()),
        (
            "begin",
            BeginTransactionRecord {
                name: Some("create orders".to_owned()),
                ..BeginTransactionRecord::default()
            }
            .into(),
        ),
        ("begin-unnamed", BeginTransactionRecord::default().into()),
        ("end", EndTransactionRecord::default().into()),
        (
            "abort",
            AbortTransactionRecord {
                reason: Some("controller failover".to_owned()),
                ..AbortTransactionRecord::default()
            }
            .into(),
        ),
        ("register-broker-v0", registration().into()),
        (
            "register-broker-v3",
            RegisterBrokerRecord {
                rack: Some("eu-1".to_owned()),
                fenced: false,
                in_controlled_shutdown: true,
                log_dirs: vec![DIRECTORY],
                ..registration()
            }
            .into(),
        ),
        (
            "register-broker-v4",
            RegisterBrokerRecord {
                end_points: Vec::new(),
                features: Vec::new(),
                log_dirs: vec![DIRECTORY],
                cordoned_log_dirs: Some(vec![DIRECTORY]),
                ..registration()
            }
            .into(),
        ),
        (
            "unregister-broker",
            UnregisterBrokerRecord {
                broker_id: BrokerId(1),
                broker_epoch: BrokerEpoch(9),
                ..UnregisterBrokerRecord::default()
            }
            .into(),
        ),
        (
            "registration-change-v2",
            BrokerRegistrationChangeRecord {
                fenced: -1,
                in_controlled_shutdown: 1,
                log_dirs: vec![DIRECTORY],
                ..on_broker(1, 9)
            }
            .into(),
        ),
        (
            "registration-change-v3",
            BrokerRegistrationChangeRecord {
                cordoned_log_dirs: Some(Vec::new()),
                ..on_broker(1, 9)
            }
            .into(),
        ),
        (
            "fence",
            FenceBrokerRecord {
                id: BrokerId(1),
                epoch: BrokerEpoch(9),
                ..FenceBrokerRecord::default()
            }
            .into(),
        ),
        (
            "unfence",
            UnfenceBrokerRecord {
                id: BrokerId(1),
                epoch: BrokerEpoch(9),
                ..UnfenceBrokerRecord::default()
            }
            .into(),
        ),
        (
            "register-controller",
            RegisterControllerRecord {
                controller_id: BrokerId(1),
                incarnation_id: DIRECTORY.0,
                end_points: vec![endpoint("CONTROLLER", "h", 9093, 0)],
                ..RegisterControllerRecord::default()
            }
            .into(),
        ),
        (
            "zk-migration",
            ZkMigrationStateRecord {
                zk_migration_state: 4,
                ..ZkMigrationStateRecord::default()
            }
            .into(),
        ),
        (
            "acl",
            AccessControlEntryRecord {
                id: TOPIC,
                resource_type: 2,
                resource_name: "*".to_owned(),
                pattern_type: 3,
                principal: "User:alice".to_owned(),
                host: "*".to_owned(),
                operation: 3,
                permission_type: 3,
                ..AccessControlEntryRecord::default()
            }
            .into(),
        ),
        (
            "remove-acl",
            RemoveAccessControlEntryRecord {
                id: TOPIC,
                ..RemoveAccessControlEntryRecord::default()
            }
            .into(),
        ),
        (
            "scram",
            UserScramCredentialRecord {
                name: "alice".to_owned(),
                mechanism: 1,
                salt: Bytes::from_static(&[1, 2]),
                stored_key: Bytes::from_static(&[3]),
                server_key: Bytes::new(),
                iterations: 4096,
                ..UserScramCredentialRecord::default()
            }
            .into(),
        ),
        (
            "remove-scram",
            RemoveUserScramCredentialRecord {
                name: "alice".to_owned(),
                mechanism: 1,
                ..RemoveUserScramCredentialRecord::default()
            }
            .into(),
        ),
        (
            "token",
            DelegationTokenRecord {
                owner: "User:a".to_owned(),
                requester: "User:b".to_owned(),
                renewers: vec!["User:c".to_owned()],
                issue_timestamp: Timestamp(1),
                max_timestamp: Timestamp(2),
                expiration_timestamp: Timestamp(3),
                token_id: "id".to_owned(),
                ..DelegationTokenRecord::default()
            }
            .into(),
        ),
        (
            "remove-token",
            RemoveDelegationTokenRecord {
                token_id: "id".to_owned(),
                ..RemoveDelegationTokenRecord::default()
            }
            .into(),
        ),
        (
            "quota",
            ClientQuotaRecord {
                entity: vec![
                    QuotaEntity {
                        entity_type: "user".to_owned(),
                        entity_name: Some("alice".to_owned()),
                        ..QuotaEntity::default()
                    },
                    QuotaEntity {
                        entity_type: "client-id".to_owned(),
                        ..QuotaEntity::default()
                    },
                ],
                key: "producer_byte_rate".to_owned(),
                value: 1024.5,
                ..ClientQuotaRecord::default()
            }
            .into(),
        ),
        (
            "topic-unknown-tags",
            TopicRecord {
                unknown_tags: vec![(5, Box::from([9, 8])), (200, Box::from([]))],
                ..topic("t")
            }
            .into(),
        ),
    ]
}

#[test]
fn records_read_what_kafka_wrote_and_write_it_again() {
    // A field read out of order would bring up a cluster with other leaders, other configs, other users.
    let expected = expected();
    assert_eq!(expected.len(), golden().count());
    for ((name, bytes), (expected_name, expected)) in golden().zip(expected) {
        assert_eq!(name, expected_name);
        assert_eq!(Record::decode(&bytes), Ok(expected.clone()), "{name}");
        // Older versions are read, not written; the same writer at that version must still agree with Kafka's.
        let version = bytes[2].into();
        let mut writer = Writer::new();
        writer.put(&bytes[..3]);
        expected.write_body(&mut writer, version);
        assert_eq!(writer.into_bytes(), bytes, "{name}");
        assert_eq!(Record::decode(&expected.encode()), Ok(expected), "{name}");
    }
}

#[test]
fn the_version_written_is_the_first_that_carries_what_is_set() {
    // Kafka 4.0 could not read a registration of version 4, so it is written only when it says something.
    assert_eq!(Record::from(registration()).version(), 3);
    let cordoned = RegisterBrokerRecord {
        cordoned_log_dirs: Some(Vec::new()),
        ..registration()
    };
    assert_eq!(Record::from(cordoned).version(), 4);
    assert_eq!(Record::from(partition()).version(), 1);
}

#[test]
fn damaged_records_are_errors() {
    // A controller that panics on its log cannot be started again.
    for (name, bytes) in golden() {
        for length in 0..bytes.len() {
            assert!(
                Record::decode(&bytes[..length]).is_err(),
                "{name} cut to {length}"
            );
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(
            Record::decode(&longer),
            Err(DecodeError::Trailing { bytes: 1 }),
            "{name}"
        );
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = Record::decode(&flipped);
        }
    }
}

#[test]
fn kinds_nobody_knows_keep_their_bytes() {
    // A log written by a newer version can be dumped and copied, though not replayed.
    for bytes in [&[1, 99, 0, 1, 2, 3][..], &[1, 2, 7, 5]] {
        let record = Record::decode(bytes).expect("opaque");
        assert!(matches!(record, Record::Opaque(_)));
        assert_eq!(record.encode(), bytes);
    }
}
