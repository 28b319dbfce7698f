//! SyncGroup: the leader hands out the assignment, every member gets its part.

use std::rc::Rc;

use bytes::Bytes;
use control::group::{
    Request, Response, SyncGroupAssignment, SyncGroupRequest as Sync, SyncGroupResponse as Synced,
};
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::Api;
use super::reply::optional;
use crate::coordinator;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(14, "SyncGroup", (0, 5), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: SyncGroupRequest = call.decode()?;
    let group_id = request.group_id.to_string();
    // Copied, since the group keeps them for its generation: slices would keep the whole request.
    let assignments = request.assignments.into_iter().map(|part| SyncGroupAssignment {
        member_id: part.member_id.to_string(),
        assignment: Bytes::copy_from_slice(&part.assignment),
    });
    let sync = Sync {
        group_id: group_id.clone(),
        generation_id: request.generation_id,
        member_id: request.member_id.to_string(),
        group_instance_id: request.group_instance_id.map(|id| id.to_string()),
        protocol_type: request.protocol_type.map(|kind| kind.to_string()),
        protocol_name: request.protocol_name.map(|name| name.to_string()),
        assignments: assignments.collect(),
    };
    let synced =
        match coordinator::ask(&shard, &group_id, call.group_context(), Request::SyncGroup(sync)).await {
            Ok(Response::SyncGroup(synced)) => synced,
            Ok(other) => return Err(coordinator::confused(&other)),
            Err(code) => Synced::refused(code),
        };
    call.reply(
        &SyncGroupResponse::default()
            .with_error_code(synced.error_code.0)
            .with_protocol_type(optional(synced.protocol_type))
            .with_protocol_name(optional(synced.protocol_name))
            .with_assignment(synced.assignment),
    )
}
