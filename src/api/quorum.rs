//! Asking the quorum that keeps the metadata log, for clients that ask a broker.

use std::rc::Rc;

use control::store::StoreUrl;
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use net::error::ErrorCode;

use crate::dispatch::{Call, Outcome};
use crate::quorum_wire::{RaftVoterRequest, connect};
use crate::shard::Shard;

/// The answer of the quorum's leader, through the first voter that answers; `None` if none does.
pub(super) async fn ask<T: kafka_protocol::protocol::Request>(
    shard: &Shard,
    request: &T,
) -> Option<T::Response> {
    let StoreUrl::Quorum(voters) = &shard.node.config.store else {
        return None;
    };
    for (id, endpoint) in voters {
        let answer = match connect(endpoint).await {
            Ok(client) => client.call(request).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => return Some(answer),
            Err(error) => tracing::debug!(voter = *id, %error, "a voter does not answer"),
        }
    }
    None
}

/// Passes a change of the voters on.
pub(super) async fn change<T: RaftVoterRequest>(shard: Rc<Shard>, mut call: Call) -> Outcome
where
    T::Response: Encodable + HeaderVersion,
{
    let request: T = call.decode()?;
    let answer = ask(&shard, &request).await;
    let unreachable = || {
        let message = "no voter of the quorum answers".to_owned();
        T::response(ErrorCode::RequestTimedOut, Some(message))
    };
    call.reply(&answer.unwrap_or_else(unreachable))
}
