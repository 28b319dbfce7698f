//! Replay against hand-written records: what the image then says, what the delta says, and that snapshots lose nothing.

use engine::types::{LeaderEpoch, Offset};

use super::*;
use crate::image::MetadataPosition;
use crate::record::*;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0xabcd << 64 | number)
}

fn topic(number: u128, name: &str) -> Record {
    TopicRecord {
        name: name.to_owned(),
        topic_id: id(number),
        ..TopicRecord::default()
    }
    .into()
}

fn partition(topic: u128, partition: i32) -> Record {
    PartitionRecord {
        partition_id: PartitionId(partition),
        topic_id: id(topic),
        replicas: vec![BrokerId(1), BrokerId(2)],
        isr: vec![BrokerId(1), BrokerId(2)],
        leader: BrokerId(1),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        directories: vec![DirectoryId(id(71)), DirectoryId(id(72))],
        ..PartitionRecord::default()
    }
    .into()
}

fn config(kind: ResourceKind, resource: &str, name: &str, value: Option<&str>) -> Record {
    ConfigRecord {
        resource_type: kind.id(),
        resource_name: resource.to_owned(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
        ..ConfigRecord::default()
    }
    .into()
}

fn removal(topic: u128) -> Record {
    RemoveTopicRecord {
        topic_id: id(topic),
        ..RemoveTopicRecord::default()
    }
    .into()
}

fn broker(number: i32, epoch: i64) -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: BrokerId(number),
        broker_epoch: BrokerEpoch(epoch),
        incarnation_id: id(200),
        log_dirs: vec![DirectoryId(id(71))],
        end_points: vec![BrokerEndpoint {
            name: "PLAINTEXT".to_owned(),
            host: "localhost".to_owned(),
            port: 9092,
            ..BrokerEndpoint::default()
        }],
        ..RegisterBrokerRecord::default()
    }
}

fn producer_ids(next: i64) -> Record {
    ProducerIdsRecord {
        broker_id: BrokerId(1),
        next_producer_id: ProducerId(next),
        ..ProducerIdsRecord::default()
    }
    .into()
}

fn apply(image: &ClusterImage, records: &[Record]) -> (ClusterImage, Delta) {
    image.apply(records).expect("records fit the image")
}

fn image_of(records: &[Record]) -> ClusterImage {
    apply(&ClusterImage::empty("cluster"), records).0
}

/// A bit of everything.
fn varied_records() -> Vec<Record> {
    vec![
        FeatureLevelRecord {
            name: "group.version".to_owned(),
            feature_level: 1,
            ..FeatureLevelRecord::default()
        }
        .into(),
        FeatureLevelRecord {
            name: "metadata.version".to_owned(),
            feature_level: 30,
            ..FeatureLevelRecord::default()
        }
        .into(),
        broker(1, 2).into(),
        broker(2, 3).into(),
        UnfenceBrokerRecord {
            id: BrokerId(1),
            epoch: BrokerEpoch(2),
            ..UnfenceBrokerRecord::default()
        }
        .into(),
        topic(1, "a.b"),
        partition(1, 1),
        partition(1, 0),
        PartitionChangeRecord {
            partition_id: PartitionId(1),
            topic_id: id(1),
            isr: Some(vec![BrokerId(2)]),
            leader: BrokerId(2),
            eligible_leader_replicas: Some(vec![BrokerId(1)]),
            ..PartitionChangeRecord::default()
        }
        .into(),
        topic(2, "gone"),
        partition(2, 0),
        config(ResourceKind::Topic, "gone", "retention.ms", Some("1")),
        removal(2),
        config(ResourceKind::Topic, "a.b", "retention.ms", Some("60000")),
        config(ResourceKind::Broker, "", "log.cleaner.threads", Some("2")),
        config(ResourceKind::Group, "g", "consumer.session.timeout.ms", Some("1")),
        producer_ids(3000),
        AccessControlEntryRecord {
            id: id(9),
            principal: "User:a".to_owned(),
            ..AccessControlEntryRecord::default()
        }
        .into(),
        ClientQuotaRecord {
            key: "producer_byte_rate".to_owned(),
            value: 1.0,
            entity: vec![QuotaEntity {
                entity_type: "user".to_owned(),
                ..QuotaEntity::default()
            }],
            ..ClientQuotaRecord::default()
        }
        .into(),
    ]
}

