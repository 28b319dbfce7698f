//! LeaveGroup: members go, one or many, by themselves or at an administrator's word.

use std::sync::Arc;

use crate::group::error::ErrorCode;
use crate::group::group::{Group, GroupState};
use crate::group::outbox::Outbox;
use crate::group::request::{LeaveGroupRequest, MemberIdentity};
use crate::group::response::{LeaveGroupResponse, LeaveGroupResponseMember, Response};
use crate::group::shard::{GroupShard, Token};

use super::rebalance;

pub(in crate::group) fn leave(shard: &mut GroupShard, token: Token, request: LeaveGroupRequest) {
    let out = &mut shard.out;
    let respond = |error_code, members| Response::LeaveGroup(LeaveGroupResponse { error_code, members });
    let Some(group) = shard.groups.get_mut(request.group_id.as_str()) else {
        let members = request
            .members
            .into_iter()
            .map(|m| answer_for(m, Err(ErrorCode::UNKNOWN_MEMBER_ID)))
            .collect();
        return out.respond(token, respond(ErrorCode::NONE, members));
    };
    if group.state() == GroupState::Dead {
        return out.respond(token, respond(ErrorCode::COORDINATOR_NOT_AVAILABLE, Vec::new()));
    }

    let mut members = Vec::with_capacity(request.members.len());
    let mut anybody_left = false;
    for identity in request.members {
        let result = remove(group, out, &identity);
        anybody_left |= result.is_ok();
        members.push(answer_for(identity, result));
    }
    let ticket = match group.state() {
        GroupState::Stable | GroupState::CompletingRebalance if anybody_left => {
            rebalance::prepare(group, out)
        }
        GroupState::PreparingRebalance if anybody_left => rebalance::complete_join_if_all_here(group, out),
        _ => None,
    };
    let response = respond(ErrorCode::NONE, members);
    match ticket {
        // the group became empty, which the log must know before the last member does
        Some(ticket) => out.appends.answer_after(ticket, token, response),
        None => out.respond(token, response),
    }
    shard.drop_if_unborn(&request.group_id);
}

fn remove(group: &mut Group, out: &mut Outbox, identity: &MemberIdentity) -> Result<(), ErrorCode> {
    let instance_id = identity.group_instance_id.as_deref();
    let member_id: Arc<str> = if identity.member_id.is_empty() {
        // an administrator knows instances, not member ids
        instance_id
            .and_then(|i| group.static_member_id(i))
            .cloned()
            .ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
    } else {
        if !group.pending_joins.contains(identity.member_id.as_str()) {
            group.validate_member(&identity.member_id, instance_id)?;
        }
        identity.member_id.as_str().into()
    };
    tracing::info!(group = %group.id, member = %member_id, reason = identity.reason.as_deref(), "member leaves");
    rebalance::drop_member(group, out, &member_id, ErrorCode::UNKNOWN_MEMBER_ID);
    Ok(())
}

fn answer_for(identity: MemberIdentity, result: Result<(), ErrorCode>) -> LeaveGroupResponseMember {
    LeaveGroupResponseMember {
        member_id: identity.member_id,
        group_instance_id: identity.group_instance_id,
        error_code: result.err().unwrap_or_default(),
    }
}
