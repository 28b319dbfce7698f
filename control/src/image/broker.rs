//! A registered broker.

use uuid::Uuid;

use crate::record::{
    BrokerEndpoint, BrokerEpoch, BrokerId, BrokerRegistrationChangeRecord, DirectoryId, FeatureRange,
    RegisterBrokerRecord,
};

#[derive(Clone, Debug, PartialEq)]
pub struct BrokerImage {
    pub id: BrokerId,
    pub epoch: BrokerEpoch,
    /// New for every start of the process: tells a restarted broker from a repeated request.
    pub incarnation_id: Uuid,
    pub endpoints: Vec<BrokerEndpoint>,
    pub features: Vec<FeatureRange>,
    pub rack: Option<String>,
    /// Not trusted with partitions: just started, or silent for too long.
    pub fenced: bool,
    pub in_controlled_shutdown: bool,
    pub log_dirs: Vec<DirectoryId>,
    /// Directories that take no new partitions; `None` when the broker does not know of the notion.
    pub cordoned_log_dirs: Option<Vec<DirectoryId>>,
}

impl BrokerImage {
    /// Whether it may lead partitions and be in their ISR.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// The endpoint of a listener. Names compare exactly, as they do in Kafka.
    pub fn endpoint(&self, listener: &str) -> Option<&BrokerEndpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == listener)
    }

    pub(super) fn from_record(record: &RegisterBrokerRecord) -> Self {
        BrokerImage {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            endpoints: record.end_points.clone(),
            features: record.features.clone(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs: record.log_dirs.clone(),
            cordoned_log_dirs: record.cordoned_log_dirs.clone(),
        }
    }

    pub(super) fn to_record(&self) -> RegisterBrokerRecord {
        RegisterBrokerRecord {
            broker_id: self.id,
            is_migrating_zk_broker: false,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: self.endpoints.clone(),
            features: self.features.clone(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: self.log_dirs.clone(),
            cordoned_log_dirs: self.cordoned_log_dirs.clone(),
            unknown_tags: Vec::new(),
        }
    }

    pub(super) fn changed(&self, change: &BrokerRegistrationChangeRecord) -> Self {
        let switch = |now: bool, change: i8| match change {
            0 => now,
            change => change > 0,
        };
        let mut next = self.clone();
        next.fenced = switch(self.fenced, change.fenced);
        next.in_controlled_shutdown = switch(self.in_controlled_shutdown, change.in_controlled_shutdown);
        if !change.log_dirs.is_empty() {
            next.log_dirs.clone_from(&change.log_dirs);
        }
        if change.cordoned_log_dirs.is_some() {
            next.cordoned_log_dirs.clone_from(&change.cordoned_log_dirs);
        }
        next
    }
}
