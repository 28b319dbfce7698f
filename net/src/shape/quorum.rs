//! Requests of the quorum that keeps the metadata log (KIP-595, KIP-630, KIP-853, KIP-996).

use super::field::{Api, Field, Kind::*, field};

#[rustfmt::skip] // one API a line
pub(super) const APIS: &[Api] = &[
    Api { key: 52, name: "Vote", version_min: 0, version_max: 2, flexible_since: 0, fields: VOTE },
    Api { key: 53, name: "BeginQuorumEpoch", version_min: 0, version_max: 1, flexible_since: 1, fields: BEGIN_QUORUM_EPOCH },
    Api { key: 54, name: "EndQuorumEpoch", version_min: 0, version_max: 1, flexible_since: 1, fields: END_QUORUM_EPOCH },
    Api { key: 55, name: "DescribeQuorum", version_min: 0, version_max: 2, flexible_since: 0, fields: DESCRIBE_QUORUM },
    Api { key: 59, name: "FetchSnapshot", version_min: 0, version_max: 1, flexible_since: 0, fields: FETCH_SNAPSHOT },
    Api { key: 80, name: "AddRaftVoter", version_min: 0, version_max: 0, flexible_since: 0, fields: ADD_RAFT_VOTER },
    Api { key: 81, name: "RemoveRaftVoter", version_min: 0, version_max: 0, flexible_since: 0, fields: REMOVE_RAFT_VOTER },
    Api { key: 82, name: "UpdateRaftVoter", version_min: 0, version_max: 0, flexible_since: 0, fields: UPDATE_RAFT_VOTER },
];

const VOTE: &[Field] = &[
    field("ClusterId", String).null(),
    field("VoterId", I32).since(1),
    field(
        "Topics",
        Structs(&[
            field("TopicName", String),
            field(
                "Partitions",
                Structs(&[
                    field("PartitionIndex", I32),
                    field("ReplicaEpoch", I32),
                    field("ReplicaId", I32),
                    field("ReplicaDirectoryId", Uuid).since(1),
                    field("VoterDirectoryId", Uuid).since(1),
                    field("LastOffsetEpoch", I32),
                    field("LastOffset", I64),
                    field("PreVote", I8).since(2),
                ]),
            ),
        ]),
    ),
];

const BEGIN_QUORUM_EPOCH: &[Field] = &[
    field("ClusterId", String).null(),
    field("VoterId", I32).since(1),
    field(
        "Topics",
        Structs(&[
            field("TopicName", String),
            field(
                "Partitions",
                Structs(&[
                    field("PartitionIndex", I32),
                    field("VoterDirectoryId", Uuid).since(1),
                    field("LeaderId", I32),
                    field("LeaderEpoch", I32),
                ]),
            ),
        ]),
    ),
    field("LeaderEndpoints", Structs(ENDPOINT)).since(1),
];

const END_QUORUM_EPOCH: &[Field] = &[
    field("ClusterId", String).null(),
    field(
        "Topics",
        Structs(&[
            field("TopicName", String),
            field(
                "Partitions",
                Structs(&[
                    field("PartitionIndex", I32),
                    field("LeaderId", I32),
                    field("LeaderEpoch", I32),
                    field("PreferredSuccessors", I32s).until(0),
                    field(
                        "PreferredCandidates",
                        Structs(&[field("CandidateId", I32), field("CandidateDirectoryId", Uuid)]),
                    )
                    .since(1),
                ]),
            ),
        ]),
    ),
    field("LeaderEndpoints", Structs(ENDPOINT)).since(1),
];

const DESCRIBE_QUORUM: &[Field] = &[field(
    "Topics",
    Structs(&[
        field("TopicName", String),
        field("Partitions", Structs(&[field("PartitionIndex", I32)])),
    ]),
)];

const FETCH_SNAPSHOT: &[Field] = &[
    field("ClusterId", String).null().tagged(0),
    field("ReplicaId", I32),
    field("MaxBytes", I32),
    field(
        "Topics",
        Structs(&[
            field("Name", String),
            field(
                "Partitions",
                Structs(&[
                    field("Partition", I32),
                    field("CurrentLeaderEpoch", I32),
                    field(
                        "SnapshotId",
                        Struct(&[field("EndOffset", I64), field("Epoch", I32)]),
                    ),
                    field("Position", I64),
                    field("ReplicaDirectoryId", Uuid).since(1).tagged(0),
                ]),
            ),
        ]),
    ),
];

const ADD_RAFT_VOTER: &[Field] = &[
    field("ClusterId", String).null(),
    field("TimeoutMs", I32),
    field("VoterId", I32),
    field("VoterDirectoryId", Uuid),
    field("Listeners", Structs(ENDPOINT)),
];

const REMOVE_RAFT_VOTER: &[Field] = &[
    field("ClusterId", String).null(),
    field("VoterId", I32),
    field("VoterDirectoryId", Uuid),
];

const UPDATE_RAFT_VOTER: &[Field] = &[
    field("ClusterId", String).null(),
    field("CurrentLeaderEpoch", I32),
    field("VoterId", I32),
    field("VoterDirectoryId", Uuid),
    field("Listeners", Structs(ENDPOINT)),
    field(
        "KRaftVersionFeature",
        Struct(&[
            field("MinSupportedVersion", I16),
            field("MaxSupportedVersion", I16),
        ]),
    ),
];

/// The port is unsigned, which makes no difference here.
const ENDPOINT: &[Field] = &[field("Name", String), field("Host", String), field("Port", I16)];
