//! Snapshots: the bytes of a snapshot file of the embedded log, in chunks that are written one by one and count once `snap_head` names them.

use std::rc::Rc;

use engine::types::{Offset, Timestamp};
use uuid::Uuid;

use super::log::{Patience, Shared, StoreMetaLog};
use super::value::SnapshotHead;
use crate::image::ClusterImage;
use crate::store::embedded;
use crate::store::error::{OpenError, SnapshotError};
use crate::store::kv::{KeyRange, Order, Outcome, Revision, Step, StoreError, Transaction};
use crate::store::meta_log::{Snapshot, SnapshotId};
use crate::store::quorum::Quorum;

/// As large as a batch: with less than a megabyte every store takes it.
const CHUNK_BYTES: usize = 900 << 10;
/// Chunks read at once.
const CHUNKS_PER_RANGE: usize = 16;
/// Of a write that brings no answer; then the log stays as long as it is until the next snapshot.
const TRIES: u32 = 20;
/// A reader that finds chunks missing looks again: somebody has made a newer snapshot meanwhile.
const READS: u32 = 10;

impl StoreMetaLog {
    /// See [`crate::store::MetaLog::snapshot`].
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, OpenError> {
        let shared = self.shared();
        let mut patience = Patience::default();
        let mut reads = 0;
        loop {
            shared.read_snapshot_head().await?;
            let head = shared.state.borrow().snapshot.clone();
            let Some((head, _)) = head else { return Ok(None) };
            let chunks = shared.read_chunks(&head).await;
            if chunks.len() == head.size_bytes {
                let path = shared.keys.chunk(&head.name, 0);
                let (snapshot, _) = embedded::decode_snapshot(head.id, path.as_ref(), &chunks)?;
                return Ok(Some(snapshot));
            }
            reads += 1;
            if reads >= READS {
                return Err(OpenError::SnapshotChunks {
                    name: head.name,
                    what: format!("{} of {} bytes", chunks.len(), head.size_bytes),
                });
            }
            patience.pause("the snapshot is not whole").await;
        }
    }

    /// Any member may write one; it counts if no later one is there. See [`crate::store::MetaLog::write_snapshot`].
    pub async fn write_snapshot(&self, image: ClusterImage) -> Result<SnapshotId, SnapshotError> {
        let shared = Rc::clone(self.shared());
        let position = image.position();
        let id = SnapshotId {
            end_offset: position.offset.next(),
            epoch: position.epoch,
        };
        let (end, cost) = {
            let state = shared.state.borrow();
            (state.end_offset, state.end_cost)
        };
        if id.end_offset > end {
            return Err(SnapshotError::PastEnd {
                offset: id.end_offset,
                end,
            });
        }
        let now = Timestamp(reactor::wall_ms());
        let encoded = reactor::background(move || {
            embedded::encode_snapshot(id, now, &Quorum::default(), &image.to_records())
        });
        let bytes = encoded.await?;
        let task = reactor::spawn(async move { shared.write_snapshot(id, cost, bytes).await });
        task.await
    }
}

impl Shared {
    async fn read_chunks(&self, head: &SnapshotHead) -> Vec<u8> {
        let mut range = self.keys.chunks(&head.name);
        let mut bytes = Vec::new();
        loop {
            let found = self.range(&range, Order::Ascending, CHUNKS_PER_RANGE).await;
            let Some(last) = found.last() else { return bytes };
            range.from = format!("{}\0", last.key);
            for chunk in found {
                bytes.extend_from_slice(&chunk.value);
            }
        }
    }

