//! Following the metadata log: what other controllers appended becomes this broker's image.

use std::sync::Arc;

use super::port::ServiceFault;
use super::replay::READ_BYTES;
use super::runner::{Publish, Runner};
use crate::image::{ClusterImage, Delta};
use crate::store::{LogBatch, ReadError};

impl<P: Publish> Runner<P> {
    /// Reads, applies and publishes what is in the log.
    pub(super) async fn catch_up(&mut self) -> Result<(), ServiceFault> {
        while self.seen.next < self.board.log.end_offset() {
            match self.board.log.read(self.seen.next, READ_BYTES).await {
                Ok(batches) if batches.is_empty() => break,
                Ok(batches) => self.apply(batches).await?,
                Err(ReadError::BehindLog { .. }) => self.begin_with_snapshot().await?,
                Err(ReadError::Unavailable { .. }) => break,
                Err(error) => return Err(not_ours(error)),
            }
        }
        if self.board.log.is_local() {
            self.snapshots.make_if_due(&self.board.log, &self.seen.image);
        }
        Ok(())
    }

    async fn apply(&mut self, batches: Vec<LogBatch>) -> Result<(), ServiceFault> {
        let mut delta = Delta::default();
        for batch in batches {
            delta.merge(self.seen.take(batch).map_err(not_ours)?);
        }
        self.show(delta).await;
        Ok(())
    }

    /// The records between are gone: this broker was away for long, or slow.
    async fn begin_with_snapshot(&mut self) -> Result<(), ServiceFault> {
        let snapshot = self.board.log.snapshot().await.map_err(not_ours)?;
        let Some(snapshot) = snapshot.filter(|snapshot| snapshot.id.end_offset > self.seen.next) else {
            return Err(ServiceFault::Follow(format!(
                "records from {} on are gone, and no snapshot has them",
                self.seen.next
            )));
        };
        let before = self.seen.image.clone();
        self.seen.begin_with(&snapshot).map_err(not_ours)?;
        self.show(Delta::between(&before, &self.seen.image)).await;
        Ok(())
    }

    /// Makes the image that has been reached what every shard works with; `delta` is what changed since the last one.
    pub(super) async fn show(&mut self, delta: Delta) {
        let image = Arc::new(self.seen.image.clone());
        self.tell_of_brokers(&image, &delta);
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
        let before = self.board.image();
        for id in &delta.brokers {
            let was_active = before.broker(*id).is_some_and(|broker| broker.is_active());
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

pub(super) fn not_ours(error: impl std::fmt::Display) -> ServiceFault {
    ServiceFault::Follow(error.to_string())
}
