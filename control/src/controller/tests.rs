//! The decider's tables: request against image, answer and records; everything decided is replayed.

use std::sync::Arc;

use engine::types::{LeaderEpoch, Offset, ProducerId};
use uuid::Uuid;

use super::*;
use crate::config::{BrokerConfig, Settings};
use crate::image::{ClusterImage, ConfigResource, ResourceKind};
use crate::record::*;

const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";

/// A cluster, as its controller sees it from request to request.
struct Cluster {
    controller: Controller,
    image: ClusterImage,
    next_offset: i64,
    seed: u64,
}

impl Cluster {
    /// Brokers 1 to `brokers`, registered and unfenced; the controller is broker 1.
    fn new(brokers: i32, properties: &str) -> Self {
        let mut settings = Settings::default();
        let properties = format!("node.id=1\n{properties}");
        settings.add_file(properties.as_bytes()).expect("properties");
        let (config, _) = BrokerConfig::from_settings(settings).expect("config");
        let mut cluster = Cluster {
            controller: Controller::new(Arc::new(config)),
            image: ClusterImage::empty(CLUSTER),
            next_offset: 0,
            seed: 1,
        };
        for id in 1..=brokers {
            let epoch = cluster.register(id, 1, PreviousShutdown::Clean);
            cluster.unfence(id, epoch);
        }
        cluster
    }

    /// Decides and replays, as the service does.
    fn call(&mut self, request: Request) -> Result<Response, ApiError> {
        let seed = &mut self.seed;
        let mut random = || {
            *seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            *seed ^ *seed >> 29
        };
        let mut context = Context {
            next_offset: Offset(self.next_offset),
            random: &mut random,
        };
        let decision = self.controller.decide(&mut context, request, &self.image)?;
        self.next_offset += decision.records.len() as i64;
        let (image, _) = self
            .image
            .apply(&decision.records)
            .expect("decisions fit the image");
        self.image = image;
        Ok(decision.response)
    }

    fn register(&mut self, id: i32, incarnation: u128, previous_shutdown: PreviousShutdown) -> BrokerEpoch {
        let request = RegisterBroker {
            broker_id: BrokerId(id),
            cluster_id: CLUSTER.to_owned(),
            incarnation_id: Uuid::from_u128(incarnation),
            endpoints: Vec::new(),
            features: Vec::new(),
            rack: None,
            log_dirs: vec![directory(id)],
            previous_shutdown,
        };
        match self.call(Request::RegisterBroker(request)) {
            Ok(Response::RegisterBroker(registered)) => registered.broker_epoch,
            other => panic!("{other:?}"),
        }
    }

    fn unfence(&mut self, id: i32, broker_epoch: BrokerEpoch) {
        let request = UnfenceBroker {
            broker_id: BrokerId(id),
            broker_epoch,
        };
        assert_eq!(
            self.call(Request::UnfenceBroker(request)),
            Ok(Response::UnfenceBroker)
        );
    }

