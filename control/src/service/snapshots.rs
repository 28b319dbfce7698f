//! When snapshots are due.

use std::cell::Cell;
use std::rc::Rc;

use crate::image::ClusterImage;
use crate::store::MetaLog;

/// A log that is worth a snapshot when the process ends: less is replayed within some ten milliseconds.
const SNAPSHOT_AT_CLOSE_BYTES: u64 = 1 << 20;

/// They are made beside the work, one at a time.
pub(super) struct Snapshots {
    /// Log that makes one due.
    due_bytes: u64,
    /// After a failure the log has to grow by as much again: a full disk would be tried on every change otherwise.
    retry_bytes: Rc<Cell<u64>>,
    running: Option<reactor::Task<()>>,
}

impl Snapshots {
    pub(super) fn new(due_bytes: u64) -> Self {
        Snapshots {
            due_bytes,
            retry_bytes: Rc::default(),
            running: None,
        }
    }

    pub(super) fn make_if_due(&mut self, log: &MetaLog, image: &ClusterImage) {
        let bytes = log.bytes_since_snapshot();
        let is_running = self.running.as_ref().is_some_and(|task| !task.is_finished());
        if bytes >= self.due_bytes.max(self.retry_bytes.get()) && !is_running {
            self.make(log, image, bytes);
        }
    }

    pub(super) async fn finish(&mut self, log: &MetaLog, image: &ClusterImage) {
        if let Some(running) = self.running.take() {
            running.await;
        }
        let bytes = log.bytes_since_snapshot();
        if bytes >= SNAPSHOT_AT_CLOSE_BYTES.min(self.due_bytes) {
            self.make(log, image, bytes);
        }
        if let Some(running) = self.running.take() {
            running.await;
        }
    }

    fn make(&mut self, log: &MetaLog, image: &ClusterImage, bytes: u64) {
        let (log, image) = (log.clone(), image.clone());
        let (retry_bytes, due_bytes) = (Rc::clone(&self.retry_bytes), self.due_bytes);
        self.running = Some(reactor::spawn(async move {
            match log.write_snapshot(image).await {
                Ok(id) => {
                    tracing::info!(
                        end_offset = id.end_offset.0,
                        log_bytes = bytes,
                        "metadata snapshot"
                    );
                    retry_bytes.set(0);
                }
                Err(error) => {
                    tracing::error!(%error, "no metadata snapshot; the log goes on without");
                    retry_bytes.set(bytes.saturating_add(due_bytes));
                }
            }
        }));
    }
}
