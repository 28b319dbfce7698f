//! What the controller answers: one result per item, in the order of the request.

use engine::types::{LeaderEpoch, ProducerId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::ApiError;
use super::number;
use crate::image::{ConfigMap, LeaderRecovery};
use crate::record::{BrokerEpoch, BrokerId, PartitionEpoch, PartitionId};

/// Each variant answers the request of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    BrokerHeartbeat(BrokerStatus),
    AlterPartition(Vec<AlteredPartition>),
    ElectLeaders(Vec<ElectedPartition>),
    AlterPartitionReassignments(Vec<ReassignedPartition>),
    UnregisterBroker,
    UpdateFeatures(Vec<NamedResult<()>>),
}

/// What became of the item with this name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedResult<T> {
    pub name: String,
    pub result: Result<T, ApiError>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreatedTopic {
    pub id: Uuid,
    pub partition_count: usize,
    pub replication_factor: usize,
    /// What the topic was created with; the rest is at its default.
    pub configs: ConfigMap,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeletedTopic {
    /// `None` for an id that is not known.
    pub name: Option<String>,
    /// Nil for a name that is not known.
    pub id: Uuid,
    pub result: Result<(), ApiError>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlteredResource {
    pub resource_type: i8,
    pub name: String,
    pub result: Result<(), ApiError>,
}

/// Producer ids `first..first + count`, for one broker to give out.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdBlock {
    #[serde(with = "number::producer_id")]
    pub first: ProducerId,
    pub count: i32,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredBroker {
    pub broker_epoch: BrokerEpoch,
}

/// What the controller thinks of a broker that sent a heartbeat.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// It follows the metadata log closely enough to be unfenced.
    pub is_caught_up: bool,
    pub is_fenced: bool,
    /// It leads nothing any more, and may stop.
    pub should_shut_down: bool,
}

/// The state of a partition after AlterPartition, or why it was not changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlteredPartition {
    pub topic_id: Uuid,
    pub partition: PartitionId,
    pub result: Result<PartitionState, ApiError>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionState {
    pub leader: Option<BrokerId>,
    #[serde(with = "number::leader_epoch")]
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<BrokerId>,
    pub leader_recovery: LeaderRecovery,
    pub partition_epoch: PartitionEpoch,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElectedPartition {
    pub topic: String,
    pub partition: PartitionId,
    pub result: Result<(), ApiError>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReassignedPartition {
    pub topic: String,
    pub partition: PartitionId,
    pub result: Result<(), ApiError>,
}
