//! Producer ids for idempotent producers, out of blocks that the controller hands to this shard.

use std::cell::RefCell;
use std::ops::Range;

use control::controller::{AllocateProducerIds, Request, Response};
use engine::types::ProducerId;
use net::error::ErrorCode;

use crate::shard::Shard;

/// What is left of this shard's block. Ids of a block that was not used up are lost with a restart, as in Kafka.
#[derive(Debug, Default)]
pub struct ProducerIds {
    block: RefCell<Range<i64>>,
}

impl ProducerIds {
    /// The next id, unique in the life of the cluster.
    pub async fn next(&self, shard: &Shard) -> Result<ProducerId, ErrorCode> {
        loop {
            if let Some(id) = self.block.borrow_mut().next() {
                return Ok(ProducerId(id));
            }
            let broker_epoch = shard
                .node
                .session
                .broker_epoch()
                .ok_or(ErrorCode::CoordinatorLoadInProgress)?;
            let ask = AllocateProducerIds {
                broker_id: shard.node.id,
                broker_epoch,
            };
            // Several requests may ask at once; each brings a block, and the later ones replace what is left.
            match shard
                .control(Request::AllocateProducerIds(ask))
                .await
                .map_err(|error| error.code)?
            {
                Response::AllocateProducerIds(block) => {
                    *self.block.borrow_mut() = block.first.0..block.first.0 + i64::from(block.count);
                }
                other => {
                    tracing::error!(
                        ?other,
                        "the controller answered a request for producer ids with something else"
                    );
                    return Err(ErrorCode::UnknownServerError);
                }
            }
        }
    }
}
