//! UpdateRaftVoter: says where a voter of the metadata log is reached now (KIP-853).

use kafka_protocol::messages::UpdateRaftVoterRequest;

use super::{Api, quorum};

pub static API: Api = Api::of_quorum(82, "UpdateRaftVoter", (0, 0), |shard, call| {
    Box::pin(quorum::change::<UpdateRaftVoterRequest>(shard, call))
});
