//! LeaveGroup: members go without waiting for their session to expire.

use std::rc::Rc;

use control::group::{
    LeaveGroupRequest as Leave, LeaveGroupResponse as Left, MemberIdentity, Request, Response,
};
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::Api;
use super::reply::{optional, text};
use crate::coordinator;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(13, "LeaveGroup", (0, 5), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: LeaveGroupRequest = call.decode()?;
    let version = call.version();
    let group_id = request.group_id.to_string();
    let members = if version >= 3 {
        let identity =
            |member: kafka_protocol::messages::leave_group_request::MemberIdentity| MemberIdentity {
                member_id: member.member_id.to_string(),
                group_instance_id: member.group_instance_id.map(|id| id.to_string()),
                reason: member.reason.map(|reason| reason.to_string()),
            };
        request.members.into_iter().map(identity).collect()
    } else {
        vec![MemberIdentity {
            member_id: request.member_id.to_string(),
            group_instance_id: None,
            reason: None,
        }]
    };
    let leave = Leave {
        group_id: group_id.clone(),
        members,
    };
    let left = match coordinator::ask(
        &shard,
        &group_id,
        call.group_context(),
        Request::LeaveGroup(leave),
    )
    .await
    {
        Ok(Response::LeaveGroup(left)) => left,
        Ok(other) => return Err(coordinator::confused(&other)),
        Err(code) => Left {
            error_code: code,
            members: Vec::new(),
        },
    };
    let code = left.top_level_error(version);
    let response = LeaveGroupResponse::default().with_error_code(code.0);
    if version < 3 {
        return call.reply(&response);
    }
    let members = left.members.into_iter().map(|member| {
        MemberResponse::default()
            .with_member_id(text(member.member_id))
            .with_group_instance_id(optional(member.group_instance_id))
            .with_error_code(member.error_code.0)
    });
    call.reply(&response.with_members(members.collect()))
}
