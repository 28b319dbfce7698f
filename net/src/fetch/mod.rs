//! Fetch without copying records: v4 to v18.

mod node_endpoint;
mod replica_request;
mod replica_response;
mod request;
mod response;

pub use crate::produce::LeaderIdAndEpoch;
pub use node_endpoint::NodeEndpoint;
pub use replica_request::{REPLICA_FETCH_VERSION, ReplicaFetch, ReplicaFetchPartition};
pub use replica_response::{ReplicaFetchResponse, ReplicaFetchedPartition};
pub use request::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
pub use response::{
    AbortedTransaction, EpochEndOffset, FetchPartitionResponse, FetchResponse, FetchTopicResponse,
};

/// The first flexible version.
const FLEXIBLE_SINCE: i16 = 12;
/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 13;
