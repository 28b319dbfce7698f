//! Configs: set, refused, replaced.

use super::*;

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
            ErrorCode::BROKER_ID_NOT_REGISTERED,
            "No broker with id 2 found.",
        ),
        (
            4,
            "01",
            retention,
            ErrorCode::INVALID_REQUEST,
            "Node id must be an integer, but it is: 01",
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
