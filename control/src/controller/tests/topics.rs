//! Topics and partitions: created, grown, deleted.

use engine::types::LeaderEpoch;
use uuid::Uuid;

use super::*;

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
