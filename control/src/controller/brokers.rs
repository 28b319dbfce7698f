//! Brokers register, are trusted with partitions, and are given up.

use std::collections::BTreeSet;

use super::decider::{Context, Controller, Decision};
use super::error::{ApiError, ErrorCode};
use super::features;
use super::producer_ids::check_broker_epoch;
use super::request::{PreviousShutdown, RegisterBroker, UnfenceBroker, UnregisterBroker};
use super::response::{RegisteredBroker, Response};
use crate::image::{BrokerImage, ClusterImage};
use crate::record::{
    BrokerEpoch, BrokerId, BrokerRegistrationChangeRecord, DirectoryId, Record, RegisterBrokerRecord,
    UnregisterBrokerRecord, UuidText,
};

impl Controller {
    /// A new process gets a new epoch and starts fenced; the same process asking again keeps what it has.
    ///
    /// A process that has one of the directories of the registered one is its successor: the lock on the directory proves that
    /// the other is dead. One that has none of them, while the other is alive, is a second broker of the same id. A request that knows an
    /// earlier registration than it would replace is a dead process's: it waited, with a controller that was cut off from the store, until
    /// its successor had registered. (Or the process is behind with the log, and asks again.)
    pub(super) fn register_broker(
        &self,
        context: &mut Context<'_>,
        request: RegisterBroker,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        check_registration(&request, image)?;
        let (id, now) = (request.broker_id, context.now);
        let existing = image.broker(id);
        let predecessor = existing.filter(|broker| broker.incarnation_id != request.incarnation_id);
        if let Some(predecessor) = predecessor {
            if request.known_epoch < Some(predecessor.epoch) {
                return Err(ApiError::new(
                    ErrorCode::STALE_BROKER_EPOCH,
                    "A later process of that broker has registered.",
                ));
            }
            let is_successor = request
                .log_dirs
                .iter()
                .any(|directory| predecessor.log_dirs.contains(directory));
            let is_alive = !predecessor.fenced && context.liveness.is_live(now, id);
            if is_alive && !is_successor {
                return Err(ApiError::new(
                    ErrorCode::DUPLICATE_BROKER_REGISTRATION,
                    "Another broker is registered with that broker id.",
                ));
            }
        }
        let amended = existing.filter(|broker| broker.incarnation_id == request.incarnation_id);
        let broker_epoch = amended.map_or(BrokerEpoch(context.next_offset.0), |broker| broker.epoch);
        let mut records = vec![Record::from(RegisterBrokerRecord {
            broker_id: id,
            incarnation_id: request.incarnation_id,
            broker_epoch,
            end_points: request.endpoints,
            features: request.features,
            rack: request.rack,
            fenced: amended.is_none_or(|broker| broker.fenced),
            in_controlled_shutdown: amended.is_some_and(|broker| broker.in_controlled_shutdown),
            log_dirs: request.log_dirs,
            ..RegisterBrokerRecord::default()
        })];
        if amended.is_none() {
            let shutdown = request.previous_shutdown;
            records.extend(self.leave(id, shutdown, image));
            // Died and came back before anybody missed it.
            let has_failed = shutdown == PreviousShutdown::Unclean;
            if has_failed && predecessor.is_some_and(|broker| broker.is_active()) {
                context.liveness.fenced_for_failure(now, id);
            }
            context.liveness.registered(id);
        }
        Ok(Decision {
            response: Response::RegisterBroker(RegisteredBroker { broker_epoch }),
            records,
        })
    }

    pub(super) fn unfence_broker(
        &self,
        context: &mut Context<'_>,
        request: &UnfenceBroker,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        let broker = check_broker_epoch(request.broker_id, request.broker_epoch, image)?;
        let mut records = Vec::new();
        if broker.fenced {
            context.liveness.unfenced(context.now, broker.id);
            records = self.unfence(broker, image);
        }
        Ok(Decision {
            response: Response::UnfenceBroker,
            records,
        })
    }

    pub(super) fn unregister_broker(
        &self,
        context: &mut Context<'_>,
        request: &UnregisterBroker,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        let id = request.broker_id;
        let Some(broker) = image.broker(id) else {
            return Err(ApiError::new(
                ErrorCode::BROKER_ID_NOT_REGISTERED,
                format!("Broker ID {id} is not currently registered"),
            ));
        };
        let mut records = self.forget(id, image);
        records.push(Record::from(UnregisterBrokerRecord {
            broker_id: id,
            broker_epoch: broker.epoch,
            ..UnregisterBrokerRecord::default()
        }));
        context.liveness.unregistered(id);
        Ok(Decision {
            response: Response::UnregisterBroker,
            records,
        })
    }

    /// The records by which a broker is trusted.
    pub(super) fn unfence(&self, broker: &BrokerImage, image: &ClusterImage) -> Vec<Record> {
        let change = BrokerRegistrationChangeRecord {
            fenced: -1,
            ..change_of(broker)
        };
        let mut records = vec![Record::from(change)];
        records.extend(self.arrive(broker.id, image));
        records
    }

    /// The records by which brokers are trusted no more.
    pub(super) fn fence(&self, brokers: &BTreeSet<BrokerId>, image: &ClusterImage) -> Vec<Record> {
        let mut records = self.withdraw(brokers, image);
        let registered = brokers.iter().filter_map(|id| image.broker(*id));
        records.extend(registered.filter(|broker| !broker.fenced).map(|broker| {
            Record::from(BrokerRegistrationChangeRecord {
                fenced: 1,
                ..change_of(broker)
            })
        }));
        records
    }
}

/// A change of the broker's registration that changes nothing yet.
pub(super) fn change_of(broker: &BrokerImage) -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord {
        broker_id: broker.id,
        broker_epoch: broker.epoch,
        ..BrokerRegistrationChangeRecord::default()
    }
}

fn check_registration(request: &RegisterBroker, image: &ClusterImage) -> Result<(), ApiError> {
    if request.cluster_id != image.cluster_id() {
        return Err(ApiError::new(
            ErrorCode::INCONSISTENT_CLUSTER_ID,
            format!(
                "Expected cluster ID {}, but got cluster ID {}",
                image.cluster_id(),
                request.cluster_id
            ),
        ));
    }
    let invalid = |message: String| Err(ApiError::new(ErrorCode::INVALID_REGISTRATION, message));
    let directories: BTreeSet<DirectoryId> = request.log_dirs.iter().copied().collect();
    if directories.is_empty() {
        return invalid("No directories specified in request".to_owned());
    }
    if directories.iter().any(|directory| directory.is_reserved()) {
        return invalid("Reserved directory ID in request".to_owned());
    }
    if directories.len() != request.log_dirs.len() {
        return invalid("Duplicate directory ID in request".to_owned());
    }
    let others = image
        .brokers()
        .values()
        .filter(|broker| broker.id != request.broker_id);
    for other in others {
        if let Some(shared) = other.log_dirs.iter().find(|id| directories.contains(id)) {
            return invalid(format!(
                "Broker {} is already registered with directory {}",
                other.id,
                UuidText(shared.0)
            ));
        }
    }
    features::check_registration(request, image)
}
