//! What the controller can be asked. Fields mean what they mean in Kafka's requests; numbers that are not valid there
//! are refused here, not before.

use engine::types::{LeaderEpoch, Offset};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::number;
use crate::image::LeaderRecovery;
use crate::record::{
    BrokerEndpoint, BrokerEpoch, BrokerId, DirectoryId, FeatureRange, PartitionEpoch, PartitionId,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    CreateTopics(CreateTopics),
    AutoCreateTopics(AutoCreateTopics),
    DeleteTopics(DeleteTopics),
    CreatePartitions(CreatePartitions),
    AlterConfigs(AlterConfigs),
    IncrementalAlterConfigs(IncrementalAlterConfigs),
    AllocateProducerIds(AllocateProducerIds),
    RegisterBroker(RegisterBroker),
    UnfenceBroker(UnfenceBroker),
    AssignDirectories(AssignDirectories),
    BrokerHeartbeat(BrokerHeartbeat),
    AlterPartition(AlterPartition),
    ElectLeaders(ElectLeaders),
    AlterPartitionReassignments(AlterPartitionReassignments),
    UnregisterBroker(UnregisterBroker),
    UpdateFeatures(UpdateFeatures),
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct CreateTopics {
    pub topics: Vec<NewTopic>,
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct NewTopic {
    pub name: String,
    /// -1: `num.partitions`.
    pub partition_count: i32,
    /// -1: `default.replication.factor`.
    pub replication_factor: i16,
    /// Replicas by partition; empty: the controller places them.
    pub assignments: Vec<(PartitionId, Vec<BrokerId>)>,
    pub configs: Vec<(String, Option<String>)>,
}

/// Topics that a client's metadata request, or a coordinator, needs. Those that exist are answered as if created.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct AutoCreateTopics {
    pub names: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct DeleteTopics {
    pub topics: Vec<TopicSelector>,
}

/// A topic by name or by id; which of the two is up to the client, and so is the mistake of giving both or none.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TopicSelector {
    pub name: Option<String>,
    /// The nil id means none.
    pub id: Uuid,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct CreatePartitions {
    pub topics: Vec<NewPartitions>,
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct NewPartitions {
    pub name: String,
    /// All partitions of the topic, the existing ones included.
    pub count: i32,
    /// Replicas of each additional partition; `None`: the controller places them.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// The older form: what is not named goes back to its default.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct AlterConfigs {
    pub resources: Vec<AlterConfigsResource>,
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct AlterConfigsResource {
    /// As on the wire; see [`crate::image::ResourceKind`].
    pub resource_type: i8,
    pub name: String,
    pub configs: Vec<(String, Option<String>)>,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct IncrementalAlterConfigs {
    pub resources: Vec<IncrementalAlterConfigsResource>,
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct IncrementalAlterConfigsResource {
    pub resource_type: i8,
    pub name: String,
    pub operations: Vec<IncrementalOperation>,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct IncrementalOperation {
    pub name: String,
    /// As on the wire: 0 set, 1 delete, 2 append, 3 subtract.
    pub operation: i8,
    pub value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllocateProducerIds {
    pub broker_id: BrokerId,
    pub broker_epoch: BrokerEpoch,
}

/// How the broker's last process ended: whether its logs hold everything they held then.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreviousShutdown {
    Clean,
    /// Or unknown. What its partitions held beyond the last sync may be gone, so they get a new leader epoch, by which
    /// consumers notice.
    Unclean,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterBroker {
    pub broker_id: BrokerId,
    pub cluster_id: String,
    pub incarnation_id: Uuid,
    pub endpoints: Vec<BrokerEndpoint>,
    pub features: Vec<FeatureRange>,
    pub rack: Option<String>,
    pub log_dirs: Vec<DirectoryId>,
    pub previous_shutdown: PreviousShutdown,
    /// The epoch of the registration that this one replaces; `None`: the process knows of none.
    pub known_epoch: Option<BrokerEpoch>,
}

/// A broker tells which of its directories it can use, and which of its partitions lie where (KIP-858: heartbeats and
/// AssignReplicasToDirs).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssignDirectories {
    pub broker_id: BrokerId,
    pub broker_epoch: BrokerEpoch,
    /// All that are online; new partitions go there.
    pub online: Vec<DirectoryId>,
    pub assignments: Vec<(Uuid, PartitionId, DirectoryId)>,
}

/// A registered broker has caught up and may have partitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnfenceBroker {
    pub broker_id: BrokerId,
    pub broker_epoch: BrokerEpoch,
}

/// A broker is alive (KIP-631). Every `broker.heartbeat.interval.ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerHeartbeat {
    pub broker_id: BrokerId,
    pub broker_epoch: BrokerEpoch,
    /// The last offset of the metadata log that all its shards work with.
    #[serde(with = "number::offset")]
    pub metadata_offset: Offset,
    /// It cannot serve partitions now.
    pub want_fence: bool,
    /// It wants to stop: its leaderships are to be moved first.
    pub want_shutdown: bool,
    pub offline_log_dirs: Vec<DirectoryId>,
}

/// A leader asks for other in-sync replicas of its partitions: a compare-and-set on the partition epoch (KIP-497).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlterPartition {
    pub broker_id: BrokerId,
    pub broker_epoch: BrokerEpoch,
    pub partitions: Vec<AlterPartitionItem>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlterPartitionItem {
    pub topic_id: Uuid,
    pub partition: PartitionId,
    /// As the leader knows them.
    #[serde(with = "number::leader_epoch")]
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// Each with the epoch of the registration in which it caught up, so that a rebooted replica does not come back on what its
    /// predecessor had (KIP-903). Epoch -1: not checked.
    pub new_isr: Vec<(BrokerId, BrokerEpoch)>,
    pub leader_recovery: LeaderRecovery,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ElectionType {
    /// The first replica, if it is in sync.
    Preferred,
    /// Any live replica where no in-sync one is left: records may be lost.
    Unclean,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElectLeaders {
    pub election_type: ElectionType,
    /// `None`: all partitions.
    pub partitions: Option<Vec<(String, Vec<PartitionId>)>>,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct AlterPartitionReassignments {
    pub topics: Vec<TopicReassignments>,
    pub allow_replication_factor_change: bool,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct TopicReassignments {
    pub name: String,
    /// Replicas wanted; `None` cancels what is going on.
    pub partitions: Vec<(PartitionId, Option<Vec<BrokerId>>)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnregisterBroker {
    pub broker_id: BrokerId,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct UpdateFeatures {
    pub updates: Vec<FeatureUpdate>,
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct FeatureUpdate {
    pub name: String,
    /// 0 takes the feature away.
    pub level: i16,
    /// As on the wire: 1 upgrade, 2 safe downgrade, 3 unsafe downgrade.
    pub upgrade_type: i8,
}
