//! Requests of consumer groups and about them.

use super::field::{Api, Field, Kind::*, NEVER, field};

#[rustfmt::skip] // one API a line
pub(super) const APIS: &[Api] = &[
    Api { key: 8, name: "OffsetCommit", version_min: 2, version_max: 10, flexible_since: 8, fields: OFFSET_COMMIT },
    Api { key: 9, name: "OffsetFetch", version_min: 1, version_max: 10, flexible_since: 6, fields: OFFSET_FETCH },
    Api { key: 10, name: "FindCoordinator", version_min: 0, version_max: 6, flexible_since: 3, fields: FIND_COORDINATOR },
    Api { key: 11, name: "JoinGroup", version_min: 0, version_max: 9, flexible_since: 6, fields: JOIN_GROUP },
    Api { key: 12, name: "Heartbeat", version_min: 0, version_max: 4, flexible_since: 4, fields: HEARTBEAT },
    Api { key: 13, name: "LeaveGroup", version_min: 0, version_max: 5, flexible_since: 4, fields: LEAVE_GROUP },
    Api { key: 14, name: "SyncGroup", version_min: 0, version_max: 5, flexible_since: 4, fields: SYNC_GROUP },
    Api { key: 15, name: "DescribeGroups", version_min: 0, version_max: 6, flexible_since: 5, fields: DESCRIBE_GROUPS },
    Api { key: 16, name: "ListGroups", version_min: 0, version_max: 5, flexible_since: 3, fields: LIST_GROUPS },
    Api { key: 42, name: "DeleteGroups", version_min: 0, version_max: 3, flexible_since: 2, fields: DELETE_GROUPS },
    Api { key: 47, name: "OffsetDelete", version_min: 0, version_max: 0, flexible_since: NEVER, fields: OFFSET_DELETE },
];

const OFFSET_COMMIT: &[Field] = &[
    field("GroupId", String),
    field("GenerationIdOrMemberEpoch", I32),
    field("MemberId", String),
    field("GroupInstanceId", String).since(7).null(),
    field("RetentionTimeMs", I64).until(4),
    field(
        "Topics",
        Structs(&[
            field("Name", String).until(9),
            field("TopicId", Uuid).since(10),
            field(
                "Partitions",
                Structs(&[
                    field("PartitionIndex", I32),
                    field("CommittedOffset", I64),
                    field("CommittedLeaderEpoch", I32).since(6),
                    field("CommittedMetadata", String).null(),
                ]),
            ),
        ]),
    ),
];

const OFFSET_FETCH: &[Field] = &[
    field("GroupId", String).until(7),
    field(
        "Topics",
        Structs(&[field("Name", String), field("PartitionIndexes", I32s)]),
    )
    .until(7)
    .null_since(2),
    field(
        "Groups",
        Structs(&[
            field("GroupId", String),
            field("MemberId", String).since(9).null(),
            field("MemberEpoch", I32).since(9),
            field(
                "Topics",
                Structs(&[
                    field("Name", String).until(9),
                    field("TopicId", Uuid).since(10),
                    field("PartitionIndexes", I32s),
                ]),
            )
            .null(),
        ]),
    )
    .since(8),
    field("RequireStable", I8).since(7),
];

const FIND_COORDINATOR: &[Field] = &[
    field("Key", String).until(3),
    field("KeyType", I8).since(1),
    field("CoordinatorKeys", Strings).since(4),
];

const JOIN_GROUP: &[Field] = &[
    field("GroupId", String),
    field("SessionTimeoutMs", I32),
    field("RebalanceTimeoutMs", I32).since(1),
    field("MemberId", String),
    field("GroupInstanceId", String).since(5).null(),
    field("ProtocolType", String),
    field(
        "Protocols",
        Structs(&[field("Name", String), field("Metadata", Bytes)]),
    ),
    field("Reason", String).since(8).null(),
];

const HEARTBEAT: &[Field] = &[
    field("GroupId", String),
    field("GenerationId", I32),
    field("MemberId", String),
    field("GroupInstanceId", String).since(3).null(),
];

const LEAVE_GROUP: &[Field] = &[
    field("GroupId", String),
    field("MemberId", String).until(2),
    field(
        "Members",
        Structs(&[
            field("MemberId", String),
            field("GroupInstanceId", String).null(),
            field("Reason", String).since(5).null(),
        ]),
    )
    .since(3),
];

const SYNC_GROUP: &[Field] = &[
    field("GroupId", String),
    field("GenerationId", I32),
    field("MemberId", String),
    field("GroupInstanceId", String).since(3).null(),
    field("ProtocolType", String).since(5).null(),
    field("ProtocolName", String).since(5).null(),
    field(
        "Assignments",
        Structs(&[field("MemberId", String), field("Assignment", Bytes)]),
    ),
];

const DESCRIBE_GROUPS: &[Field] = &[
    field("Groups", Strings),
    field("IncludeAuthorizedOperations", I8).since(3),
];

const LIST_GROUPS: &[Field] = &[
    field("StatesFilter", Strings).since(4),
    field("TypesFilter", Strings).since(5),
];

const DELETE_GROUPS: &[Field] = &[field("GroupsNames", Strings)];

const OFFSET_DELETE: &[Field] = &[
    field("GroupId", String),
    field(
        "Topics",
        Structs(&[
            field("Name", String),
            field("Partitions", Structs(&[field("PartitionIndex", I32)])),
        ]),
    ),
];
