//! What a group coordinator answers. Field names are Kafka's.

use bytes::Bytes;
use engine::types::{LeaderEpoch, Offset};
use uuid::Uuid;

use super::error::ErrorCode;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    JoinGroup(JoinGroupResponse),
    SyncGroup(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    LeaveGroup(LeaveGroupResponse),
    OffsetCommit(OffsetCommitResponse),
    TxnOffsetCommit(OffsetCommitResponse),
    OffsetFetch(OffsetFetchResponse),
    OffsetDelete(OffsetDeleteResponse),
    DescribeGroups(DescribeGroupsResponse),
    ListGroups(ListGroupsResponse),
    DeleteGroups(DeleteGroupsResponse),
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct JoinGroupResponse {
    pub error_code: ErrorCode,
    /// -1 with every error.
    pub generation_id: i32,
    /// Nullable from version 7; older versions are sent an empty string.
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    /// Member id of the leader; empty with every error.
    pub leader: String,
    /// From version 9: the leader keeps the assignment there is (KIP-814).
    pub skip_assignment: bool,
    pub member_id: String,
    /// For the leader: everybody, with what they subscribed to.
    pub members: Vec<JoinGroupResponseMember>,
}

impl JoinGroupResponse {
    pub fn refused(member_id: &str, error_code: ErrorCode) -> Self {
        JoinGroupResponse {
            error_code,
            generation_id: -1,
            member_id: member_id.to_owned(),
            ..Default::default()
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupResponseMember {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub metadata: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SyncGroupResponse {
    pub error_code: ErrorCode,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignment: Bytes,
}

impl SyncGroupResponse {
    pub fn refused(error_code: ErrorCode) -> Self {
        SyncGroupResponse {
            error_code,
            ..Default::default()
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HeartbeatResponse {
    pub error_code: ErrorCode,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LeaveGroupResponse {
    pub error_code: ErrorCode,
    pub members: Vec<LeaveGroupResponseMember>,
}

impl LeaveGroupResponse {
    /// The error at the top of the response: versions 0 to 2 have no list, so their one member's error moves up.
    pub fn top_level_error(&self, api_version: i16) -> ErrorCode {
        match self.members.first() {
            Some(only) if api_version <= 2 && !self.error_code.is_error() => only.error_code,
            _ => self.error_code,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveGroupResponseMember {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub error_code: ErrorCode,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OffsetCommitResponse {
    pub topics: Vec<OffsetCommitResponseTopic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitResponseTopic {
    pub name: String,
    pub topic_id: Option<Uuid>,
    pub partitions: Vec<PartitionError>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PartitionError {
    pub partition_index: i32,
    pub error_code: ErrorCode,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OffsetFetchResponse {
    pub group_id: String,
    pub error_code: ErrorCode,
    pub topics: Vec<OffsetFetchResponseTopic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchResponseTopic {
    pub name: String,
    pub topic_id: Option<Uuid>,
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchResponsePartition {
    pub partition_index: i32,
    /// `Offset::NONE` when nothing is committed.
    pub committed_offset: Offset,
    pub committed_leader_epoch: LeaderEpoch,
    pub metadata: String,
    pub error_code: ErrorCode,
}

impl OffsetFetchResponsePartition {
    /// Nothing to show: nothing committed, or `error_code` says what stands in the way.
    pub fn without_offset(partition_index: i32, error_code: ErrorCode) -> Self {
        OffsetFetchResponsePartition {
            partition_index,
            committed_offset: Offset::NONE,
            committed_leader_epoch: LeaderEpoch::NONE,
            metadata: String::new(),
            error_code,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OffsetDeleteResponse {
    pub error_code: ErrorCode,
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetDeleteResponseTopic {
    pub name: String,
    pub partitions: Vec<PartitionError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DescribeGroupsResponse {
    pub groups: Vec<DescribedGroup>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DescribedGroup {
    pub error_code: ErrorCode,
    /// From version 6.
    pub error_message: Option<String>,
    pub group_id: String,
    pub group_state: String,
    pub protocol_type: String,
    /// Name of the chosen protocol; only while the group is stable.
    pub protocol_data: String,
    pub members: Vec<DescribedGroupMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroupMember {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Only while the group is stable.
    pub member_metadata: Bytes,
    pub member_assignment: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListGroupsResponse {
    pub error_code: ErrorCode,
    pub groups: Vec<ListedGroup>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    pub group_id: String,
    pub protocol_type: String,
    pub group_state: String,
    pub group_type: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeleteGroupsResponse {
    pub results: Vec<DeletableGroupResult>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletableGroupResult {
    pub group_id: String,
    pub error_code: ErrorCode,
    /// From version 3.
    pub error_message: Option<String>,
}
