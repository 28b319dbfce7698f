//! One error for a whole request, in the shape that request's response gives it.

use super::error::ErrorCode;
use super::request::Request;
use super::response::*;

/// The response that refuses all of `request`.
pub fn request(request: &Request, error_code: ErrorCode) -> Response {
    match request {
        Request::JoinGroup(join) => {
            Response::JoinGroup(JoinGroupResponse::refused(&join.member_id, error_code))
        }
        Request::SyncGroup(_) => Response::SyncGroup(SyncGroupResponse::refused(error_code)),
        Request::Heartbeat(_) => Response::Heartbeat(HeartbeatResponse { error_code }),
        Request::LeaveGroup(_) => Response::LeaveGroup(LeaveGroupResponse {
            error_code,
            members: Vec::new(),
        }),
        Request::OffsetCommit(commit) => Response::OffsetCommit(offset_commit(&commit.topics, error_code)),
        Request::TxnOffsetCommit(commit) => {
            Response::TxnOffsetCommit(offset_commit(&commit.topics, error_code))
        }
        Request::OffsetFetch(fetch) => Response::OffsetFetch(OffsetFetchResponse {
            group_id: fetch.group_id.clone(),
            error_code,
            topics: Vec::new(),
        }),
        Request::OffsetDelete(_) => Response::OffsetDelete(OffsetDeleteResponse {
            error_code,
            topics: Vec::new(),
        }),
        Request::DescribeGroups(describe) => Response::DescribeGroups(DescribeGroupsResponse {
            groups: describe
                .groups
                .iter()
                .map(|group_id| DescribedGroup {
                    error_code,
                    group_id: group_id.clone(),
                    ..Default::default()
                })
                .collect(),
        }),
        Request::ListGroups(_) => Response::ListGroups(ListGroupsResponse {
            error_code,
            groups: Vec::new(),
        }),
        Request::DeleteGroups(delete) => Response::DeleteGroups(DeleteGroupsResponse {
            results: delete
                .groups_names
                .iter()
                .map(|group_id| DeletableGroupResult {
                    group_id: group_id.clone(),
                    error_code,
                    error_message: None,
                })
                .collect(),
        }),
    }
}

/// The OffsetCommit (or TxnOffsetCommit) answer with one error for every partition.
pub fn offset_commit(
    topics: &[super::request::OffsetCommitTopic],
    error_code: ErrorCode,
) -> OffsetCommitResponse {
    OffsetCommitResponse {
        topics: topics
            .iter()
            .map(|topic| OffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions: topic
                    .partitions
                    .iter()
                    .map(|p| PartitionError {
                        partition_index: p.partition_index,
                        error_code,
                    })
                    .collect(),
            })
            .collect(),
    }
}

/// Turns an answer that waited for its records into a refusal, because they could not be made durable.
pub fn withdrawn(response: Response, error_code: ErrorCode) -> Response {
    match response {
        Response::JoinGroup(join) => {
            Response::JoinGroup(JoinGroupResponse::refused(&join.member_id, error_code))
        }
        Response::SyncGroup(_) => Response::SyncGroup(SyncGroupResponse::refused(error_code)),
        Response::Heartbeat(_) => Response::Heartbeat(HeartbeatResponse { error_code }),
        Response::LeaveGroup(_) => Response::LeaveGroup(LeaveGroupResponse {
            error_code,
            members: Vec::new(),
        }),
        Response::OffsetCommit(answer) => Response::OffsetCommit(with_error(answer, error_code)),
        Response::TxnOffsetCommit(answer) => Response::TxnOffsetCommit(with_error(answer, error_code)),
        Response::OffsetFetch(fetch) => Response::OffsetFetch(OffsetFetchResponse {
            group_id: fetch.group_id,
            error_code,
            topics: Vec::new(),
        }),
        Response::OffsetDelete(_) => Response::OffsetDelete(OffsetDeleteResponse {
            error_code,
            topics: Vec::new(),
        }),
        Response::DescribeGroups(mut described) => {
            for group in &mut described.groups {
                group.error_code = error_code;
            }
            Response::DescribeGroups(described)
        }
        Response::ListGroups(_) => Response::ListGroups(ListGroupsResponse {
            error_code,
            groups: Vec::new(),
        }),
        Response::DeleteGroups(mut deleted) => {
            for result in &mut deleted.results {
                result.error_code = error_code;
            }
            Response::DeleteGroups(deleted)
        }
    }
}

fn with_error(mut answer: OffsetCommitResponse, error_code: ErrorCode) -> OffsetCommitResponse {
    for topic in &mut answer.topics {
        for partition in &mut topic.partitions {
            partition.error_code = error_code;
        }
    }
    answer
}
