//! Brokers register, and are trusted with partitions.

use std::collections::BTreeSet;

use super::decider::{Context, Controller, Decision};
use super::elections;
use super::error::{ApiError, ErrorCode};
use super::producer_ids::check_broker_epoch;
use super::request::{RegisterBroker, UnfenceBroker};
use super::response::{RegisteredBroker, Response};
use crate::image::ClusterImage;
use crate::record::{
    BrokerEpoch, BrokerRegistrationChangeRecord, DirectoryId, Record, RegisterBrokerRecord, UuidText,
};

impl Controller {
    /// A new process gets a new epoch and starts fenced; the same process asking again keeps what it has.
    ///
    /// Whether an older process of the same id is still alive is judged by heartbeats, which a cluster of one does not
    /// have: there the lock on the data directory keeps a second process out.
    pub(super) fn register_broker(
        &self,
        context: &mut Context<'_>,
        request: RegisterBroker,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        check_registration(&request, image)?;
        let existing = image.broker(request.broker_id);
        let amended = existing.filter(|broker| broker.incarnation_id == request.incarnation_id);
        let broker_epoch = amended.map_or(BrokerEpoch(context.next_offset.0), |broker| broker.epoch);
        let mut records = vec![Record::from(RegisterBrokerRecord {
            broker_id: request.broker_id,
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
            records.extend(elections::leave(request.broker_id, shutdown, image));
        }
        Ok(Decision {
            response: Response::RegisterBroker(RegisteredBroker { broker_epoch }),
            records,
        })
    }

    pub(super) fn unfence_broker(
        &self,
        request: &UnfenceBroker,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        check_broker_epoch(request.broker_id, request.broker_epoch, image)?;
        let mut records = Vec::new();
        if image
            .broker(request.broker_id)
            .is_some_and(|broker| broker.fenced)
        {
            records.push(Record::from(BrokerRegistrationChangeRecord {
                broker_id: request.broker_id,
                broker_epoch: request.broker_epoch,
                fenced: -1,
                ..BrokerRegistrationChangeRecord::default()
            }));
            records.extend(elections::arrive(request.broker_id, image));
        }
        Ok(Decision {
            response: Response::UnfenceBroker,
            records,
        })
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
    Ok(())
}
