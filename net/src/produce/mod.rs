//! Produce without copying records: v3 to v13.

mod request;
mod response;

pub use request::{ProducePartition, ProduceRequest, ProduceTopic};
pub use response::{
    BatchIndexError, LeaderIdAndEpoch, ProducePartitionResponse, ProduceResponse, ProduceTopicResponse,
};

/// The first flexible version.
pub(crate) const FLEXIBLE_SINCE: i16 = 9;
/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 13;
