//! Following the metadata log: what other controllers appended becomes this broker's image.

use std::sync::Arc;

use engine::types::Offset;

use super::port::ServiceFault;
use super::runner::{Publish, Runner};
use crate::image::{ClusterImage, Delta, MetadataPosition, TransactionAssembler};
use crate::record::Record;
use crate::store::{LogBatch, ReadError};

/// Log read at once.
const READ_BYTES: usize = 4 << 20;

impl<P: Publish> Runner<P> {
    /// Reads, applies and publishes what is in the log.
    pub(super) async fn catch_up(&mut self) -> Result<(), ServiceFault> {
        while self.next < self.board.log.end_offset() {
            match self.board.log.read(self.next, READ_BYTES).await {
                Ok(batches) if batches.is_empty() => break,
                Ok(batches) => self.apply(batches).await?,
                Err(ReadError::BehindLog { .. }) => self.begin_with_snapshot().await?,
                Err(ReadError::Unavailable { .. }) => break,
                Err(error) => return Err(ServiceFault::Follow(error.to_string())),
            }
        }
        if self.board.log.is_local() {
            self.snapshots.make_if_due(&self.board.log, &self.image);
        }
        Ok(())
    }

    async fn apply(&mut self, batches: Vec<LogBatch>) -> Result<(), ServiceFault> {
        let mut image = self.image.clone();
        let mut delta = Delta::default();
        for batch in batches {
            let position = MetadataPosition {
                offset: batch.last_offset,
                epoch: batch.epoch,
            };
            let end = batch.last_offset.next();
            // The batch that holds `next` may begin before it: a snapshot need not end where a batch does.
            let skipped = usize::try_from(self.next.0 - batch.base_offset.0).unwrap_or(0);
            let records: Vec<Record> = batch.records.into_iter().skip(skipped).collect();
            let effective = self.assembler.push(records).map_err(not_ours)?;
            let (next, changes) = image.apply(&effective).map_err(not_ours)?;
            image = next.at(position);
            delta.merge(changes);
            self.next = end;
        }
        self.show(image, delta).await;
        Ok(())
    }

    /// The records between are gone: this broker was away for long, or slow.
    async fn begin_with_snapshot(&mut self) -> Result<(), ServiceFault> {
        let snapshot = self.board.log.snapshot().await.map_err(not_ours)?;
        let Some(snapshot) = snapshot.filter(|snapshot| snapshot.id.end_offset > self.next) else {
            return Err(ServiceFault::Follow(format!(
                "records from {} on are gone, and no snapshot has them",
                self.next
            )));
        };
        let empty = ClusterImage::empty(self.image.cluster_id());
        let (image, _) = empty.apply(&snapshot.records).map_err(not_ours)?;
        let image = image.at(MetadataPosition {
            offset: Offset(snapshot.id.end_offset.0 - 1),
            epoch: snapshot.id.epoch,
        });
        let delta = Delta::between(&self.image, &image);
        self.next = snapshot.id.end_offset;
        self.assembler = TransactionAssembler::default();
        self.show(image, delta).await;
        Ok(())
    }

    /// Makes `image` what every shard works with.
    pub(super) async fn show(&mut self, image: ClusterImage, delta: Delta) {
        self.tell_of_brokers(&image, &delta);
        self.image = image.clone();
        let image = Arc::new(image);
        if self.has_shards && !delta.is_empty() {
            self.publish.publish(image.clone(), Arc::new(delta)).await;
        }
        self.board.set_image(image);
    }
}

impl<P> Runner<P> {
    /// Operators ask first who came and who went.
    fn tell_of_brokers(&self, image: &ClusterImage, delta: &Delta) {
        if self.is_alone {
            return;
        }
        for id in &delta.brokers {
            let was_active = self.image.broker(*id).is_some_and(|broker| broker.is_active());
            match image.broker(*id) {
                Some(broker) if broker.is_active() && !was_active => {
                    tracing::info!(broker = id.0, epoch = broker.epoch.0, "a broker has joined");
                }
                Some(broker) if !broker.is_active() && was_active => {
                    let stopping = broker.in_controlled_shutdown;
                    tracing::info!(broker = id.0, stopping, "a broker has left");
                }
                None => tracing::info!(broker = id.0, "a broker is unregistered"),
                Some(_) => {}
            }
        }
    }
}

fn not_ours(error: impl std::fmt::Display) -> ServiceFault {
    ServiceFault::Follow(error.to_string())
}
