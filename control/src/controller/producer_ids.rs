//! Blocks of producer ids, so that giving one out costs no write.

use engine::types::ProducerId;

use super::decider::{Controller, Decision};
use super::error::{ApiError, ErrorCode};
use super::request::AllocateProducerIds;
use super::response::{ProducerIdBlock, Response};
use crate::image::{BrokerImage, ClusterImage};
use crate::record::{BrokerEpoch, BrokerId, ProducerIdsRecord};

/// Ids in a block, as in Kafka. A broker that restarts wastes what is left of its block: of 2^63 it can.
pub const PRODUCER_ID_BLOCK: i32 = 1000;

impl Controller {
    pub(super) fn allocate_producer_ids(
        &self,
        request: &AllocateProducerIds,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        check_broker_epoch(request.broker_id, request.broker_epoch, image)?;
        let first = image.next_producer_id();
        let next = first.0.checked_add(i64::from(PRODUCER_ID_BLOCK)).ok_or_else(|| {
            ApiError::new(
                ErrorCode::UNKNOWN_SERVER_ERROR,
                "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit",
            )
        })?;
        let record = ProducerIdsRecord {
            broker_id: request.broker_id,
            broker_epoch: request.broker_epoch,
            next_producer_id: ProducerId(next),
            ..ProducerIdsRecord::default()
        };
        Ok(Decision {
            response: Response::AllocateProducerIds(ProducerIdBlock {
                first,
                count: PRODUCER_ID_BLOCK,
            }),
            records: vec![record.into()],
        })
    }
}

/// The broker that asks. Refuses what an earlier process of it asks, or one that never registered (KIP-380).
pub(super) fn check_broker_epoch(
    id: BrokerId,
    epoch: BrokerEpoch,
    image: &ClusterImage,
) -> Result<&BrokerImage, ApiError> {
    let message = match image.broker(id) {
        Some(broker) if broker.epoch == epoch => return Ok(broker),
        Some(broker) => format!(
            "Expected broker epoch {}, but got broker epoch {epoch}",
            broker.epoch
        ),
        None => format!("No broker registration found for broker id {id}"),
    };
    Err(ApiError::new(ErrorCode::STALE_BROKER_EPOCH, message))
}
