//! InitProducerId: identity of an idempotent producer (KIP-98).

use std::rc::Rc;

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use net::error::ErrorCode;

use super::Api;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(22, "InitProducerId", (0, 5), |shard, call| {
    Box::pin(answer(shard, call))
});

const NO_PRODUCER: i64 = -1;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: InitProducerIdRequest = call.decode()?;
    let refuse = |code: ErrorCode| {
        InitProducerIdResponse::default()
            .with_error_code(code.code())
            .with_producer_id(NO_PRODUCER.into())
            .with_producer_epoch(-1)
    };
    let response = match request.transactional_id {
        // A fatal code, so that a transactional producer fails at once instead of retrying: this broker has no
        // transaction coordinator, and says so in FindCoordinator too.
        Some(_) => refuse(ErrorCode::InvalidRequest),
        None => match shard.producer_ids.next(&shard).await {
            Ok(id) => InitProducerIdResponse::default()
                .with_producer_id(id.0.into())
                .with_producer_epoch(0),
            Err(code) => refuse(code),
        },
    };
    call.reply(&response)
}
