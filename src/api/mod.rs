//! The table of what is served: one file per API, one row per file.
//!
//! A row gives the API's key, the versions that work, and the handler. `ApiVersions` is computed from this table, so
//! nothing can be advertised that has no handler, and nothing else needs to change when an API is added.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use control::config::BrokerConfig;
use control::store::StoreUrl;

use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

mod add_raft_voter;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod altered;
pub mod api_versions;
mod auto_create;
mod by_partition;
mod by_topic;
pub mod control_error;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
pub mod locate;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod quorum;
mod reach;
mod remove_raft_voter;
pub mod reply;
mod sync_group;
mod unregister_broker;
mod update_features;
mod update_raft_voter;

/// What a handler returns: it owns all it needs, so that the connection may poll it beside others.
pub type Answer = Pin<Box<dyn Future<Output = Outcome>>>;

/// One row of the table.
#[derive(Debug)]
pub struct Api {
    /// The request's key on the wire.
    pub key: i16,
    /// Kafka's name, also the `api` label of the metrics.
    pub name: &'static str,
    /// The lowest version that ApiVersions names.
    pub min_version: i16,
    /// The highest version that ApiVersions names.
    pub max_version: i16,
    /// The lowest version that is answered; below it (Produce 0-2) the connection is closed, as Kafka does.
    pub min_served: i16,
    /// Served only where the metadata log is kept by a quorum of the brokers.
    pub needs_quorum: bool,
    pub handler: fn(Rc<Shard>, Call) -> Answer,
}

impl Api {
    /// An API that serves every version that it names.
    pub const fn new(
        key: i16,
        name: &'static str,
        versions: (i16, i16),
        handler: fn(Rc<Shard>, Call) -> Answer,
    ) -> Api {
        Api {
            key,
            name,
            min_version: versions.0,
            max_version: versions.1,
            min_served: versions.0,
            needs_quorum: false,
            handler,
        }
    }

    /// An API about the quorum.
    pub const fn of_quorum(
        key: i16,
        name: &'static str,
        versions: (i16, i16),
        handler: fn(Rc<Shard>, Call) -> Answer,
    ) -> Api {
        let mut api = Api::new(key, name, versions, handler);
        api.needs_quorum = true;
        api
    }

    /// Whether a broker of this configuration serves it.
    pub fn is_served_with(&self, config: &BrokerConfig) -> bool {
        !self.needs_quorum || matches!(config.store, StoreUrl::Quorum(_))
    }

    pub fn serves(&self, version: i16) -> bool {
        (self.min_served..=self.max_version).contains(&version)
    }
}

/// Every API of this broker, by key.
pub static TABLE: &[&Api] = &[
    &produce::API,
    &fetch::API,
    &list_offsets::API,
    &metadata::API,
    &offset_commit::API,
    &offset_fetch::API,
    &find_coordinator::API,
    &join_group::API,
    &heartbeat::API,
    &leave_group::API,
    &sync_group::API,
    &describe_groups::API,
    &list_groups::API,
    &api_versions::API,
    &create_topics::API,
    &delete_topics::API,
    &delete_records::API,
    &init_producer_id::API,
    &offset_for_leader_epoch::API,
    &describe_configs::API,
    &alter_configs::API,
    &alter_replica_log_dirs::API,
    &describe_log_dirs::API,
    &create_partitions::API,
    &delete_groups::API,
    &elect_leaders::API,
    &incremental_alter_configs::API,
    &alter_partition_reassignments::API,
    &list_partition_reassignments::API,
    &offset_delete::API,
    &describe_quorum::API,
    &update_features::API,
    &describe_cluster::API,
    &describe_producers::API,
    &unregister_broker::API,
    &list_config_resources::API,
    &describe_topic_partitions::API,
    &add_raft_voter::API,
    &remove_raft_voter::API,
    &update_raft_voter::API,
];

/// The row of `key`, if it is served.
pub fn find(key: i16) -> Option<&'static Api> {
    TABLE.iter().copied().find(|api| api.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: a key served twice, or an ApiVersions answer that clients reject as unordered.
    #[test]
    fn rows_are_in_key_order_and_unique() {
        assert!(TABLE.windows(2).all(|rows| rows[0].key < rows[1].key));
        assert!(
            TABLE
                .iter()
                .all(|api| api.min_version <= api.max_version && api.min_served >= api.min_version)
        );
    }
}
