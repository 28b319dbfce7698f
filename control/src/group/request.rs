//! What clients ask a group coordinator. Field names are Kafka's; the broker's api files translate from the wire.
//!
//! Version differences that are about meaning are decided here, from [`RequestContext::api_version`]. Differences
//! that are only about encoding stay with the translation, which fills absent fields with the values named here.

use bytes::Bytes;
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use uuid::Uuid;

/// Who asks, and in which version.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    pub api_version: i16,
    pub client_id: String,
    /// As Kafka prints a Java address: `/10.0.0.1`.
    pub client_host: String,
}

#[derive(Clone, Debug)]
pub enum Request {
    JoinGroup(JoinGroupRequest),
    SyncGroup(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    LeaveGroup(LeaveGroupRequest),
    OffsetCommit(OffsetCommitRequest),
    TxnOffsetCommit(TxnOffsetCommitRequest),
    OffsetFetch(OffsetFetchRequest),
    OffsetDelete(OffsetDeleteRequest),
    DescribeGroups(DescribeGroupsRequest),
    ListGroups(ListGroupsRequest),
    DeleteGroups(DeleteGroupsRequest),
}

#[derive(Clone, Debug)]
pub struct JoinGroupRequest {
    pub group_id: String,
    pub session_timeout_ms: i32,
    /// Absent in version 0, where the session timeout takes its place: the value is not looked at.
    pub rebalance_timeout_ms: i32,
    /// Empty when the member has none yet.
    pub member_id: String,
    /// From version 5.
    pub group_instance_id: Option<String>,
    pub protocol_type: String,
    /// In the member's order of preference.
    pub protocols: Vec<JoinGroupProtocol>,
    /// From version 8: told to the log only.
    pub reason: Option<String>,
    /// Not from the wire: fresh chance from the caller, for the member id if this request needs a new one.
    pub member_uuid: Uuid,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupProtocol {
    pub name: String,
    pub metadata: Bytes,
}

#[derive(Clone, Debug)]
pub struct SyncGroupRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    /// From version 3.
    pub group_instance_id: Option<String>,
    /// From version 5; `None` is not checked.
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    /// Filled by the leader only.
    pub assignments: Vec<SyncGroupAssignment>,
}

#[derive(Clone, Debug)]
pub struct SyncGroupAssignment {
    pub member_id: String,
    pub assignment: Bytes,
}

#[derive(Clone, Debug)]
pub struct HeartbeatRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    /// From version 3.
    pub group_instance_id: Option<String>,
}

#[derive(Clone, Debug)]
pub struct LeaveGroupRequest {
    pub group_id: String,
    /// Up to version 2 exactly one, without an instance id.
    pub members: Vec<MemberIdentity>,
}

#[derive(Clone, Debug)]
pub struct MemberIdentity {
    /// Empty when an administrator removes a static member by its instance id.
    pub member_id: String,
    pub group_instance_id: Option<String>,
    /// From version 5: told to the log only.
    pub reason: Option<String>,
}

#[derive(Clone, Debug)]
pub struct OffsetCommitRequest {
    pub group_id: String,
    /// -1 from consumers that assign partitions themselves.
    pub generation_id: i32,
    pub member_id: String,
    /// From version 7.
    pub group_instance_id: Option<String>,
    /// Versions 2 to 4; -1 everywhere else: the broker's retention holds.
    pub retention_time_ms: i64,
    pub topics: Vec<OffsetCommitTopic>,
}

#[derive(Clone, Debug)]
pub struct OffsetCommitTopic {
    pub name: String,
    /// From version 10; kept with the offset, so that a topic created again does not inherit it.
    pub topic_id: Option<Uuid>,
    pub partitions: Vec<OffsetCommitPartition>,
}

#[derive(Clone, Debug)]
pub struct OffsetCommitPartition {
    pub partition_index: i32,
    pub committed_offset: Offset,
    /// From version 6; `LeaderEpoch::NONE` before.
    pub committed_leader_epoch: LeaderEpoch,
    pub committed_metadata: Option<String>,
}

#[derive(Clone, Debug)]
pub struct TxnOffsetCommitRequest {
    pub group_id: String,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    /// From version 3; -1 before.
    pub generation_id: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub topics: Vec<OffsetCommitTopic>,
}

/// One group's part of an OffsetFetch; from version 8 a request holds several, which may live on several partitions.
#[derive(Clone, Debug)]
pub struct OffsetFetchRequest {
    pub group_id: String,
    /// `None`: everything the group committed.
    pub topics: Option<Vec<OffsetFetchTopic>>,
    /// From version 7.
    pub require_stable: bool,
}

#[derive(Clone, Debug)]
pub struct OffsetFetchTopic {
    pub name: String,
    /// From version 10.
    pub topic_id: Option<Uuid>,
    pub partition_indexes: Vec<i32>,
}

#[derive(Clone, Debug)]
pub struct OffsetDeleteRequest {
    pub group_id: String,
    pub topics: Vec<OffsetDeleteTopic>,
}

#[derive(Clone, Debug)]
pub struct OffsetDeleteTopic {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

/// The groups of one DescribeGroups that live on this partition.
#[derive(Clone, Debug)]
pub struct DescribeGroupsRequest {
    pub groups: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct ListGroupsRequest {
    /// From version 4, case does not count; empty lists every state.
    pub states_filter: Vec<String>,
    /// From version 5, case does not count; empty lists every type.
    pub types_filter: Vec<String>,
}

/// The groups of one DeleteGroups that live on this partition.
#[derive(Clone, Debug)]
pub struct DeleteGroupsRequest {
    pub groups_names: Vec<String>,
}
