//! DeleteGroups, OffsetDelete, and the offsets of deleted topics.

use std::collections::BTreeSet;

use crate::group::appends::Then;
use crate::group::error::ErrorCode;
use crate::group::group::{Group, GroupState};
use crate::group::record::{OffsetCommitKey, Record};
use crate::group::request::{DeleteGroupsRequest, OffsetDeleteRequest};
use crate::group::response::{
    DeletableGroupResult, DeleteGroupsResponse, OffsetDeleteResponse, OffsetDeleteResponseTopic,
    PartitionError, Response,
};
use crate::group::shard::{GroupShard, Token};

/// Tombstones of one append when nobody waits for them: about half a megabyte, a guess that fits every batch limit.
pub(in crate::group) const TOMBSTONES_PER_APPEND: usize = 4_096;

pub(in crate::group) fn groups(shard: &mut GroupShard, token: Token, request: DeleteGroupsRequest) {
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let outcome = deletable(shard.groups.get(group_id.as_str()));
        if outcome.is_ok() {
            let before = records.len();
            push_group_tombstones(shard, &group_id, &mut records);
            shard.out.counters.offset_deletions += (records.len() - before).saturating_sub(1) as u64;
        }
        let error_code = outcome.err().unwrap_or_default();
        let error_message = match error_code {
            ErrorCode::GROUP_ID_NOT_FOUND => Some(format!("Group {group_id} not found.")),
            ErrorCode::NON_EMPTY_GROUP => Some(format!("Group {group_id} is not empty.")),
            _ => None,
        };
        results.push(DeletableGroupResult {
            group_id,
            error_code,
            error_message,
        });
    }
    let response = Response::DeleteGroups(DeleteGroupsResponse { results });
    append_or_answer(shard, token, records, response);
}

fn deletable(group: Option<&Group>) -> Result<(), ErrorCode> {
    match group.map(Group::state) {
        None | Some(GroupState::Dead) => Err(ErrorCode::GROUP_ID_NOT_FOUND),
        Some(GroupState::Empty) => Ok(()),
        Some(GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable) => {
            Err(ErrorCode::NON_EMPTY_GROUP)
        }
    }
}

/// Ends an empty group: its offsets and itself, in this order, so that what was read up to any point is a whole group
/// or a smaller one. Offsets that are on their way to the log come before these tombstones and need them too.
pub(in crate::group) fn push_group_tombstones(
    shard: &mut GroupShard,
    group_id: &str,
    records: &mut Vec<Record>,
) {
    let mut partitions = shard.offsets.partitions_of(group_id);
    partitions.extend(shard.out.appends.partitions_in_flight(group_id));
    records.extend(
        partitions
            .into_iter()
            .map(|(topic, p)| offset_tombstone(group_id, &topic, p)),
    );
    records.push(Record::GroupMetadata {
        group: group_id.to_owned(),
        value: None,
    });
    let now = shard.out.now.wall;
    if let Some(group) = shard.groups.get_mut(group_id) {
        for pending in std::mem::take(&mut group.pending_joins) {
            shard.out.expect_no_heartbeat(&group.id, &pending);
        }
        group.transition_to(GroupState::Dead, now);
    }
}

pub(in crate::group) fn offset_tombstone(group: &str, topic: &str, partition: i32) -> Record {
    let key = OffsetCommitKey {
        group: group.to_owned(),
        topic: topic.to_owned(),
        partition,
    };
    Record::OffsetCommit { key, value: None }
}

pub(in crate::group) fn offsets(shard: &mut GroupShard, token: Token, request: OffsetDeleteRequest) {
    let (records, answer) = match shard.groups.get(request.group_id.as_str()) {
        Some(group) => match offsets_deletable(group) {
            Ok(()) => delete_offsets(shard, group, request),
            Err(code) => (
                Vec::new(),
                OffsetDeleteResponse {
                    error_code: code,
                    topics: Vec::new(),
                },
            ),
        },
        None => {
            let error_code = ErrorCode::GROUP_ID_NOT_FOUND;
            (
                Vec::new(),
                OffsetDeleteResponse {
                    error_code,
                    topics: Vec::new(),
                },
            )
        }
    };
    shard.out.counters.offset_deletions += records.len() as u64;
    append_or_answer(shard, token, records, Response::OffsetDelete(answer));
}

/// Of a group with members only consumer groups can lose offsets: only they tell what they still use.
fn offsets_deletable(group: &Group) -> Result<(), ErrorCode> {
    match group.state() {
        GroupState::Dead => Err(ErrorCode::GROUP_ID_NOT_FOUND),
        GroupState::Empty => Ok(()),
        GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {
            if group.is_consumer_group() {
                Ok(())
            } else {
                Err(ErrorCode::NON_EMPTY_GROUP)
            }
        }
    }
}

fn delete_offsets(
    shard: &GroupShard,
    group: &Group,
    request: OffsetDeleteRequest,
) -> (Vec<Record>, OffsetDeleteResponse) {
    let mut tombstones = BTreeSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let error_code = if group.is_subscribed_to(&topic.name) {
            ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC
        } else {
            ErrorCode::NONE
        };
        for &partition in &topic.partition_indexes {
            let is_there = shard
                .offsets
                .committed()
                .get(&group.id, &topic.name, partition)
                .is_some()
                || shard.offsets.is_in_transaction(&group.id, &topic.name, partition)
                || shard
                    .out
                    .appends
                    .has_offset_in_flight(&group.id, &topic.name, partition);
            if is_there && !error_code.is_error() {
                tombstones.insert((topic.name.clone(), partition));
            }
        }
        let partitions = topic
            .partition_indexes
            .iter()
            .map(|&partition_index| PartitionError {
                partition_index,
                error_code,
            })
            .collect();
        topics.push(OffsetDeleteResponseTopic {
            name: topic.name,
            partitions,
        });
    }
    let records = tombstones
        .into_iter()
        .map(|(topic, p)| offset_tombstone(&group.id, &topic, p))
        .collect();
    (
        records,
        OffsetDeleteResponse {
            error_code: ErrorCode::NONE,
            topics,
        },
    )
}

/// Takes back what any group committed for topics that are no more.
pub(in crate::group) fn topics_deleted(shard: &mut GroupShard, topics: &[String]) {
    let gone: BTreeSet<&str> = topics.iter().map(String::as_str).collect();
    let mut keys: BTreeSet<(String, String, i32)> = BTreeSet::new();
    let committed = shard
        .offsets
        .committed()
        .iter()
        .map(|(group, topic, p, _)| (group, topic, p));
    for (group, topic, partition) in committed.chain(shard.out.appends.offsets_in_flight()) {
        if gone.contains(topic) {
            keys.insert((group.to_owned(), topic.to_owned(), partition));
        }
    }
    for (group, topic, partition) in shard.offsets.transactional_partitions() {
        if gone.contains(topic) {
            keys.insert((group.to_owned(), topic.to_owned(), partition));
        }
    }
    let records: Vec<Record> = keys
        .iter()
        .map(|(group, topic, p)| offset_tombstone(group, topic, *p))
        .collect();
    shard.out.counters.offset_deletions += records.len() as u64;
    for chunk in records.chunks(TOMBSTONES_PER_APPEND) {
        shard.out.append(chunk.to_vec(), Then::Nothing);
    }
}

fn append_or_answer(shard: &mut GroupShard, token: Token, records: Vec<Record>, response: Response) {
    if records.is_empty() {
        shard.out.respond(token, response);
    } else {
        shard.out.append(records, Then::Answer { token, response });
    }
}
