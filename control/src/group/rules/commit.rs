//! OffsetCommit and TxnOffsetCommit: who may commit, and what goes to the log.

use engine::types::Timestamp;

use crate::group::appends::Then;
use crate::group::error::ErrorCode;
use crate::group::group::{Group, GroupState};
use crate::group::outbox::Outbox;
use crate::group::record::{OffsetCommitKey, OffsetCommitValue, Record};
use crate::group::refuse;
use crate::group::request::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic, RequestContext, TxnOffsetCommitRequest,
};
use crate::group::response::{OffsetCommitResponse, OffsetCommitResponseTopic, PartitionError, Response};
use crate::group::shard::{GroupShard, Token};

use super::heartbeat::renew_session;

/// First version that is told GROUP_ID_NOT_FOUND; older ones know ILLEGAL_GENERATION only.
const GROUP_ID_NOT_FOUND_SINCE: i16 = 9;

/// The retention that means "the broker's".
const DEFAULT_RETENTION_TIME_MS: i64 = -1;

/// Who says it is committing.
struct Committer<'a> {
    generation_id: i32,
    member_id: &'a str,
    group_instance_id: Option<&'a str>,
    kind: CommitKind,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum CommitKind {
    Plain,
    /// Generation and member are checked when given, and the group may be rebalancing: the transaction is what
    /// keeps two owners of a partition apart.
    Transactional,
}

pub(in crate::group) fn commit(
    shard: &mut GroupShard,
    token: Token,
    context: &RequestContext,
    request: OffsetCommitRequest,
) {
    let committer = Committer {
        generation_id: request.generation_id,
        member_id: &request.member_id,
        group_instance_id: request.group_instance_id.as_deref(),
        kind: CommitKind::Plain,
    };
    let unknown_group = if context.api_version >= GROUP_ID_NOT_FOUND_SINCE {
        ErrorCode::GROUP_ID_NOT_FOUND
    } else {
        ErrorCode::ILLEGAL_GENERATION
    };
    if let Err(code) = check(shard, &request.group_id, &committer, unknown_group) {
        let answer = refuse::offset_commit(&request.topics, code);
        return shard.out.respond(token, Response::OffsetCommit(answer));
    }
    if let Some(group) = shard.groups.get(request.group_id.as_str()) {
        // a consumer that commits is alive
        if matches!(group.state(), GroupState::Stable | GroupState::PreparingRebalance) {
            renew_session(group, &mut shard.out, &request.member_id);
        }
    }
    let now = shard.out.now.wall;
    let expire_timestamp = (request.retention_time_ms != DEFAULT_RETENTION_TIME_MS)
        .then(|| Timestamp(now.0.saturating_add(request.retention_time_ms)));
    let (records, answer) = records_for(shard, &request.group_id, request.topics, expire_timestamp);
    shard.out.counters.offset_commits += records.len() as u64;
    append_or_answer(
        shard,
        token,
        records,
        Response::OffsetCommit(answer),
        |out, records, then| {
            out.append(records, then);
        },
    );
    shard.drop_if_unborn(&request.group_id);
}

pub(in crate::group) fn commit_in_transaction(
    shard: &mut GroupShard,
    token: Token,
    request: TxnOffsetCommitRequest,
) {
    let committer = Committer {
        generation_id: request.generation_id,
        member_id: &request.member_id,
        group_instance_id: request.group_instance_id.as_deref(),
        kind: CommitKind::Transactional,
    };
    if let Err(code) = check(
        shard,
        &request.group_id,
        &committer,
        ErrorCode::ILLEGAL_GENERATION,
    ) {
        let answer = refuse::offset_commit(&request.topics, code);
        return shard.out.respond(token, Response::TxnOffsetCommit(answer));
    }
    let producer = (request.producer_id, request.producer_epoch);
    let (records, answer) = records_for(shard, &request.group_id, request.topics, None);
    append_or_answer(
        shard,
        token,
        records,
        Response::TxnOffsetCommit(answer),
        |out, records, then| {
            out.append_as(Some(producer), records, then);
        },
    );
    shard.drop_if_unborn(&request.group_id);
}

/// Whether the commit is from somebody who owns the partitions, or from outside while nobody does. Makes the group
/// for a consumer that uses it for offsets only.
fn check(
    shard: &mut GroupShard,
    group_id: &str,
    committer: &Committer<'_>,
    unknown_group: ErrorCode,
) -> Result<(), ErrorCode> {
    if committer.generation_id >= 0 && !shard.groups.contains_key(group_id) {
        return Err(unknown_group);
    }
    validate(shard.group_or_new(group_id), committer)
}

fn validate(group: &Group, committer: &Committer<'_>) -> Result<(), ErrorCode> {
    let is_empty = match group.state() {
        GroupState::Dead => return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        GroupState::Empty => true,
        GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => false,
    };
    if committer.generation_id < 0 && is_empty {
        return Ok(()); // a consumer that assigns partitions itself, or an administrator
    }
    let names_itself = committer.generation_id >= 0
        || !committer.member_id.is_empty()
        || committer.group_instance_id.is_some();
    if names_itself {
        group.validate_member(committer.member_id, committer.group_instance_id)?;
        if committer.generation_id != group.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
    } else if committer.kind == CommitKind::Plain {
        return Err(ErrorCode::UNKNOWN_MEMBER_ID);
    }
    if committer.kind == CommitKind::Plain && group.state() == GroupState::CompletingRebalance {
        // it knows the generation but not yet what it owns in it
        return Err(ErrorCode::REBALANCE_IN_PROGRESS);
    }
    Ok(())
}

fn records_for(
    shard: &GroupShard,
    group_id: &str,
    topics: Vec<OffsetCommitTopic>,
    expire_timestamp: Option<Timestamp>,
) -> (Vec<Record>, OffsetCommitResponse) {
    let mut records = Vec::new();
    let mut answer = OffsetCommitResponse {
        topics: Vec::with_capacity(topics.len()),
    };
    for topic in topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let partition_index = partition.partition_index;
            let error_code = if is_too_large(&partition, shard.out.config.offset_metadata_max_size) {
                ErrorCode::OFFSET_METADATA_TOO_LARGE
            } else {
                records.push(Record::OffsetCommit {
                    key: OffsetCommitKey {
                        group: group_id.to_owned(),
                        topic: topic.name.clone(),
                        partition: partition_index,
                    },
                    value: Some(OffsetCommitValue {
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata: partition.committed_metadata.unwrap_or_default(),
                        commit_timestamp: shard.out.now.wall,
                        expire_timestamp,
                        topic_id: topic.topic_id,
                    }),
                });
                ErrorCode::NONE
            };
            partitions.push(PartitionError {
                partition_index,
                error_code,
            });
        }
        answer.topics.push(OffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions,
        });
    }
    (records, answer)
}

fn is_too_large(partition: &OffsetCommitPartition, most: usize) -> bool {
    // UTF-8 never has fewer bytes than UTF-16 has units, so the count is seldom needed
    partition
        .committed_metadata
        .as_ref()
        .is_some_and(|metadata| metadata.len() > most && metadata.encode_utf16().count() > most)
}

fn append_or_answer(
    shard: &mut GroupShard,
    token: Token,
    records: Vec<Record>,
    response: Response,
    append: impl FnOnce(&mut Outbox, Vec<Record>, Then),
) {
    if records.is_empty() {
        shard.out.respond(token, response);
    } else {
        append(&mut shard.out, records, Then::Answer { token, response });
    }
}