    async fn write_snapshot(
        &self,
        id: SnapshotId,
        cost: u64,
        bytes: Vec<u8>,
    ) -> Result<SnapshotId, SnapshotError> {
        let unreadable = |error: OpenError| SnapshotError::Store(error.to_string());
        self.read_snapshot_head().await.map_err(unreadable)?;
        let older = self.state.borrow().snapshot.clone();
        if let Some((older, _)) = &older
            && older.id.end_offset >= id.end_offset
        {
            return Ok(older.id);
        }
        let unique = Uuid::from_u64_pair(reactor::random_u64(), reactor::random_u64());
        let name = format!("{:020}-{:010}-{}", id.end_offset.0, id.epoch.0, unique.simple());
        let chunks: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES).collect();
        for (number, chunk) in chunks.iter().enumerate() {
            let step = Step::Put {
                key: self.keys.chunk(&name, number),
                version: None,
                value: chunk.to_vec(),
                lease: None,
            };
            // Refused in a second sending: the first one came in, as nobody else writes under this name.
            self.settle_snapshot(step).await?;
        }
        let old_end = older
            .as_ref()
            .map_or(Offset::ZERO, |(older, _)| older.id.end_offset);
        let log_start = self.keep_from(old_end).await;
        let head = SnapshotHead {
            id,
            name: name.clone(),
            chunk_count: chunks.len(),
            size_bytes: bytes.len(),
            log_start,
            cost: cost.saturating_sub(self.cost_after(id.end_offset)),
        };
        let step = Step::Put {
            key: self.keys.snapshot_head(),
            version: older.as_ref().map(|(_, version)| *version),
            value: head.encode(),
            lease: None,
        };
        self.settle_snapshot(step).await?;
        self.read_snapshot_head().await.map_err(unreadable)?;
        let current = self
            .state
            .borrow()
            .snapshot
            .as_ref()
            .map(|(head, _)| head.clone());
        match current {
            Some(current) if current.name == name => {
                self.forget_behind(&current).await;
                Ok(id)
            }
            // somebody was faster with another one
            Some(other) => {
                self.delete(&self.keys.chunks(&name)).await;
                Ok(other.id)
            }
            None => Err(SnapshotError::Store("its description is gone".to_owned())),
        }
    }

    /// One step, until it is certain; happened or refused.
    async fn settle_snapshot(&self, step: Step) -> Result<(), SnapshotError> {
        let transaction = Transaction { steps: vec![step] };
        let mut patience = Patience::default();
        let mut why = String::new();
        for _ in 0..TRIES {
            match self.store.transact(&transaction).await {
                Outcome::Done(_) | Outcome::Refused => return Ok(()),
                Outcome::Unknown(said) => {
                    patience.pause(&said).await;
                    why = said;
                }
                Outcome::LeaseLost => return Err(SnapshotError::Store("lease".to_owned())),
                Outcome::Rejected(rejection) => return Err(SnapshotError::Store(format!("{rejection:?}"))),
            }
        }
        Err(SnapshotError::Store(why))
    }

    /// What the entries behind a snapshot's end cost: as far as they are known, which they are where snapshots are made.
    fn cost_after(&self, end: Offset) -> u64 {
        let state = self.state.borrow();
        let behind = state.cached.iter().filter(|(batch, _)| batch.base_offset >= end);
        behind.map(|(_, cost)| cost).sum()
    }

    /// Where the log shall begin: members that are a little behind find their entries back to the snapshot before. An entry that the old
    /// snapshot ends within stays.
    async fn keep_from(&self, old_end: Offset) -> Offset {
        let before = self.keys.entries(Offset::ZERO, old_end);
        let last = self.range(&before, Order::Descending, 1).await;
        match last.first().map(|found| self.decode_entry(found)) {
            Some(Ok((batch, _))) if batch.last_offset >= old_end => batch.base_offset,
            Some(_) | None => old_end,
        }
    }

    /// What is left by an interruption here is deleted after the next snapshot.
    async fn forget_behind(&self, head: &SnapshotHead) {
        self.delete(&self.keys.entries(Offset::ZERO, head.log_start))
            .await;
        let all = self.keys.snapshots();
        let own = self.keys.chunks(&head.name);
        for range in [
            KeyRange {
                from: all.from,
                to: own.from,
            },
            // Names begin with the offset: what follows is a later snapshot that is being written.
        ] {
            self.delete(&range).await;
        }
        if let Ok(found) = self.store.range(&self.keys.followed(), Order::Ascending, 1).await {
            self.forget_history(found.revision).await;
        }
    }

    async fn forget_history(&self, before: Revision) {
        if let Err(error) = self.store.forget_history(before).await {
            tracing::debug!(%error, "the store's history was not compacted");
        }
    }

    async fn delete(&self, range: &KeyRange) {
        let mut patience = Patience::default();
        for _ in 0..TRIES {
            match self.store.delete_range(range).await {
                Ok(()) => return,
                Err(error @ StoreError::Unavailable(_)) => patience.wait(&error).await,
                Err(error @ StoreError::Refused(_)) => {
                    tracing::warn!(%error, "old metadata was not deleted");
                    return;
                }
            }
        }
    }
}
