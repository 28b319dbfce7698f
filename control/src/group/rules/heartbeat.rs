//! Heartbeats, and what happens without them.

use std::sync::Arc;

use crate::group::error::ErrorCode;
use crate::group::group::{Group, GroupState};
use crate::group::outbox::Outbox;
use crate::group::request::HeartbeatRequest;
use crate::group::response::{HeartbeatResponse, Response};
use crate::group::shard::{GroupShard, Token};

use super::rebalance;

pub(in crate::group) fn heartbeat(shard: &mut GroupShard, token: Token, request: HeartbeatRequest) {
    let error_code = match shard.groups.get(request.group_id.as_str()) {
        None => ErrorCode::UNKNOWN_MEMBER_ID,
        Some(group) => answer(group, &mut shard.out, &request).err().unwrap_or_default(),
    };
    shard
        .out
        .respond(token, Response::Heartbeat(HeartbeatResponse { error_code }));
}

fn answer(group: &Group, out: &mut Outbox, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
    if group.state() == GroupState::Dead {
        return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    }
    group.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
    if request.generation_id != group.generation {
        return Err(ErrorCode::ILLEGAL_GENERATION);
    }
    match group.state() {
        GroupState::Empty | GroupState::Dead => Err(ErrorCode::UNKNOWN_MEMBER_ID),
        GroupState::PreparingRebalance => {
            renew_session(group, out, &request.member_id);
            Err(ErrorCode::REBALANCE_IN_PROGRESS)
        }
        GroupState::CompletingRebalance | GroupState::Stable => {
            renew_session(group, out, &request.member_id);
            Ok(())
        }
    }
}

/// The member showed itself.
pub(in crate::group) fn renew_session(group: &Group, out: &mut Outbox, member_id: &str) {
    if let Some((id, member)) = group.members().get_key_value(member_id) {
        out.expect_heartbeat(&group.id, id, i64::from(member.session_timeout_ms));
    }
}

/// A member was not heard of for its session timeout, or a pending one has not come back.
pub(in crate::group) fn session_expired(group: &mut Group, out: &mut Outbox, member_id: &Arc<str>) {
    if group.pending_joins.contains(member_id) {
        group.remove(member_id);
        complete_join_without(group, out);
        return;
    }
    match group.member(member_id) {
        // answering it starts its session anew
        Some(member) if member.has_satisfied_heartbeat() => return,
        Some(_) => {}
        None => return,
    }
    tracing::info!(group = %group.id, member = %member_id, "session expired");
    rebalance::drop_member(group, out, member_id, ErrorCode::UNKNOWN_MEMBER_ID);
    match group.state() {
        GroupState::Stable | GroupState::CompletingRebalance => drop(rebalance::prepare(group, out)),
        GroupState::PreparingRebalance => complete_join_without(group, out),
        GroupState::Empty | GroupState::Dead => {}
    }
}

/// The join phase may have waited for the lost one only. In the first rebalance of a group the delay is waited out all
/// the same, or the next member would find a group that has just stopped waiting for it.
fn complete_join_without(group: &mut Group, out: &mut Outbox) {
    rebalance::complete_join_if_all_here(group, out);
}
