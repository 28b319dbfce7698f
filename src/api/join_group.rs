//! JoinGroup: a member enters the next generation of its group.

use std::rc::Rc;

use control::group::{
    JoinGroupProtocol, JoinGroupRequest as Join, JoinGroupResponse as Joined, Request, Response,
};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use uuid::Uuid;

use super::Api;
use super::reply::{optional, text};
use crate::coordinator;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(11, "JoinGroup", (0, 9), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: JoinGroupRequest = call.decode()?;
    let group_id = request.group_id.to_string();
    let member_id = request.member_id.to_string();
    let protocols = request.protocols.into_iter();
    let join = Join {
        group_id: group_id.clone(),
        session_timeout_ms: request.session_timeout_ms,
        // Version 0 has one timeout for both.
        rebalance_timeout_ms: if call.version() == 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        member_id: member_id.clone(),
        group_instance_id: request.group_instance_id.map(|id| id.to_string()),
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols
            .map(|protocol| JoinGroupProtocol {
                name: protocol.name.to_string(),
                metadata: protocol.metadata,
            })
            .collect(),
        reason: request.reason.map(|reason| reason.to_string()),
        member_uuid: Uuid::from_u64_pair(reactor::random_u64(), reactor::random_u64()),
    };
    let joined =
        match coordinator::ask(&shard, &group_id, call.group_context(), Request::JoinGroup(join)).await {
            Ok(Response::JoinGroup(joined)) => joined,
            Ok(other) => return Err(coordinator::confused(&other)),
            Err(code) => Joined::refused(&member_id, code),
        };
    // Up to version 6 the protocol's name cannot be null on the wire.
    let protocol_name = if call.version() >= 7 {
        joined.protocol_name
    } else {
        Some(joined.protocol_name.unwrap_or_default())
    };
    let members = joined.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(text(member.member_id))
            .with_group_instance_id(optional(member.group_instance_id))
            .with_metadata(member.metadata)
    });
    call.reply(
        &JoinGroupResponse::default()
            .with_error_code(joined.error_code.0)
            .with_generation_id(joined.generation_id)
            .with_protocol_type(optional(joined.protocol_type))
            .with_protocol_name(optional(protocol_name))
            .with_leader(text(joined.leader))
            .with_skip_assignment(joined.skip_assignment)
            .with_member_id(text(joined.member_id))
            .with_members(members.collect()),
    )
}
