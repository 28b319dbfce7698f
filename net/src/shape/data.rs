//! Requests about the records of partitions.

use super::field::{Api, Field, Kind::*, field};

#[rustfmt::skip] // one API a line
pub(super) const APIS: &[Api] = &[
    Api { key: 0, name: "Produce", version_min: 3, version_max: 13, flexible_since: 9, fields: PRODUCE },
    Api { key: 1, name: "Fetch", version_min: 4, version_max: 18, flexible_since: 12, fields: FETCH },
    Api { key: 2, name: "ListOffsets", version_min: 1, version_max: 11, flexible_since: 6, fields: LIST_OFFSETS },
    Api { key: 21, name: "DeleteRecords", version_min: 0, version_max: 2, flexible_since: 2, fields: DELETE_RECORDS },
    Api { key: 22, name: "InitProducerId", version_min: 0, version_max: 5, flexible_since: 2, fields: INIT_PRODUCER_ID },
    Api { key: 23, name: "OffsetForLeaderEpoch", version_min: 2, version_max: 4, flexible_since: 4, fields: OFFSET_FOR_LEADER_EPOCH },
    Api { key: 61, name: "DescribeProducers", version_min: 0, version_max: 0, flexible_since: 0, fields: DESCRIBE_PRODUCERS },
];

const PRODUCE: &[Field] = &[
    field("TransactionalId", String).null(),
    field("Acks", I16),
    field("TimeoutMs", I32),
    field(
        "TopicData",
        Structs(&[
            field("Name", String).until(12),
            field("TopicId", Uuid).since(13),
            field(
                "PartitionData",
                Structs(&[field("Index", I32), field("Records", Bytes).null()]),
            ),
        ]),
    ),
];

const FETCH: &[Field] = &[
    field("ClusterId", String).since(12).null().tagged(0),
    field("ReplicaId", I32).until(14),
    field(
        "ReplicaState",
        Struct(&[field("ReplicaId", I32), field("ReplicaEpoch", I64)]),
    )
    .since(15)
    .tagged(1),
    field("MaxWaitMs", I32),
    field("MinBytes", I32),
    field("MaxBytes", I32),
    field("IsolationLevel", I8),
    field("SessionId", I32).since(7),
    field("SessionEpoch", I32).since(7),
    field(
        "Topics",
        Structs(&[
            field("Topic", String).until(12),
            field("TopicId", Uuid).since(13),
            field(
                "Partitions",
                Structs(&[
                    field("Partition", I32),
                    field("CurrentLeaderEpoch", I32).since(9),
                    field("FetchOffset", I64),
                    field("LastFetchedEpoch", I32).since(12),
                    field("LogStartOffset", I64).since(5),
                    field("PartitionMaxBytes", I32),
                    field("ReplicaDirectoryId", Uuid).since(17).tagged(0),
                    field("HighWatermark", I64).since(18).tagged(1),
                ]),
            ),
        ]),
    ),
    field(
        "ForgottenTopicsData",
        Structs(&[
            field("Topic", String).until(12),
            field("TopicId", Uuid).since(13),
            field("Partitions", I32s),
        ]),
    )
    .since(7),
    field("RackId", String).since(11),
];

const LIST_OFFSETS: &[Field] = &[
    field("ReplicaId", I32),
    field("IsolationLevel", I8).since(2),
    field(
        "Topics",
        Structs(&[
            field("Name", String),
            field(
                "Partitions",
                Structs(&[
                    field("PartitionIndex", I32),
                    field("CurrentLeaderEpoch", I32).since(4),
                    field("Timestamp", I64),
                ]),
            ),
        ]),
    ),
    field("TimeoutMs", I32).since(10),
];

const DELETE_RECORDS: &[Field] = &[
    field(
        "Topics",
        Structs(&[
            field("Name", String),
            field(
                "Partitions",
                Structs(&[field("PartitionIndex", I32), field("Offset", I64)]),
            ),
        ]),
    ),
    field("TimeoutMs", I32),
];

const INIT_PRODUCER_ID: &[Field] = &[
    field("TransactionalId", String).null(),
    field("TransactionTimeoutMs", I32),
    field("ProducerId", I64).since(3),
    field("ProducerEpoch", I16).since(3),
];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    field("ReplicaId", I32).since(3),
    field(
        "Topics",
        Structs(&[
            field("Topic", String),
            field(
                "Partitions",
                Structs(&[
                    field("Partition", I32),
                    field("CurrentLeaderEpoch", I32),
                    field("LeaderEpoch", I32),
                ]),
            ),
        ]),
    ),
];

const DESCRIBE_PRODUCERS: &[Field] = &[field(
    "Topics",
    Structs(&[field("Name", String), field("PartitionIndexes", I32s)]),
)];
