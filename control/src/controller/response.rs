//! What the controller answers: one result per item, in the order of the request.

use engine::types::ProducerId;
use uuid::Uuid;

use super::error::ApiError;
use crate::image::ConfigMap;
use crate::record::BrokerEpoch;

/// Each variant answers the request of the same name.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    CreateTopics(Vec<NamedResult<CreatedTopic>>),
    AutoCreateTopics(Vec<NamedResult<CreatedTopic>>),
    DeleteTopics(Vec<DeletedTopic>),
    CreatePartitions(Vec<NamedResult<()>>),
    AlterConfigs(Vec<AlteredResource>),
    IncrementalAlterConfigs(Vec<AlteredResource>),
    AllocateProducerIds(ProducerIdBlock),
    RegisterBroker(RegisteredBroker),
    UnfenceBroker,
    AssignDirectories,
}

/// What became of the item with this name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedResult<T> {
    pub name: String,
    pub result: Result<T, ApiError>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreatedTopic {
    pub id: Uuid,
    pub partition_count: usize,
    pub replication_factor: usize,
    /// What the topic was created with; the rest is at its default.
    pub configs: ConfigMap,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeletedTopic {
    /// `None` for an id that is not known.
    pub name: Option<String>,
    /// Nil for a name that is not known.
    pub id: Uuid,
    pub result: Result<(), ApiError>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AlteredResource {
    pub resource_type: i8,
    pub name: String,
    pub result: Result<(), ApiError>,
}

/// Producer ids `first..first + count`, for one broker to give out.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    pub first: ProducerId,
    pub count: i32,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RegisteredBroker {
    pub broker_epoch: BrokerEpoch,
}