    fn create(&mut self, topics: Vec<NewTopic>) -> Vec<NamedResult<CreatedTopic>> {
        let request = CreateTopics {
            topics,
            validate_only: false,
        };
        match self.call(Request::CreateTopics(request)) {
            Ok(Response::CreateTopics(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    fn create_one(&mut self, topic: NewTopic) -> Result<CreatedTopic, ApiError> {
        self.create(vec![topic]).remove(0).result
    }

    fn grow(&mut self, topics: Vec<NewPartitions>) -> Vec<NamedResult<()>> {
        let request = CreatePartitions {
            topics,
            validate_only: false,
        };
        match self.call(Request::CreatePartitions(request)) {
            Ok(Response::CreatePartitions(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    fn delete(&mut self, topics: Vec<TopicSelector>) -> Vec<DeletedTopic> {
        match self.call(Request::DeleteTopics(DeleteTopics { topics })) {
            Ok(Response::DeleteTopics(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    fn alter(
        &mut self,
        kind: i8,
        name: &str,
        operations: &[(&str, i8, Option<&str>)],
    ) -> Result<(), ApiError> {
        let operations = operations
            .iter()
            .map(|(name, operation, value)| IncrementalOperation {
                name: (*name).to_owned(),
                operation: *operation,
                value: value.map(str::to_owned),
            })
            .collect();
        let request = IncrementalAlterConfigs {
            resources: vec![IncrementalAlterConfigsResource {
                resource_type: kind,
                name: name.to_owned(),
                operations,
            }],
            validate_only: false,
        };
        match self.call(Request::IncrementalAlterConfigs(request)) {
            Ok(Response::IncrementalAlterConfigs(mut results)) => results.remove(0).result,
            other => panic!("{other:?}"),
        }
    }

    fn partition(&self, topic: &str, partition: i32) -> &crate::image::PartitionImage {
        let id = self.image.topic_id(topic).expect("topic");
        self.image
            .partition(id, PartitionId(partition))
            .expect("partition")
    }

    fn config(&self, kind: ResourceKind, resource: &str, name: &str) -> Option<&str> {
        let configs = self.image.config(&ConfigResource::new(kind, resource))?;
        configs.get(name).map(String::as_str)
    }
}

fn directory(broker: i32) -> DirectoryId {
    DirectoryId(Uuid::from_u128(1000 + broker as u128))
}

fn new_topic(name: &str, partition_count: i32, replication_factor: i16) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partition_count,
        replication_factor,
        ..NewTopic::default()
    }
}

fn by_hand(name: &str, assignments: &[(i32, &[i32])]) -> NewTopic {
    NewTopic {
        assignments: assignments
            .iter()
            .map(|(number, brokers)| (PartitionId(*number), ids(brokers)))
            .collect(),
        ..new_topic(name, -1, -1)
    }
}

fn with_config(topic: NewTopic, name: &str, value: Option<&str>) -> NewTopic {
    NewTopic {
        configs: vec![(name.to_owned(), value.map(str::to_owned))],
        ..topic
    }
}

fn ids(brokers: &[i32]) -> Vec<BrokerId> {
    brokers.iter().copied().map(BrokerId).collect()
}

fn named(name: &str) -> TopicSelector {
    TopicSelector {
        name: Some(name.to_owned()),
        id: Uuid::nil(),
    }
}

fn identified(id: Uuid) -> TopicSelector {
    TopicSelector { name: None, id }
}

fn more(name: &str, count: i32) -> NewPartitions {
    NewPartitions {
        name: name.to_owned(),
        count,
        assignments: None,
    }
}

#[test]
fn a_topic_is_created_with_defaults_configs_and_leaders() {
    // What a client's first CreateTopics must leave behind: a topic that can be written at once.
    let mut cluster = Cluster::new(1, "num.partitions=3");
    let created = cluster
        .create_one(with_config(
            new_topic("orders", -1, -1),
            "retention.ms",
            Some("60000"),
        ))
        .expect("created");
    assert_eq!((created.partition_count, created.replication_factor), (3, 1));
    assert_eq!(created.configs["retention.ms"], "60000");
    assert_eq!(cluster.image.topic_id("orders"), Some(created.id));
    assert_eq!(
        cluster.config(ResourceKind::Topic, "orders", "retention.ms"),
        Some("60000")
    );
    for number in 0..3 {
        let partition = cluster.partition("orders", number);
        assert_eq!(partition.leader, Some(BrokerId(1)));
        assert_eq!(partition.isr, ids(&[1]));
        assert_eq!(partition.directories, [directory(1)]);
        assert_eq!(partition.leader_epoch, LeaderEpoch(0));
    }
}

#[test]
fn topics_are_refused_in_kafkas_words() {
    // Tools print these messages, and clients branch on the codes.
    let mut cluster = Cluster::new(2, "");
    cluster.create_one(new_topic("a.b", 1, 1)).expect("created");
    let cases = [
        (
            new_topic("a.b", 1, 1),
            ErrorCode::TOPIC_ALREADY_EXISTS,
            "Topic 'a.b' already exists.",
        ),
        (
            new_topic("a_b", 1, 1),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            "Topic 'a_b' collides with existing topic: a.b",
        ),
        (
            new_topic("", 1, 1),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            "Topic name is invalid: the empty string is not allowed",
        ),
        (
            new_topic("__cluster_metadata", 1, 1),
            ErrorCode::INVALID_REQUEST,
            "Creation of internal topic __cluster_metadata is prohibited.",
        ),
        (
            new_topic("c", 0, 1),
            ErrorCode::INVALID_PARTITIONS,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            new_topic("c", -2, 1),
            ErrorCode::INVALID_PARTITIONS,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            new_topic("c", 1, 0),
            ErrorCode::INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            new_topic("c", 1, 3),
            ErrorCode::INVALID_REPLICATION_FACTOR,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached \
             because only 2 broker(s) are registered.",
        ),
        (
            NewTopic {
                replication_factor: 1,
                ..by_hand("c", &[(0, &[1])])
            },
            ErrorCode::INVALID_REQUEST,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        ),
        (
            NewTopic {
                partition_count: 1,
                ..by_hand("c", &[(0, &[1])])
            },
            ErrorCode::INVALID_REQUEST,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ),
        (
            by_hand("c", &[(0, &[1]), (0, &[2])]),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "Found multiple manual partition assignments for partition 0",
        ),
        (
            by_hand("c", &[(0, &[1]), (2, &[2])]),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (
            by_hand("c", &[(0, &[])]),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes an empty replica list.",
        ),
        (
            by_hand("c", &[(0, &[1, 7])]),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes broker 7, but no such broker is registered.",
        ),
        (
            by_hand("c", &[(0, &[2, 2])]),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes the broker 2 more than once.",
        ),
        (
            by_hand("c", &[(0, &[1, 2]), (1, &[1])]),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes a partition with 1 replica(s), but this is not consistent \
             with previous partitions, which have 2 replica(s).",
        ),
        (
            with_config(new_topic("c", 1, 1), "no.such", Some("1")),
            ErrorCode::INVALID_CONFIG,
            "Unknown topic config name: no.such",
        ),
        (
            with_config(new_topic("c", 1, 1), "retention.ms", None),
            ErrorCode::INVALID_CONFIG,
            "Null value not supported for topic configs: retention.ms",
        ),
    ];
    let before = cluster.image.to_records();
    for (topic, code, message) in cases {
        let shown = format!("{topic:?}");
        assert_eq!(
            cluster.create_one(topic),
            Err(ApiError::new(code, message)),
            "{shown}"
        );
    }
    assert_eq!(
        cluster.image.to_records(),
        before,
        "refused topics leave no records"
    );
}

#[test]
fn one_bad_topic_does_not_spoil_the_others() {
    // An application that creates its topics in one request expects each to be judged for itself.
    let mut cluster = Cluster::new(1, "");
    let results = cluster.create(vec![
        new_topic("good", 1, 1),
        new_topic("bad", 0, 1),
        new_topic("twice", 1, 1),
        new_topic("twice", 1, 1),
        new_topic("x.y", 1, 1),
        new_topic("x_y", 1, 1),
    ]);
    let answers: Vec<_> = results
        .iter()
        .map(|result| {
            let code = result.result.as_ref().err().map(|error| error.code);
            (result.name.as_str(), code)
        })
        .collect();
    assert_eq!(
        answers,
        [
            ("good", None),
            ("bad", Some(ErrorCode::INVALID_PARTITIONS)),
            ("x.y", None),
            ("x_y", Some(ErrorCode::INVALID_TOPIC_EXCEPTION)),
            ("twice", Some(ErrorCode::INVALID_REQUEST)),
        ]
    );
    assert_eq!(cluster.image.topic_count(), 2);
}

#[test]
fn validating_changes_nothing() {
    // kafka-topics and Terraform providers ask first.
    let mut cluster = Cluster::new(1, "");
    cluster.create_one(new_topic("t", 1, 1)).expect("created");
    let before = cluster.image.to_records();
    let responses = [
        cluster.call(Request::CreateTopics(CreateTopics {
            topics: vec![new_topic("u", 4, 1)],
            validate_only: true,
        })),
        cluster.call(Request::CreatePartitions(CreatePartitions {
            topics: vec![more("t", 5)],
            validate_only: true,
        })),
        cluster.call(Request::AlterConfigs(AlterConfigs {
            resources: vec![AlterConfigsResource {
                resource_type: 2,
                name: "t".to_owned(),
                configs: vec![("retention.ms".to_owned(), Some("5".to_owned()))],
            }],
            validate_only: true,
        })),
    ];
    for response in responses {
        match response.expect("an answer") {
            Response::CreateTopics(results) => {
                assert_eq!(
                    results[0].result.as_ref().map(|topic| topic.partition_count),
                    Ok(4)
                );
            }
            Response::CreatePartitions(results) => assert_eq!(results[0].result, Ok(())),
            Response::AlterConfigs(results) => assert_eq!(results[0].result, Ok(())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(cluster.image.to_records(), before);
}

#[test]
fn replicas_spread_over_brokers() {
    // Leaders on one broker would make it serve all clients.
    let mut cluster = Cluster::new(3, "");
    cluster.create_one(new_topic("t", 9, 2)).expect("created");
    let mut leaders = [0; 3];
    let mut replicas = [0; 3];
    for number in 0..9 {
        let partition = cluster.partition("t", number);
        assert_eq!(partition.replicas.len(), 2);
        assert_ne!(partition.replicas[0], partition.replicas[1]);
        assert_eq!(partition.leader, partition.replicas.first().copied());
        leaders[partition.replicas[0].0 as usize - 1] += 1;
        for replica in &partition.replicas {
            replicas[replica.0 as usize - 1] += 1;
        }
    }
    assert_eq!((leaders, replicas), ([3; 3], [6; 3]));
}

#[test]
fn a_request_creates_at_most_ten_thousand_partitions() {
    // Kafka's bound; a larger request would hold up everybody's.
    let mut cluster = Cluster::new(1, "");
    let created = cluster
        .create_one(new_topic("large", 10_000, 1))
        .expect("created");
    assert_eq!(created.partition_count, 10_000);
    let too_many = Err(ApiError::new(
        ErrorCode::POLICY_VIOLATION,
        "Excessively large number of partitions per request.",
    ));
    let request = CreateTopics {
        topics: vec![new_topic("a", 5_000, 1), new_topic("b", 5_001, 1)],
        validate_only: false,
    };
    assert_eq!(cluster.call(Request::CreateTopics(request)), too_many);
    let request = CreatePartitions {
        topics: vec![more("large", i32::MAX)],
        validate_only: false,
    };
    assert_eq!(cluster.call(Request::CreatePartitions(request)), too_many);
    // ten thousand topics in one request
    let topics = (0..10_000).map(|number| new_topic(&format!("t{number}"), 1, 1));
    let results = cluster.create(topics.collect());
    assert!(results.iter().all(|result| result.result.is_ok()));
    assert_eq!(cluster.image.partition_count(), 20_000);
}

#[test]
fn internal_topics_are_made_on_demand_and_fit_the_cluster() {
    // With three replicas asked for by default, a single node would never get its offsets topic.
    let mut cluster = Cluster::new(
        1,
        "offsets.topic.num.partitions=7\noffsets.topic.segment.bytes=2097152",
    );
    let request = || {
        Request::AutoCreateTopics(AutoCreateTopics {
            names: vec![
                "__consumer_offsets".to_owned(),
                "plain".to_owned(),
                "b/d".to_owned(),
            ],
        })
    };
    let created = match cluster.call(request()) {
        Ok(Response::AutoCreateTopics(results)) => results,
        other => panic!("{other:?}"),
    };
    let offsets = created[0].result.as_ref().expect("created");
    assert_eq!((offsets.partition_count, offsets.replication_factor), (7, 1));
    let config = |name| cluster.config(ResourceKind::Topic, "__consumer_offsets", name);
    assert_eq!(config("cleanup.policy"), Some("compact"));
    assert_eq!(config("segment.bytes"), Some("2097152"));
    assert_eq!(config("compression.type"), Some("producer"));
    assert_eq!(
        created[1].result.as_ref().map_err(|error| error.code),
        Err(ErrorCode::INVALID_TOPIC_EXCEPTION)
    );
    assert_eq!(
        created[2].result.as_ref().map(|topic| topic.partition_count),
        Ok(1)
    );
    // whoever asks second gets the same
    let topics = cluster.image.topic_count();
    assert_eq!(cluster.call(request()), Ok(Response::AutoCreateTopics(created)));
    assert_eq!(cluster.image.topic_count(), topics);
}

#[test]
fn topics_are_deleted_by_name_or_id_but_not_by_both() {
    // Deleting is final: whatever is ambiguous is refused.
    let mut cluster = Cluster::new(1, "");
    let mut id = |name: &str| cluster.create_one(new_topic(name, 2, 1)).expect("created").id;
    let (by_name, by_id, both) = (id("by-name"), id("by-id"), id("both"));
    let unknown = Uuid::from_u128(5);
    let results = cluster.delete(vec![
        named("by-name"),
        identified(by_id),
        named("both"),
        identified(both),
        named("unknown"),
        identified(unknown),
        identified(Uuid::nil()),
        named("twice"),
        named("twice"),
        TopicSelector {
            name: Some("by-name".to_owned()),
            id: by_name,
        },
    ]);
    let mut answers: Vec<_> = results
        .into_iter()
        .map(|deleted| {
            let code = deleted.result.err().map(|error| error.code);
            (deleted.name, deleted.id, code)
        })
        .collect();
    answers.sort();
    let invalid = Some(ErrorCode::INVALID_REQUEST);
    let mut expected = vec![
        (Some("by-name".to_owned()), by_name, None),
        (Some("by-id".to_owned()), by_id, None),
        (Some("both".to_owned()), both, invalid),
        (
            Some("unknown".to_owned()),
            Uuid::nil(),
            Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ),
        (None, unknown, Some(ErrorCode::UNKNOWN_TOPIC_ID)),
        (None, Uuid::nil(), invalid),
        (Some("twice".to_owned()), Uuid::nil(), invalid),
        (Some("by-name".to_owned()), by_name, invalid),
    ];
    expected.sort();
    assert_eq!(answers, expected);
    let left: Vec<_> = cluster
        .image
        .topics()
        .map(|topic| topic.name.to_string())
        .collect();
    assert_eq!(left, ["both"]);
    // the name is free again
    cluster.create_one(new_topic("by-name", 1, 1)).expect("created");

    let mut keeping = Cluster::new(1, "delete.topic.enable=false");
    let request = DeleteTopics {
        topics: vec![named("x")],
    };
    let refused = keeping.call(Request::DeleteTopics(request));
    assert_eq!(
        refused.map_err(|error| error.code),
        Err(ErrorCode::TOPIC_DELETION_DISABLED)
    );
}

#[test]
fn topics_grow_and_never_shrink() {
    // Fewer partitions would lose records; as many as there are is a mistake worth telling.
    let mut cluster = Cluster::new(2, "");
    cluster.create_one(new_topic("t", 2, 2)).expect("created");
    let results = cluster.grow(vec![
        more("t", 5),
        more("unknown", 3),
        more("twice", 3),
        more("twice", 4),
    ]);
    let answers: Vec<_> = results
        .into_iter()
        .map(|result| (result.name, result.result.map_err(|error| error.code)))
        .collect();
    assert_eq!(
        answers,
        [
            ("twice".to_owned(), Err(ErrorCode::INVALID_REQUEST)),
            ("t".to_owned(), Ok(())),
            ("unknown".to_owned(), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
        ]
    );
    let topic = cluster.image.topic_by_name("t").expect("topic");
    assert_eq!(
        topic.partitions.keys().map(|id| id.0).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
    assert_eq!(cluster.partition("t", 4).replicas.len(), 2);
    let cases = [
        (more("t", 5), "Topic already has 5 partition(s)."),
        (
            more("t", 4),
            "The topic t currently has 5 partition(s); 4 would not be an increase.",
        ),
        (
            more("t", -1),
            "The topic t currently has 5 partition(s); -1 would not be an increase.",
        ),
    ];
    for (request, message) in cases {
        assert_eq!(
            cluster.grow(vec![request])[0].result,
            Err(ApiError::new(ErrorCode::INVALID_PARTITIONS, message))
        );
    }
    let by_hand = |assignments: &[&[i32]]| NewPartitions {
        assignments: Some(assignments.iter().map(|brokers| ids(brokers)).collect()),
        ..more("t", 6)
    };
    let bad: [&[&[i32]]; 5] = [&[], &[&[1, 2], &[2, 1]], &[&[1]], &[&[1, 9]], &[&[1, 1]]];
    for bad in bad {
        let error = cluster
            .grow(vec![by_hand(bad)])
            .remove(0)
            .result
            .expect_err("refused");
        assert_eq!(error.code, ErrorCode::INVALID_REPLICA_ASSIGNMENT, "{bad:?}");
    }
    assert_eq!(cluster.grow(vec![by_hand(&[&[2, 1]])])[0].result, Ok(()));
    assert_eq!(cluster.partition("t", 5).leader, Some(BrokerId(2)));
}

#[test]
fn configs_change_by_operation() {
    // Set, delete, append and subtract are what kafka-configs and AdminClient send.
    let (set, delete, append, subtract) = (0, 1, 2, 3);
    let mut cluster = Cluster::new(1, "");
    cluster.create_one(new_topic("t", 1, 1)).expect("created");
    let policy = |cluster: &Cluster| {
        cluster
            .config(ResourceKind::Topic, "t", "cleanup.policy")
            .map(str::to_owned)
    };
    assert_eq!(
        cluster.alter(2, "t", &[("cleanup.policy", append, Some("compact"))]),
        Ok(())
    );
    assert_eq!(policy(&cluster).as_deref(), Some("delete,compact"));
    assert_eq!(
        cluster.alter(2, "t", &[("cleanup.policy", subtract, Some("delete"))]),
        Ok(())
    );
    assert_eq!(policy(&cluster).as_deref(), Some("compact"));
    assert_eq!(cluster.alter(2, "t", &[("cleanup.policy", delete, None)]), Ok(()));
    assert_eq!(policy(&cluster), None);
    // the resources besides topics
    assert_eq!(
        cluster.alter(4, "", &[("log.retention.ms", set, Some("5"))]),
        Ok(())
    );
    assert_eq!(
        cluster.config(ResourceKind::Broker, "", "log.retention.ms"),
        Some("5")
    );
    assert_eq!(
        cluster.alter(4, "1", &[("log.retention.ms", set, Some("6"))]),
        Ok(())
    );
    let group = &[("consumer.session.timeout.ms", set, Some("46000"))];
    assert_eq!(cluster.alter(32, "g", group), Ok(()));
    assert_eq!(
        cluster.config(ResourceKind::Group, "g", "consumer.session.timeout.ms"),
        Some("46000")
    );
}

#[test]
fn configs_are_refused_in_kafkas_words() {
    // The wrong code makes tools retry what can never work.
    let set = 0;
    let mut cluster = Cluster::new(1, "");
    cluster.create_one(new_topic("t", 1, 1)).expect("created");
    let long = "x".repeat(40_000);
    let retention = ("retention.ms", set, Some("5"));
    let plugin = ("some.plugin.key", set, Some(long.as_str()));
    let cases = [
        (
            2,
            "unknown",
            retention,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "The topic 'unknown' does not exist.",
        ),
        (
            2,
            "",
            retention,
            ErrorCode::INVALID_REQUEST,
            "Default topic resources are not allowed.",
        ),
        (
            2,
            "t",
            ("retention.ms", 9, Some("5")),
            ErrorCode::INVALID_REQUEST,
            "Unknown operations type 9",
        ),
        (
            2,
            "t",
            ("retention.ms", set, None),
            ErrorCode::INVALID_REQUEST,
            "Null value not supported for : retention.ms",
        ),
        (
            2,
            "t",
            ("bogus", set, Some("5")),
            ErrorCode::INVALID_CONFIG,
            "Unknown topic config name: bogus",
        ),
        (
            4,
            "x",
            retention,
            ErrorCode::INVALID_REQUEST,
            "Node id must be an integer, but it is: x",
        ),
        (
            4,
            "2",
            retention,
            ErrorCode::INVALID_REQUEST,
            "Unexpected broker id, expected 1, but received 2",
        ),
        (
            4,
            "1",
            plugin,
            ErrorCode::INVALID_CONFIG,
            "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.",
        ),
        (
            32,
            "",
            retention,
            ErrorCode::INVALID_REQUEST,
            "Default group resources are not allowed.",
        ),
        (
            0,
            "t",
            retention,
            ErrorCode::INVALID_REQUEST,
            "Unknown resource type 0",
        ),
        (
            8,
            "1",
            retention,
            ErrorCode::INVALID_REQUEST,
            "Unknown resource type 8",
        ),
    ];
    for (kind, name, operation, code, message) in cases {
        assert_eq!(
            cluster.alter(kind, name, &[operation]),
            Err(ApiError::new(code, message)),
            "{kind} {name}"
        );
    }
    let resource = AlterConfigsResource {
        resource_type: 2,
        name: "t".to_owned(),
        configs: Vec::new(),
    };
    let request = AlterConfigs {
        resources: vec![resource.clone(), resource],
        validate_only: false,
    };
    match cluster.call(Request::AlterConfigs(request)) {
        Ok(Response::AlterConfigs(results)) => {
            let twice = ApiError::new(
                ErrorCode::INVALID_REQUEST,
                "Each resource must appear at most once.",
            );
            assert!(results.iter().all(|result| result.result == Err(twice.clone())));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_older_form_replaces_all_configs() {
    // AlterConfigs means "exactly these"; forgetting one must put it back to its default.
    let mut cluster = Cluster::new(1, "");
    cluster
        .create_one(with_config(new_topic("t", 1, 1), "retention.ms", Some("5")))
        .expect("created");
    let request = AlterConfigs {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            name: "t".to_owned(),
            configs: vec![("segment.ms".to_owned(), Some("7000".to_owned()))],
        }],
        validate_only: false,
    };
    cluster.call(Request::AlterConfigs(request)).expect("an answer");
    assert_eq!(cluster.config(ResourceKind::Topic, "t", "retention.ms"), None);
    assert_eq!(
        cluster.config(ResourceKind::Topic, "t", "segment.ms"),
        Some("7000")
    );
}

#[test]
fn producer_ids_are_given_out_once_and_to_registered_brokers_only() {
    // Two producers with one id would be taken for one, and each other's records for duplicates.
    let mut cluster = Cluster::new(1, "");
    let epoch = cluster.image.broker(BrokerId(1)).expect("registered").epoch;
    let request = |broker, epoch| {
        Request::AllocateProducerIds(AllocateProducerIds {
            broker_id: BrokerId(broker),
            broker_epoch: epoch,
        })
    };
    for block in 0..3 {
        assert_eq!(
            cluster.call(request(1, epoch)),
            Ok(Response::AllocateProducerIds(ProducerIdBlock {
                first: ProducerId(block * 1000),
                count: 1000
            }))
        );
    }
    for (broker, epoch) in [(1, BrokerEpoch(epoch.0 + 1)), (2, epoch)] {
        let refused = cluster.call(request(broker, epoch)).map_err(|error| error.code);
        assert_eq!(refused, Err(ErrorCode::STALE_BROKER_EPOCH));
    }
}

#[test]
fn a_restarted_broker_gets_a_new_epoch_and_its_partitions_back() {
    // The old process's requests must be told from the new one's; records only this broker has must stay reachable.
    let mut cluster = Cluster::new(1, "");
    cluster.create_one(new_topic("t", 1, 1)).expect("created");
    let first = cluster.image.broker(BrokerId(1)).expect("registered").epoch;
    assert_eq!(
        cluster.register(1, 1, PreviousShutdown::Clean),
        first,
        "the same process asks again"
    );
    assert!(cluster.image.broker(BrokerId(1)).expect("registered").is_active());

    let second = cluster.register(1, 2, PreviousShutdown::Clean);
    assert!(second > first);
    assert!(cluster.image.broker(BrokerId(1)).expect("registered").fenced);
    cluster.unfence(1, second);
    let partition = cluster.partition("t", 0);
    assert_eq!(
        (partition.leader, partition.leader_epoch),
        (Some(BrokerId(1)), LeaderEpoch(0)),
        "a clean restart writes nothing about partitions"
    );

    let third = cluster.register(1, 3, PreviousShutdown::Unclean);
    assert_eq!(cluster.partition("t", 0).leader, None);
    cluster.unfence(1, third);
    let partition = cluster.partition("t", 0);
    assert_eq!(partition.leader, Some(BrokerId(1)));
    assert!(
        partition.leader_epoch > LeaderEpoch(0),
        "consumers check for lost records"
    );
}

#[test]
fn others_take_over_from_a_broker_that_restarted() {
    // The leader's log may be behind now; the ISR has everything acknowledged.
    let mut cluster = Cluster::new(2, "");
    cluster
        .create_one(by_hand("t", &[(0, &[1, 2]), (1, &[2, 1])]))
        .expect("created");
    cluster.register(1, 2, PreviousShutdown::Clean);
    for number in 0..2 {
        let partition = cluster.partition("t", number);
        assert_eq!(
            (partition.leader, partition.isr.clone()),
            (Some(BrokerId(2)), ids(&[2]))
        );
    }
    // new topics go to the broker that is left
    cluster.create_one(new_topic("u", 2, 1)).expect("created");
    assert_eq!(cluster.partition("u", 0).replicas, ids(&[2]));
    assert_eq!(cluster.partition("u", 1).replicas, ids(&[2]));
    // with two replicas the fenced one gets one, outside of the ISR
    cluster.create_one(new_topic("v", 1, 2)).expect("created");
    let partition = cluster.partition("v", 0);
    assert_eq!(
        (partition.replicas.clone(), partition.isr.clone()),
        (ids(&[2, 1]), ids(&[2]))
    );
}

#[test]
fn registrations_that_cannot_be_are_refused() {
    // A broker of another cluster, or one whose disk was copied, would mix two logs.
    let mut cluster = Cluster::new(1, "");
    let request = |broker_id, cluster_id: &str, log_dirs: &[DirectoryId]| {
        Request::RegisterBroker(RegisterBroker {
            broker_id: BrokerId(broker_id),
            cluster_id: cluster_id.to_owned(),
            incarnation_id: Uuid::from_u128(9),
            endpoints: Vec::new(),
            features: Vec::new(),
            rack: None,
            log_dirs: log_dirs.to_vec(),
            previous_shutdown: PreviousShutdown::Clean,
        })
    };
    let own = directory(2);
    let cases = [
        (
            request(2, "other", &[own]),
            ErrorCode::INCONSISTENT_CLUSTER_ID,
            "Expected cluster ID 4L6g3nShT-eMCtK--X86sw, but got cluster ID other",
        ),
        (
            request(2, CLUSTER, &[]),
            ErrorCode::INVALID_REGISTRATION,
            "No directories specified in request",
        ),
        (
            request(2, CLUSTER, &[own, own]),
            ErrorCode::INVALID_REGISTRATION,
            "Duplicate directory ID in request",
        ),
        (
            request(2, CLUSTER, &[DirectoryId::LOST]),
            ErrorCode::INVALID_REGISTRATION,
            "Reserved directory ID in request",
        ),
        (
            request(2, CLUSTER, &[directory(1)]),
            ErrorCode::INVALID_REGISTRATION,
            "Broker 1 is already registered with directory AAAAAAAAAAAAAAAAAAAD6Q",
        ),
    ];
    for (request, code, message) in cases {
        assert_eq!(cluster.call(request), Err(ApiError::new(code, message)));
    }
}

#[test]
fn decisions_depend_on_nothing_but_their_inputs() {
    // The simulation replays a seed; a decision that varied would make every failure unrepeatable.
    let run = || {
        let mut cluster = Cluster::new(3, "");
        cluster.create(
            (0..20)
                .map(|number| new_topic(&format!("t{number}"), 4, 2))
                .collect(),
        );
        cluster.grow(vec![more("t3", 9)]);
        cluster.delete(vec![named("t4")]);
        cluster.register(2, 7, PreviousShutdown::Unclean);
        cluster.image.to_records()
    };
    assert_eq!(run(), run());
}
