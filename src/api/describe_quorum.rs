//! DescribeQuorum: who votes on the metadata log, and how far everybody is (KIP-595, KIP-836, KIP-853).

use std::rc::Rc;

use kafka_protocol::messages::DescribeQuorumRequest;
use net::error::ErrorCode;

use super::{Api, quorum};
use crate::dispatch::{Call, Outcome};
use crate::quorum_wire::{describe_at_version, describe_refused};
use crate::shard::Shard;

pub static API: Api = Api::of_quorum(55, "DescribeQuorum", (0, 2), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: DescribeQuorumRequest = call.decode()?;
    let answer = quorum::ask(&shard, &request).await;
    let answer = answer.unwrap_or_else(|| describe_refused(ErrorCode::LeaderNotAvailable));
    call.reply(&describe_at_version(answer, call.version()))
}
