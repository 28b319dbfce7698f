//! JoinGroup: who may come in, under which member id, and whether that means a rebalance.

use std::sync::Arc;

use bytes::Bytes;

use crate::group::appends::{StaticReplacement, Then};
use crate::group::error::ErrorCode;
use crate::group::group::{Group, GroupState};
use crate::group::member::{Member, distinct};
use crate::group::outbox::Outbox;
use crate::group::record::Record;
use crate::group::request::{JoinGroupRequest, RequestContext};
use crate::group::response::{JoinGroupResponse, Response, SyncGroupResponse};
use crate::group::shard::{Given, GroupShard, Token};

use super::rebalance::{self, ToLeader};

/// A new member cannot send heartbeats while its first JoinGroup is parked. If it is gone for good, this is when the
/// group stops waiting; if it is there, it asks again. Kafka's constant.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

/// First version that asks a dynamic member to come back with the member id it was given (KIP-394).
const MEMBER_ID_REQUIRED_SINCE: i16 = 4;

/// First version in which a leader can be told to keep the assignment (KIP-814).
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

/// Member ids given out and not yet used, per group. Nobody needs as many; a client that asks in a loop would
/// otherwise fill the memory for a session timeout.
const PENDING_JOINS_MAX: usize = 100_000;

/// What a member says about itself. More could never be written in one record with Kafka's default `max.message.bytes`, so
/// that its group would never be stable; and members are kept in memory for a session timeout at least.
const PROTOCOL_BYTES_MAX: usize = 1 << 20;

/// The part of a client id that goes into a member id, which must fit a record with the uuid behind it.
const CLIENT_ID_BYTES_IN_MEMBER_ID: usize = 16 * 1024;

pub(in crate::group) fn join(
    shard: &mut GroupShard,
    token: Token,
    context: &RequestContext,
    mut request: JoinGroupRequest,
) {
    let protocol_bytes = request
        .protocols
        .iter()
        .map(|p| p.name.len() + p.metadata.len())
        .sum::<usize>();
    if protocol_bytes > PROTOCOL_BYTES_MAX {
        let answer = JoinGroupResponse::refused(&request.member_id, ErrorCode::INVALID_REQUEST);
        return shard.out.respond(token, Response::JoinGroup(answer));
    }
    request.protocols = distinct(request.protocols);
    for protocol in &mut request.protocols {
        // copied, since the member stays: a slice would keep the whole request, which can be a hundred times as long
        protocol.metadata = Bytes::copy_from_slice(&protocol.metadata);
    }
    if context.api_version == 0 {
        request.rebalance_timeout_ms = request.session_timeout_ms;
    }
    let config = &shard.out.config;
    if !(config.min_session_timeout_ms..=config.max_session_timeout_ms).contains(&request.session_timeout_ms)
    {
        let answer = JoinGroupResponse::refused(&request.member_id, ErrorCode::INVALID_SESSION_TIMEOUT);
        return shard.out.respond(token, Response::JoinGroup(answer));
    }
    let group_id = request.group_id.clone();
    // only somebody without a member id can be the first
    if !request.member_id.is_empty() && !shard.groups.contains_key(group_id.as_str()) {
        let answer = JoinGroupResponse::refused(&request.member_id, ErrorCode::UNKNOWN_MEMBER_ID);
        return shard.out.respond(token, Response::JoinGroup(answer));
    }
    let now = shard.out.now.wall;
    let id: Arc<str> = group_id.as_str().into();
    let group = shard
        .groups
        .entry(id.clone())
        .or_insert_with(|| Group::new(id, now));
    if let Err(refused) = admit(group, &mut shard.out, token, context, request) {
        let answer = JoinGroupResponse::refused(&refused.member_id, refused.error_code);
        shard.out.respond(token, Response::JoinGroup(answer));
    }
    shard.drop_if_unborn(&group_id);
}

/// Why a JoinGroup is answered at once, and with which member id.
struct Refused {
    member_id: String,
    error_code: ErrorCode,
}

