//! Which directory of its broker a replica lies in (KIP-858).
//!
//! The broker is told where a new replica goes, rather than asked to choose and to tell: so the choice is in the log before the first
//! record is, and a broker that finds a directory missing knows what was in it.

use std::collections::BTreeMap;

use super::decider::{Controller, Decision};
use super::error::ApiError;
use super::producer_ids::check_broker_epoch;
use super::request::AssignDirectories;
use super::response::Response;
use crate::image::ClusterImage;
use crate::record::{
    BrokerId, BrokerRegistrationChangeRecord, DirectoryId, LEADER_UNCHANGED, PartitionChangeRecord, Record,
};

impl Controller {
    pub(super) fn assign_directories(
        &self,
        request: AssignDirectories,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        check_broker_epoch(request.broker_id, request.broker_epoch, image)?;
        let mut records = Vec::new();
        let registered = image.broker(request.broker_id).map(|broker| &broker.log_dirs);
        if !request.online.is_empty() && registered != Some(&request.online) {
            records.push(Record::from(BrokerRegistrationChangeRecord {
                broker_id: request.broker_id,
                broker_epoch: request.broker_epoch,
                log_dirs: request.online,
                ..BrokerRegistrationChangeRecord::default()
            }));
        }
        for (topic_id, partition_id, directory) in request.assignments {
            // A partition that is deleted meanwhile needs no place.
            let Some(partition) = image.partition(topic_id, partition_id) else {
                continue;
            };
            let position = partition
                .replicas
                .iter()
                .position(|replica| *replica == request.broker_id);
            let mut directories = partition.directories.clone();
            directories.resize(partition.replicas.len(), DirectoryId::UNASSIGNED);
            match position.and_then(|position| directories.get_mut(position)) {
                Some(assigned) if *assigned != directory => *assigned = directory,
                _ => continue,
            }
            records.push(Record::from(PartitionChangeRecord {
                partition_id,
                topic_id,
                leader: LEADER_UNCHANGED,
                directories: Some(directories),
                ..PartitionChangeRecord::default()
            }));
        }
        Ok(Decision {
            response: Response::AssignDirectories,
            records,
        })
    }
}

/// Gives new replicas a directory of their broker each: the one with the fewest, as Kafka's brokers choose.
#[derive(Default)]
pub(super) struct DirectoryChoice {
    /// Replicas in each directory of the brokers that have several; counted when first needed.
    counts: BTreeMap<BrokerId, Vec<(DirectoryId, usize)>>,
}

impl DirectoryChoice {
    pub(super) fn choose(&mut self, image: &ClusterImage, broker: BrokerId) -> DirectoryId {
        let registered = match image.broker(broker).map(|broker| broker.log_dirs.as_slice()) {
            None | Some([]) => return DirectoryId::UNASSIGNED,
            Some([only]) => return *only,
            Some(several) => several,
        };
        let counts = self.counts.entry(broker).or_insert_with(|| {
            let count = |id: &DirectoryId| (*id, image.replica_count(broker, *id));
            registered.iter().map(count).collect()
        });
        // The first of those with the fewest.
        match counts.iter_mut().min_by_key(|(_, count)| *count) {
            Some((directory, count)) => {
                *count += 1;
                *directory
            }
            None => DirectoryId::UNASSIGNED,
        }
    }
}