#[test]
fn replay_builds_the_cluster() {
    // Leaders, epochs and configs are what the data plane acts upon.
    let image = image_of(&varied_records());
    assert_eq!((image.topic_count(), image.partition_count()), (1, 2));
    let topic = image.topic_by_name("a.b").expect("topic");
    assert_eq!(image.topic(topic.id).map(|topic| &*topic.name), Some("a.b"));
    let changed = image.partition(topic.id, PartitionId(1)).expect("partition");
    assert_eq!(changed.leader, Some(BrokerId(2)));
    assert_eq!(
        (changed.leader_epoch, changed.partition_epoch),
        (LeaderEpoch(1), PartitionEpoch(1))
    );
    let untouched = image.partition(topic.id, PartitionId(0)).expect("partition");
    assert_eq!(untouched.partition_epoch, PartitionEpoch(0));
    assert!(image.topic_by_name("gone").is_none());
    assert!(image.config(&ConfigResource::topic("gone")).is_none());
    assert!(image.broker(BrokerId(1)).expect("registered").is_active());
    assert!(image.broker(BrokerId(2)).expect("registered").fenced);
    assert_eq!(image.colliding_topic("a_b"), Some("a.b"));
    assert_eq!(image.colliding_topic("ab"), None);
    assert_eq!(image.next_producer_id(), ProducerId(3000));
}

#[test]
fn a_snapshot_loses_nothing() {
    // The log behind a snapshot is deleted: what the snapshot does not say is gone.
    let image = image_of(&varied_records());
    let snapshot = image.to_records();
    let again = image_of(&snapshot);
    assert_eq!(again.to_records(), snapshot);
    assert_eq!(again.topic_by_name("a.b"), image.topic_by_name("a.b"));
    assert_eq!(again.brokers(), image.brokers());
    assert_eq!(again.features(), image.features());
    assert_eq!(
        again.configs().collect::<Vec<_>>(),
        image.configs().collect::<Vec<_>>()
    );
    assert_eq!(again.colliding_topic("a_b"), Some("a.b"));
    assert!(
        matches!(&snapshot[0], Record::FeatureLevel(first) if first.name == "metadata.version"),
        "metadata.version comes first, as Kafka reads it"
    );
}

#[test]
fn replay_is_the_same_however_the_log_is_cut() {
    // Brokers receive the log in batches of different sizes; all must end with one image and cover the same changes.
    let records = varied_records();
    let whole = apply(&ClusterImage::empty("cluster"), &records);
    for size in 1..records.len() {
        let mut image = ClusterImage::empty("cluster");
        let mut delta = Delta::default();
        for chunk in records.chunks(size) {
            let (next, changes) = apply(&image, chunk);
            image = next;
            delta.merge(changes);
        }
        assert_eq!(image.to_records(), whole.0.to_records(), "chunks of {size}");
        assert_eq!(delta, whole.1, "chunks of {size}");
    }
}

