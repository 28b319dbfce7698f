//! FindCoordinator: which broker coordinates a group. Creates `__consumer_offsets` when the first group asks.

use std::rc::Rc;

use control::group::partition_for;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use net::error::ErrorCode;

use super::reply::text;
use super::{Api, auto_create, locate};
use crate::coordinator::OFFSETS_TOPIC;
use crate::dispatch::{Call, Outcome};
use crate::shard::{Endpoint, Shard};

pub static API: Api = Api::new(10, "FindCoordinator", (0, 6), |shard, call| {
    Box::pin(answer(shard, call))
});

const KEY_GROUP: i8 = 0;
const KEY_TRANSACTION: i8 = 1;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: FindCoordinatorRequest = call.decode()?;
    let batched = call.version() >= 4;
    let keys = if batched {
        request.coordinator_keys
    } else {
        vec![request.key]
    };
    let mut coordinators = Vec::with_capacity(keys.len());
    for key in keys {
        let found = match request.key_type {
            KEY_GROUP => group_coordinator(&shard, &call, &key).await,
            KEY_TRANSACTION => Err((
                ErrorCode::InvalidRequest,
                "this broker has no transaction coordinator",
            )),
            _ => Err((
                ErrorCode::InvalidRequest,
                "this broker coordinates consumer groups only",
            )),
        };
        let answer = Coordinator::default().with_key(key);
        coordinators.push(match found {
            Ok(broker) => answer
                .with_node_id(BrokerId(broker.id))
                .with_host(text(broker.host))
                .with_port(i32::from(broker.port)),
            Err((code, message)) => answer
                .with_node_id(BrokerId(-1))
                .with_port(-1)
                .with_error_code(code.code())
                .with_error_message(Some(text(message))),
        });
    }
    let response = match coordinators.pop() {
        Some(one) if !batched => FindCoordinatorResponse::default()
            .with_error_code(one.error_code)
            .with_error_message(one.error_message)
            .with_node_id(one.node_id)
            .with_host(one.host)
            .with_port(one.port),
        last => {
            coordinators.extend(last);
            FindCoordinatorResponse::default().with_coordinators(coordinators)
        }
    };
    call.reply(&response)
}

async fn group_coordinator(
    shard: &Rc<Shard>,
    call: &Call,
    group: &str,
) -> Result<Endpoint, (ErrorCode, &'static str)> {
    if shard.image().topic_by_name(OFFSETS_TOPIC).is_none() {
        auto_create::create(shard, vec![OFFSETS_TOPIC.to_owned()]).await;
    }
    let unavailable = (
        ErrorCode::CoordinatorNotAvailable,
        "the offsets topic is not ready",
    );
    let image = shard.image();
    let topic = image.topic_by_name(OFFSETS_TOPIC).ok_or(unavailable)?;
    let index = partition_for(group, topic.partition_count() as i32);
    let leader = locate::partition(topic, index)
        .and_then(|partition| partition.leader)
        .ok_or(unavailable)?;
    shard
        .endpoints(call.listener())
        .into_iter()
        .find(|broker| broker.id == leader.0)
        .ok_or(unavailable)
}
