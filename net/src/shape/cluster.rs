//! Requests about brokers and the cluster.

use super::field::{Api, Field, Kind::*, field};

#[rustfmt::skip] // one API a line
pub(super) const APIS: &[Api] = &[
    Api { key: 18, name: "ApiVersions", version_min: 0, version_max: 5, flexible_since: 3, fields: API_VERSIONS },
    Api { key: 34, name: "AlterReplicaLogDirs", version_min: 1, version_max: 2, flexible_since: 2, fields: ALTER_REPLICA_LOG_DIRS },
    Api { key: 35, name: "DescribeLogDirs", version_min: 1, version_max: 5, flexible_since: 2, fields: DESCRIBE_LOG_DIRS },
    Api { key: 60, name: "DescribeCluster", version_min: 0, version_max: 2, flexible_since: 0, fields: DESCRIBE_CLUSTER },
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