#[test]
fn deltas_name_what_changed_and_nothing_else() {
    // Shards open, close and reconfigure partitions by the delta alone.
    let image = image_of(&[topic(1, "a"), partition(1, 0), topic(2, "b"), partition(2, 0)]);
    let (next, delta) = apply(
        &image,
        &[
            partition(1, 1),
            PartitionChangeRecord {
                partition_id: PartitionId(0),
                topic_id: id(1),
                ..PartitionChangeRecord::default()
            }
            .into(),
            removal(2),
            topic(3, "c"),
            partition(3, 0),
            topic(4, "short-lived"),
            partition(4, 0),
            removal(4),
            config(ResourceKind::Topic, "a", "retention.ms", Some("1")),
        ],
    );
    let changed = &delta.topics[&id(1)];
    assert!(!changed.created);
    assert_eq!(changed.partitions_added, [PartitionId(1)].into());
    assert_eq!(changed.partitions_changed, [PartitionId(0)].into());
    assert_eq!(
        delta.topics_created().map(|(id, _)| id).collect::<Vec<_>>(),
        [id(3)]
    );
    assert_eq!(
        delta.topics_deleted.keys().copied().collect::<Vec<_>>(),
        [id(2)],
        "a topic that came and went leaves no trace"
    );
    assert_eq!(delta.configs, [ConfigResource::topic("a")].into());
    assert!(!delta.producer_ids && delta.brokers.is_empty());
    // the earlier image is what it was
    assert_eq!((image.topic_count(), image.partition_count()), (2, 2));
    assert_eq!((next.topic_count(), next.partition_count()), (2, 3));
    assert!(image.apply(&[]).expect("nothing").1.is_empty());
}

#[test]
fn emptied_configs_vanish() {
    // DescribeConfigs and ListConfigResources would otherwise name resources with nothing set.
    let set = image_of(&[config(ResourceKind::Broker, "1", "a", Some("x"))]);
    let (unset, delta) = apply(&set, &[config(ResourceKind::Broker, "1", "a", None)]);
    assert_eq!(unset.configs().count(), 0);
    assert_eq!(delta.configs.len(), 1);
}

#[test]
fn replicas_keep_their_directories_through_a_reassignment() {
    // A replica whose directory is forgotten would be created a second time elsewhere.
    let image = image_of(&[topic(1, "a"), partition(1, 0)]);
    let (next, _) = apply(
        &image,
        &[PartitionChangeRecord {
            partition_id: PartitionId(0),
            topic_id: id(1),
            replicas: Some(vec![BrokerId(3), BrokerId(2)]),
            ..PartitionChangeRecord::default()
        }
        .into()],
    );
    let partition = next.partition(id(1), PartitionId(0)).expect("partition");
    assert_eq!(
        partition.directories,
        [DirectoryId::UNASSIGNED, DirectoryId(id(72))]
    );
}

#[test]
fn records_that_do_not_fit_are_refused_and_change_nothing() {
    // A log that belongs to another cluster must stop the broker, not confuse it.
    let image = image_of(&[
        topic(1, "a"),
        partition(1, 0),
        broker(1, 5).into(),
        producer_ids(1000),
    ]);
    let cases: Vec<(Record, &str)> = vec![
        (topic(7, "a"), "created twice"),
        (topic(1, "z"), "created twice"),
        (partition(9, 0), "does not exist"),
        (partition(1, -1), "partition -1"),
        (
            PartitionChangeRecord {
                partition_id: PartitionId(5),
                topic_id: id(1),
                ..PartitionChangeRecord::default()
            }
            .into(),
            "does not exist",
        ),
        (removal(9), "does not exist"),
        (
            FenceBrokerRecord {
                id: BrokerId(1),
                epoch: BrokerEpoch(4),
                ..FenceBrokerRecord::default()
            }
            .into(),
            "epoch 4, registered with epoch 5",
        ),
        (
            UnregisterBrokerRecord {
                broker_id: BrokerId(2),
                ..UnregisterBrokerRecord::default()
            }
            .into(),
            "not registered",
        ),
        (producer_ids(999), "next producer id 999 after 1000"),
        (Record::decode(&[1, 99, 0]).expect("opaque"), "api key 99"),
        (EndTransactionRecord::default().into(), "outside the metadata log"),
    ];
    let before = image.to_records();
    for (record, expected) in cases {
        let error = image
            .apply(&[topic(50, "first"), record])
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(image.to_records(), before);
    }
}

