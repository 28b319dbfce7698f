//! UnregisterBroker: forgets a broker that will not come back (KIP-631).

use std::rc::Rc;

use control::controller::{Request, Response, UnregisterBroker};
use control::record::BrokerId;
use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use super::Api;
use super::control_error::parts;
use crate::dispatch::{Call, Hangup, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(64, "UnregisterBroker", (0, 0), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: UnregisterBrokerRequest = call.decode()?;
    let unregister = UnregisterBroker {
        broker_id: BrokerId(request.broker_id.0),
    };
    let result = match shard.control(Request::UnregisterBroker(unregister)).await {
        Ok(Response::UnregisterBroker) => Ok(()),
        Ok(other) => return Err(Hangup::confused(&other)),
        Err(error) => Err(error),
    };
    let (code, message) = parts(result);
    call.reply(
        &UnregisterBrokerResponse::default()
            .with_error_code(code)
            .with_error_message(message),
    )
}
