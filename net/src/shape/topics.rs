//! Requests that make, change, remove and describe topics.

use super::field::{Api, Field, Kind::*, field};

#[rustfmt::skip] // one API a line
pub(super) const APIS: &[Api] = &[
    Api { key: 3, name: "Metadata", version_min: 0, version_max: 13, flexible_since: 9, fields: METADATA },
    Api { key: 19, name: "CreateTopics", version_min: 2, version_max: 7, flexible_since: 5, fields: CREATE_TOPICS },
    Api { key: 20, name: "DeleteTopics", version_min: 1, version_max: 6, flexible_since: 4, fields: DELETE_TOPICS },
    Api { key: 37, name: "CreatePartitions", version_min: 0, version_max: 3, flexible_since: 2, fields: CREATE_PARTITIONS },
    Api { key: 75, name: "DescribeTopicPartitions", version_min: 0, version_max: 0, flexible_since: 0, fields: DESCRIBE_TOPIC_PARTITIONS },
];

const METADATA: &[Field] = &[
    field(
        "Topics",
        Structs(&[
            field("TopicId", Uuid).since(10),
            field("Name", String).null_since(10),
        ]),
    )
    .null_since(1),
    field("AllowAutoTopicCreation", I8).since(4),
    field("IncludeClusterAuthorizedOperations", I8).since(8).until(10),
    field("IncludeTopicAuthorizedOperations", I8).since(8),
];

const CREATE_TOPICS: &[Field] = &[
    field(
        "Topics",
        Structs(&[
            field("Name", String),
            field("NumPartitions", I32),
            field("ReplicationFactor", I16),
            field(
                "Assignments",
                Structs(&[field("PartitionIndex", I32), field("BrokerIds", I32s)]),
            ),
            field(
                "Configs",
                Structs(&[field("Name", String), field("Value", String).null()]),
            ),
        ]),
    ),
    field("timeoutMs", I32),
    field("validateOnly", I8),
];

const DELETE_TOPICS: &[Field] = &[
    field(
        "Topics",
        Structs(&[field("Name", String).null(), field("TopicId", Uuid)]),
    )
    .since(6),
    field("TopicNames", Strings).until(5),
    field("TimeoutMs", I32),
];

const CREATE_PARTITIONS: &[Field] = &[
    field(
        "Topics",
        Structs(&[
            field("Name", String),
            field("Count", I32),
            field("Assignments", Structs(&[field("BrokerIds", I32s)])).null(),
        ]),
    ),
    field("TimeoutMs", I32),
    field("ValidateOnly", I8),
];

const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
    field("Topics", Structs(&[field("Name", String)])),
    field("ResponsePartitionLimit", I32),
    field(
        "Cursor",
        Struct(&[field("TopicName", String), field("PartitionIndex", I32)]),
    )
    .null(),
];
