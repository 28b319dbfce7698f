//! RemoveRaftVoter: takes a voter of the metadata log its vote (KIP-853).

use kafka_protocol::messages::RemoveRaftVoterRequest;

use super::{Api, quorum};

pub static API: Api = Api::of_quorum(81, "RemoveRaftVoter", (0, 0), |shard, call| {
    Box::pin(quorum::change::<RemoveRaftVoterRequest>(shard, call))
});