fn refused(member_id: &str, error_code: ErrorCode) -> Refused {
    Refused {
        member_id: member_id.to_owned(),
        error_code,
    }
}

fn admit(
    group: &mut Group,
    out: &mut Outbox,
    token: Token,
    context: &RequestContext,
    request: JoinGroupRequest,
) -> Result<(), Refused> {
    if !has_room_for(group, out, &request.member_id) {
        if let Some(id) = group.member_key(&request.member_id) {
            rebalance::drop_member(group, out, &id, ErrorCode::UNKNOWN_MEMBER_ID);
        }
        group.pending_joins.remove(request.member_id.as_str());
        rebalance::complete_join_if_all_here(group, out);
        return Err(refused("", ErrorCode::GROUP_MAX_SIZE_REACHED));
    }
    if group.state() == GroupState::Dead {
        return Err(refused(&request.member_id, ErrorCode::COORDINATOR_NOT_AVAILABLE));
    }
    if !group.supports_protocols(&request.protocol_type, &request.protocols) {
        return Err(refused(
            &request.member_id,
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        ));
    }
    if request.member_id.is_empty() {
        admit_unknown(group, out, token, context, request)
    } else {
        admit_known(group, out, token, context, request)
    }
}

/// While members gather, those already waiting count, and nobody who waits is sent away: so the size of the next
/// generation is bounded even if this one's is not, after the limit was lowered.
fn has_room_for(group: &Group, out: &Outbox, member_id: &str) -> bool {
    let max_size = out.config.max_size;
    match group.state() {
        GroupState::Empty | GroupState::Dead => true,
        GroupState::PreparingRebalance => {
            group.member(member_id).is_some_and(|m| m.awaiting_join.is_some())
                || group.awaiting_join_count() < max_size
        }
        GroupState::CompletingRebalance | GroupState::Stable => {
            group.has_member(member_id) || group.members().len() < max_size
        }
    }
}

fn admit_unknown(
    group: &mut Group,
    out: &mut Outbox,
    token: Token,
    context: &RequestContext,
    request: JoinGroupRequest,
) -> Result<(), Refused> {
    let new_member_id = new_member_id(context, &request);
    if let Some(instance_id) = &request.group_instance_id {
        match group.static_member_id(instance_id).cloned() {
            Some(old) => replace_static_member(group, out, token, context, request, old, new_member_id),
            None => add_member(group, out, token, context, request, new_member_id),
        }
        return Ok(());
    }
    if context.api_version < MEMBER_ID_REQUIRED_SINCE {
        add_member(group, out, token, context, request, new_member_id);
        return Ok(());
    }
    if group.pending_joins.len() >= PENDING_JOINS_MAX {
        return Err(refused("", ErrorCode::GROUP_MAX_SIZE_REACHED));
    }
    // A client that gave up on this request and asks again would leave a member behind that never answers. So it gets
    // an id first and becomes a member when it comes back with it (KIP-394).
    out.expect_heartbeat(&group.id, &new_member_id, i64::from(request.session_timeout_ms));
    let answer = refused(&new_member_id, ErrorCode::MEMBER_ID_REQUIRED);
    group.pending_joins.insert(new_member_id);
    Err(answer)
}

fn new_member_id(context: &RequestContext, request: &JoinGroupRequest) -> Arc<str> {
    let name = request.group_instance_id.as_deref().unwrap_or(&context.client_id);
    let most = name.len().min(CLIENT_ID_BYTES_IN_MEMBER_ID);
    let end = (0..=most)
        .rev()
        .find(|&at| name.is_char_boundary(at))
        .unwrap_or(0);
    format!("{}-{}", &name[..end], request.member_uuid).into()
}

