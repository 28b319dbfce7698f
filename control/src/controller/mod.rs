//! The controller: judges requests to change the cluster against its image, and says what records the change is.
//!
//! Pure: no clock, no disk, no randomness of its own. [`crate::service`] runs it.

mod alter_partition;
mod brokers;
mod configs;
mod create_partitions;
mod create_topics;
mod decider;
mod delete_topics;
mod directories;
mod elect_leaders;
mod elections;
mod error;
mod features;
mod heartbeats;
mod internal_topics;
mod liveness;
mod number;
mod partition_change;
mod placement;
mod producer_ids;
mod reassignments;
mod request;
mod response;
mod tick;
mod topic_name;

pub use decider::{Context, Controller, Decision, METADATA_VERSION};
pub use error::{ApiError, ErrorCode};
pub use features::METADATA_VERSION_MIN;
pub use internal_topics::InternalTopic;
pub use liveness::Liveness;
pub use producer_ids::PRODUCER_ID_BLOCK;
pub use request::{
    AllocateProducerIds, AlterConfigs, AlterConfigsResource, AlterPartition, AlterPartitionItem,
    AlterPartitionReassignments, AssignDirectories, AutoCreateTopics, BrokerHeartbeat, CreatePartitions,
    CreateTopics, DeleteTopics, ElectLeaders, ElectionType, FeatureUpdate, IncrementalAlterConfigs,
    IncrementalAlterConfigsResource, IncrementalOperation, NewPartitions, NewTopic, PreviousShutdown,
    RegisterBroker, Request, TopicReassignments, TopicSelector, UnfenceBroker, UnregisterBroker,
    UpdateFeatures,
};
pub use response::{
    AlteredPartition, AlteredResource, BrokerStatus, CreatedTopic, DeletedTopic, ElectedPartition,
    NamedResult, PartitionState, ProducerIdBlock, ReassignedPartition, RegisteredBroker, Response,
};
pub use topic_name::validate as validate_topic_name;

#[cfg(test)]
mod tests;
