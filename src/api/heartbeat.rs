//! Heartbeat: a member is alive, and learns of a rebalance.

use std::rc::Rc;

use control::group::{HeartbeatRequest as Beat, Request, Response};
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::Api;
use crate::coordinator;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(12, "Heartbeat", (0, 4), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: HeartbeatRequest = call.decode()?;
    let group_id = request.group_id.to_string();
    let beat = Beat {
        group_id: group_id.clone(),
        generation_id: request.generation_id,
        member_id: request.member_id.to_string(),
        group_instance_id: request.group_instance_id.map(|id| id.to_string()),
    };
    let code = match coordinator::ask(&shard, &group_id, call.group_context(), Request::Heartbeat(beat)).await
    {
        Ok(Response::Heartbeat(answer)) => answer.error_code,
        Ok(other) => return Err(coordinator::confused(&other)),
        // Kafka: a member must not give up its assignment because the coordinator has not loaded yet.
        Err(control::group::ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => control::group::ErrorCode::NONE,
        Err(code) => code,
    };
    call.reply(&HeartbeatResponse::default().with_error_code(code.0))
}