fn admit_known(
    group: &mut Group,
    out: &mut Outbox,
    token: Token,
    context: &RequestContext,
    request: JoinGroupRequest,
) -> Result<(), Refused> {
    let member_id = request.member_id.clone();
    if let Some(pending) = group.pending_joins.get(member_id.as_str()).cloned() {
        if request.group_instance_id.is_some() {
            // ids are given out to dynamic members only
            return Err(refused(&member_id, ErrorCode::UNKNOWN_MEMBER_ID));
        }
        add_member(group, out, token, context, request, pending);
        return Ok(());
    }
    group
        .validate_member(&member_id, request.group_instance_id.as_deref())
        .map_err(|code| refused(&member_id, code))?;

    let changed = group
        .member(&member_id)
        .is_some_and(|m| m.protocols != request.protocols);
    let rejoins = match group.state() {
        GroupState::PreparingRebalance => true,
        // the same metadata again: the answer was lost on the way, and this generation is still the one
        GroupState::CompletingRebalance => changed,
        // a leader that joins again asks for a new assignment, for reasons only it can see, such as new partitions
        GroupState::Stable => changed || group.is_leader(&member_id),
        GroupState::Empty | GroupState::Dead => {
            return Err(refused(&member_id, ErrorCode::UNKNOWN_MEMBER_ID));
        }
    };
    if rejoins {
        update_member(group, out, token, &member_id, request);
        rebalance::prepare_or_complete_join(group, out);
    } else {
        let to = match group.state() {
            GroupState::CompletingRebalance => ToLeader::Members,
            _ => ToLeader::NoMembers,
        };
        out.respond(
            token,
            Response::JoinGroup(rebalance::current_generation(group, &member_id, to)),
        );
    }
    Ok(())
}

fn update_member(
    group: &mut Group,
    out: &mut Outbox,
    token: Token,
    member_id: &str,
    request: JoinGroupRequest,
) {
    group.update_member(
        member_id,
        request.protocols,
        request.rebalance_timeout_ms,
        request.session_timeout_ms,
    );
    let superseded = group.park_join(member_id, token);
    // somebody may still wait for the member's earlier request, which this one replaces
    out.respond_join(superseded, || {
        JoinGroupResponse::refused(member_id, ErrorCode::REBALANCE_IN_PROGRESS)
    });
}

fn add_member(
    group: &mut Group,
    out: &mut Outbox,
    token: Token,
    context: &RequestContext,
    request: JoinGroupRequest,
    member_id: Arc<str>,
) {
    tracing::info!(
        group = %group.id, member = %member_id, state = %group.state(), reason = request.reason.as_deref(),
        "member joins"
    );
    if group.state() == GroupState::PreparingRebalance && group.previous_state() == GroupState::Empty {
        group.new_member_added = true;
    }
    if group.members().is_empty() {
        group.protocol_type = Some(request.protocol_type);
    }
    let member = Member {
        group_instance_id: request.group_instance_id,
        client_id: context.client_id.clone(),
        client_host: context.client_host.clone(),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        session_timeout_ms: request.session_timeout_ms,
        protocols: request.protocols,
        assignment: Default::default(),
        awaiting_join: Some(token),
        awaiting_sync: None,
        is_new: true,
    };
    group.add(member_id.clone(), member);
    out.expect_heartbeat(&group.id, &member_id, NEW_MEMBER_JOIN_TIMEOUT_MS);
    rebalance::prepare_or_complete_join(group, out);
}

