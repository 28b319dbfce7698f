//! SyncGroup: the leader's assignment goes to the log, then to the members.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::group::appends::Then;
use crate::group::error::ErrorCode;
use crate::group::group::{Group, GroupState};
use crate::group::outbox::Outbox;
use crate::group::record::Record;
use crate::group::request::SyncGroupRequest;
use crate::group::response::{Response, SyncGroupResponse};
use crate::group::shard::{GroupShard, Token};
use crate::group::timers::Timer;

use super::rebalance;

pub(in crate::group) fn sync(shard: &mut GroupShard, token: Token, request: SyncGroupRequest) {
    let out = &mut shard.out;
    let refusal = match shard.groups.get_mut(request.group_id.as_str()) {
        None => ErrorCode::UNKNOWN_MEMBER_ID,
        Some(group) => match validate(group, &request) {
            Ok(()) => return accept(group, out, token, request),
            Err(code) => code,
        },
    };
    out.respond(token, Response::SyncGroup(SyncGroupResponse::refused(refusal)));
}

fn validate(group: &Group, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
    match group.state() {
        GroupState::Dead => return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        GroupState::Empty => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
        GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {}
    }
    group.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
    if request.generation_id != group.generation {
        return Err(ErrorCode::ILLEGAL_GENERATION);
    }
    let differs = |told: &Option<String>, chosen: &Option<String>| told.is_some() && told != chosen;
    if differs(&request.protocol_type, &group.protocol_type)
        || differs(&request.protocol_name, &group.protocol_name)
    {
        return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    if group.state() == GroupState::PreparingRebalance {
        return Err(ErrorCode::REBALANCE_IN_PROGRESS);
    }
    Ok(())
}

fn accept(group: &mut Group, out: &mut Outbox, token: Token, request: SyncGroupRequest) {
    group.pending_syncs.remove(request.member_id.as_str());
    if group.pending_syncs.is_empty() {
        out.timers.cancel(&Timer::Sync {
            group: group.id.clone(),
        });
    }
    if group.state() == GroupState::Stable {
        let response = current_assignment(group, &request.member_id);
        out.respond(token, Response::SyncGroup(response));
        return;
    }
    if let Some(member) = group.member_mut(&request.member_id) {
        // a member that asks again has given up on its first request; somebody may still wait for that
        let before = member.awaiting_sync.replace(token);
        out.respond_sync(before, || {
            SyncGroupResponse::refused(ErrorCode::REBALANCE_IN_PROGRESS)
        });
    }
    // The first assignment of a generation is the only one: a second that came while the first is on its way would
    // leave the log and the members with different ones.
    if group.is_leader(&request.member_id) && group.assignment_in_flight != Some(group.generation) {
        log_assignment(group, out, request);
    }
}

fn log_assignment(group: &mut Group, out: &mut Outbox, request: SyncGroupRequest) {
    let assignments: BTreeMap<Arc<str>, Bytes> = request
        .assignments
        .into_iter()
        .filter_map(|a| group.member_key(&a.member_id).map(|id| (id, a.assignment)))
        .collect();
    group.assignment_in_flight = Some(group.generation);
    group.logged = true;
    let value = Some(group.to_record(&assignments));
    let record = Record::GroupMetadata {
        group: group.id.to_string(),
        value,
    };
    let then = Then::Assign {
        group: group.id.clone(),
        generation: group.generation,
        assignments,
    };
    out.append(vec![record], then);
}

/// The generation is in the log: it is stable, and everybody who asked gets what was assigned.
pub(in crate::group) fn assignment_committed(
    group: &mut Group,
    out: &mut Outbox,
    generation: i32,
    assignments: &BTreeMap<Arc<str>, Bytes>,
) {
    if !is_awaited(group, generation) {
        return;
    }
    group.transition_to(GroupState::Stable, out.now.wall);
    out.counters.rebalances_completed += 1;
    let ids: Vec<Arc<str>> = group.members().keys().cloned().collect();
    for id in ids {
        let Some(member) = group.member_mut(&id) else {
            continue;
        };
        member.assignment = assignments.get(&id).cloned().unwrap_or_default();
        let (token, session_timeout_ms) = (member.awaiting_sync.take(), i64::from(member.session_timeout_ms));
        if token.is_some() {
            let response = current_assignment(group, &id);
            out.respond_sync(token, || response);
            // heartbeats were not expected while it waited
            out.expect_heartbeat(&group.id, &id, session_timeout_ms);
        }
    }
}

/// The generation did not come into the log: nobody may act on it, so there must be another.
pub(in crate::group) fn assignment_failed(
    group: &mut Group,
    out: &mut Outbox,
    generation: i32,
    code: ErrorCode,
) {
    if is_awaited(group, generation) {
        rebalance::reset_assignments(group, out, code);
        rebalance::prepare(group, out);
    }
}

/// Whether the group still waits for the assignment of this generation; it may have moved on meanwhile.
fn is_awaited(group: &mut Group, generation: i32) -> bool {
    if group.assignment_in_flight == Some(generation) {
        group.assignment_in_flight = None;
    }
    group.state() == GroupState::CompletingRebalance && group.generation == generation
}

fn current_assignment(group: &Group, member_id: &str) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: ErrorCode::NONE,
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol_name.clone(),
        assignment: group
            .member(member_id)
            .map(|m| m.assignment.clone())
            .unwrap_or_default(),
    }
}