#[test]
fn ten_thousand_partitions_and_topics_replay() {
    // Copying the topic for every partition would be 50 million copies here; the test would not end.
    let mut records = vec![topic(1, "large")];
    records.extend((0..10_000).map(|number| partition(1, number)));
    for number in 0..10_000u32 {
        records.push(topic(1000 + u128::from(number), &format!("t_{number}")));
        records.push(partition(1000 + u128::from(number), 0));
    }
    let image = image_of(&records).at(MetadataPosition {
        offset: Offset(30_000),
        epoch: ControllerEpoch(1),
    });
    assert_eq!((image.topic_count(), image.partition_count()), (10_001, 20_000));
    let mut one_by_one = image;
    for number in 0..10_000 {
        let (next, delta) = apply(&one_by_one, &[partition(1000 + number, 1)]);
        assert_eq!(delta.topics.len(), 1);
        one_by_one = next;
    }
    assert_eq!(one_by_one.partition_count(), 30_000);
}

#[test]
fn the_index_of_replicas_agrees_with_a_walk_over_all_of_them() {
    // A partition missing there keeps a leader that is gone, and no election is ever tried for it.
    let mut image = image_of(&[topic(1, "a"), topic(2, "b")]);
    let mut dice = 7u64;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    for step in 0..2_000 {
        let (number, id_of_partition) = (u128::from(1 + roll(2)), roll(200) as i32);
        let replicas: Vec<BrokerId> = match roll(5) as i32 {
            3 => vec![BrokerId(3)],
            first => vec![BrokerId(first), BrokerId(first + 1)],
        };
        let leader = if roll(3) == 0 { NO_LEADER } else { replicas[0] };
        let directories: Vec<DirectoryId> = replicas
            .iter()
            .map(|_| DirectoryId(id(u128::from(roll(3)))))
            .collect();
        let is_there = image
            .partition(id(number), PartitionId(id_of_partition))
            .is_some();
        let record = if is_there {
            Record::from(PartitionChangeRecord {
                partition_id: PartitionId(id_of_partition),
                topic_id: id(number),
                leader,
                directories: (roll(2) == 0).then_some(directories),
                replicas: Some(replicas),
                ..PartitionChangeRecord::default()
            })
        } else {
            Record::from(PartitionRecord {
                partition_id: PartitionId(id_of_partition),
                topic_id: id(number),
                leader,
                directories: if roll(4) == 0 { Vec::new() } else { directories },
                replicas,
                ..PartitionRecord::default()
            })
        };
        image = apply(&image, &[record]).0;
        if step % 500 == 499 {
            image = apply(&image, &[removal(2), topic(2, "b")]).0;
        }
        if step % 50 == 0 || step % 500 == 499 {
            check_index(&image);
        }
    }
    image = apply(&image, &[removal(1), removal(2)]).0;
    check_index(&image);
}

fn check_index(image: &ClusterImage) {
    type Key = (Uuid, PartitionId);
    let all = || {
        let topics = image.topics();
        topics.flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(move |(id, now)| ((topic.id, *id), now))
        })
    };
    let sorted = |mut keys: Vec<Key>| {
        keys.sort();
        keys
    };
    for broker in (0..8).map(BrokerId) {
        let walked = all().filter(|(_, now)| now.replicas.contains(&broker));
        let indexed = image.partitions_of(broker).map(|(topic, id, _)| (topic.id, id));
        assert_eq!(
            indexed.collect::<Vec<_>>(),
            sorted(walked.map(|(key, _)| key).collect())
        );
        for directory in (0..3).map(|number| DirectoryId(id(number))) {
            let lies_there = |now: &&Arc<PartitionImage>| now.directory_of(broker) == Some(directory);
            let walked = all().map(|(_, now)| now).filter(lies_there).count();
            assert_eq!(
                image.replica_count(broker, directory),
                walked,
                "of {broker} in {directory:?}"
            );
        }
    }
    let walked = all().filter(|(_, now)| now.leader.is_none());
    let indexed = image.leaderless_partitions().map(|(topic, id, _)| (topic.id, id));
    assert_eq!(
        indexed.collect::<Vec<_>>(),
        sorted(walked.map(|(key, _)| key).collect())
    );
}