/// A static member restarted: it takes its old self's place. In a stable group nothing else changes, which is what
/// static membership is for; only the new member id goes to the log before the member hears of it.
fn replace_static_member(
    group: &mut Group,
    out: &mut Outbox,
    token: Token,
    context: &RequestContext,
    request: JoinGroupRequest,
    old_member_id: Arc<str>,
    new_member_id: Arc<str>,
) {
    let leader_before = group.leader().map(|l| l.to_string()).unwrap_or_default();
    out.expect_no_heartbeat(&group.id, &old_member_id);
    let (parked_join, parked_sync) = group.replace_static_member(&old_member_id, new_member_id.clone());
    out.respond_join(parked_join, || {
        JoinGroupResponse::refused(&old_member_id, ErrorCode::FENCED_INSTANCE_ID)
    });
    out.respond_sync(parked_sync, || {
        SyncGroupResponse::refused(ErrorCode::FENCED_INSTANCE_ID)
    });

    let before = group
        .member(&new_member_id)
        .map(|m| (m.protocols.clone(), m.rebalance_timeout_ms, m.session_timeout_ms))
        .unwrap_or_default();
    update_member(group, out, token, &new_member_id, request);
    if let Some(member) = group.member(&new_member_id) {
        out.expect_heartbeat(&group.id, &new_member_id, i64::from(member.session_timeout_ms));
    }

    match group.state() {
        GroupState::Stable if group.select_protocol() == group.protocol_name => {
            let assignments = group
                .members()
                .iter()
                .map(|(id, m)| (id.clone(), m.assignment.clone()))
                .collect();
            let record = Record::GroupMetadata {
                group: group.id.to_string(),
                value: Some(group.to_record(&assignments)),
            };
            let (old_protocols, old_rebalance_timeout_ms, old_session_timeout_ms) = before;
            let then = Then::KeepStatic(Box::new(StaticReplacement {
                group: group.id.clone(),
                generation: group.generation,
                token,
                new_member_id,
                api_version: context.api_version,
                leader_before,
                old_member_id,
                old_protocols,
                old_rebalance_timeout_ms,
                old_session_timeout_ms,
            }));
            out.append(vec![record], then);
        }
        // the leader may be working on an assignment for the old member id, which would then get nothing
        GroupState::Stable | GroupState::CompletingRebalance => drop(rebalance::prepare(group, out)),
        GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => {
            rebalance::complete_join_if_all_here(group, out);
        }
    }
}

/// The restarted member's new id is in the log: it may go on with the assignment there is.
pub(in crate::group) fn replacement_committed(
    group: &mut Group,
    out: &mut Outbox,
    replacement: &StaticReplacement,
) {
    if !is_current(group, replacement) {
        return; // a rebalance came in between: its JoinGroup waits for the next generation
    }
    let id = &replacement.new_member_id;
    let response = if replacement.api_version >= SKIP_ASSIGNMENT_SINCE {
        JoinGroupResponse {
            skip_assignment: group.is_leader(id),
            ..rebalance::current_generation(group, id, ToLeader::Members)
        }
    } else {
        // an old client that saw itself as leader would assign anew, and change what its group relies on
        JoinGroupResponse {
            leader: replacement.leader_before.clone(),
            ..rebalance::current_generation(group, id, ToLeader::NoMembers)
        }
    };
    let token = group.unpark_join(id);
    out.respond_join(token, || response);
    if let Some(member) = group.member(id) {
        out.expect_heartbeat(&group.id, id, i64::from(member.session_timeout_ms));
    }
}

/// The new member id did not come into the log. If it never will, the old one is the member still.
pub(in crate::group) fn replacement_failed(
    group: &mut Group,
    out: &mut Outbox,
    replacement: &StaticReplacement,
    code: ErrorCode,
    given: Given,
) {
    if !is_current(group, replacement) {
        return;
    }
    let id = &replacement.new_member_id;
    let token = group.unpark_join(id);
    out.respond_join(token, || JoinGroupResponse::refused("", code));
    if given == Given::MayStillCommit {
        return; // the log may come to name the new id, so it stays; the client replaces it when it asks again
    }
    group.update_member(
        id,
        replacement.old_protocols.clone(),
        replacement.old_rebalance_timeout_ms,
        replacement.old_session_timeout_ms,
    );
    out.expect_no_heartbeat(&group.id, id);
    let old = &replacement.old_member_id;
    let (_, parked_sync) = group.replace_static_member(id, old.clone());
    out.respond_sync(parked_sync, || SyncGroupResponse::refused(code));
    out.expect_heartbeat(&group.id, old, i64::from(replacement.old_session_timeout_ms));
}

/// Whether the group is as the replacement left it, with the same JoinGroup parked.
fn is_current(group: &Group, replacement: &StaticReplacement) -> bool {
    group.state() == GroupState::Stable
        && group.generation == replacement.generation
        && group
            .member(&replacement.new_member_id)
            .is_some_and(|m| m.awaiting_join == Some(replacement.token))
}
