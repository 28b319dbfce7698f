//! AddRaftVoter: makes an observer of the metadata log a voter (KIP-853).

use kafka_protocol::messages::AddRaftVoterRequest;

use super::{Api, quorum};

pub static API: Api = Api::of_quorum(80, "AddRaftVoter", (0, 0), |shard, call| {
    Box::pin(quorum::change::<AddRaftVoterRequest>(shard, call))
});
