//! Requests about brokers and the cluster.

use super::field::{Api, Field, Kind::*, field};

#[rustfmt::skip] // one API a line
pub(super) const APIS: &[Api] = &[
    Api { key: 18, name: "ApiVersions", version_min: 0, version_max: 5, flexible_since: 3, fields: API_VERSIONS },
    Api { key: 34, name: "AlterReplicaLogDirs", version_min: 1, version_max: 2, flexible_since: 2, fields: ALTER_REPLICA_LOG_DIRS },
    Api { key: 35, name: "DescribeLogDirs", version_min: 1, version_max: 5, flexible_since: 2, fields: DESCRIBE_LOG_DIRS },
    Api { key: 43, name: "ElectLeaders", version_min: 0, version_max: 2, flexible_since: 2, fields: ELECT_LEADERS },
    Api { key: 45, name: "AlterPartitionReassignments", version_min: 0, version_max: 1, flexible_since: 0, fields: ALTER_PARTITION_REASSIGNMENTS },
    Api { key: 46, name: "ListPartitionReassignments", version_min: 0, version_max: 0, flexible_since: 0, fields: LIST_PARTITION_REASSIGNMENTS },
    Api { key: 57, name: "UpdateFeatures", version_min: 0, version_max: 2, flexible_since: 0, fields: UPDATE_FEATURES },
    Api { key: 60, name: "DescribeCluster", version_min: 0, version_max: 2, flexible_since: 0, fields: DESCRIBE_CLUSTER },
    Api { key: 64, name: "UnregisterBroker", version_min: 0, version_max: 0, flexible_since: 0, fields: UNREGISTER_BROKER },
];

const API_VERSIONS: &[Field] = &[
    field("ClientSoftwareName", String).since(3),
    field("ClientSoftwareVersion", String).since(3),
    field("ClusterId", String).since(5).null(),
    field("NodeId", I32).since(5),
];

const ALTER_REPLICA_LOG_DIRS: &[Field] = &[field(
    "Dirs",
    Structs(&[
        field("Path", String),
        field(
            "Topics",
            Structs(&[field("Name", String), field("Partitions", I32s)]),
        ),
    ]),
)];

const DESCRIBE_LOG_DIRS: &[Field] = &[field(
    "Topics",
    Structs(&[field("Topic", String), field("Partitions", I32s)]),
)
.null()];

const DESCRIBE_CLUSTER: &[Field] = &[
    field("IncludeClusterAuthorizedOperations", I8),
    field("EndpointType", I8).since(1),
    field("IncludeFencedBrokers", I8).since(2),
];

const ELECT_LEADERS: &[Field] = &[
    field("ElectionType", I8).since(1),
    field(
        "TopicPartitions",
        Structs(&[field("Topic", String), field("Partitions", I32s)]),
    )
    .null(),
    field("TimeoutMs", I32),
];

const ALTER_PARTITION_REASSIGNMENTS: &[Field] = &[
    field("TimeoutMs", I32),
    field("AllowReplicationFactorChange", I8).since(1),
    field(
        "Topics",
        Structs(&[
            field("Name", String),
            field(
                "Partitions",
                Structs(&[field("PartitionIndex", I32), field("Replicas", I32s).null()]),
            ),
        ]),
    ),
];

const LIST_PARTITION_REASSIGNMENTS: &[Field] = &[
    field("TimeoutMs", I32),
    field(
        "Topics",
        Structs(&[field("Name", String), field("PartitionIndexes", I32s)]),
    )
    .null(),
];

const UPDATE_FEATURES: &[Field] = &[
    field("TimeoutMs", I32),
    field(
        "FeatureUpdates",
        Structs(&[
            field("Feature", String),
            field("MaxVersionLevel", I16),
            field("AllowDowngrade", I8).until(0),
            field("UpgradeType", I8).since(1),
        ]),
    ),
    field("ValidateOnly", I8).since(1),
];

const UNREGISTER_BROKER: &[Field] = &[field("BrokerId", I32)];
