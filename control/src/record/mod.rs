//! Kafka's metadata records (KIP-631, KIP-746, KIP-835, KIP-858, KIP-868, KIP-966): what the controller decides and
//! every broker replays.
//!
//! The encoding is Kafka's own, so that its tools read our metadata log and a Kafka metadata log can be adopted.

mod broker;
mod cluster;
mod codec;
mod ids;
#[allow(clippy::module_inception)] // the file of the noun this folder is named after
mod record;
mod schema;
mod security;
mod topic;

pub use broker::{
    BrokerEndpoint, BrokerRegistrationChangeRecord, FeatureRange, FenceBrokerRecord, RegisterBrokerRecord,
    RegisterControllerRecord, UnfenceBrokerRecord, UnregisterBrokerRecord,
};
pub use cluster::{
    AbortTransactionRecord, BeginTransactionRecord, ConfigRecord, EndTransactionRecord, FeatureLevelRecord,
    NoOpRecord, ProducerIdsRecord, ZkMigrationStateRecord,
};
pub use codec::{DecodeError, Reader, Writer};
pub use ids::{BrokerEpoch, BrokerId, ControllerEpoch, DirectoryId, PartitionEpoch, PartitionId, UuidText};
pub use record::{OpaqueRecord, Record};
pub use schema::{Message, UnknownTags};
pub use security::{
    AccessControlEntryRecord, ClientQuotaRecord, DelegationTokenRecord, QuotaEntity,
    RemoveAccessControlEntryRecord, RemoveDelegationTokenRecord, RemoveUserScramCredentialRecord,
    UserScramCredentialRecord,
};
pub use topic::{
    ClearElrRecord, LEADER_UNCHANGED, NO_LEADER, PartitionChangeRecord, PartitionRecord,
    RECOVERY_STATE_UNCHANGED, RemoveTopicRecord, TopicRecord,
};
