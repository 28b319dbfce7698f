//! The two ends of a log: a clean stop, and deletion.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reactor::disk;
use uuid::Uuid;

use super::fault::{DiskFault, is_shortage};
use super::file_name::FileKind;
use super::handle::Log;
use super::segment::write_whole;
use super::state::State;
use super::tail_cache::TailCache;

/// Suffix of a partition directory that is being deleted.
pub const DELETE_DIR_SUFFIX: &str = "-delete";
/// File systems take names of 255 bytes.
const NAME_MAX: usize = 255;

impl Log {
    /// Puts everything on the disk and writes what a start needs to read nothing: indexes, producer snapshot, epochs. The
    /// log takes no more calls.
    pub async fn close(&self) -> Result<(), DiskFault> {
        {
            let mut state = self.inner.state.borrow_mut();
            state.check_online()?;
            if let Err(error) = state.write_derived() {
                // On a full disk the journal keeps what the files lack: nothing has failed, but this is no clean stop.
                return Err(if is_shortage(&error) {
                    state.fault_of("close", error)
                } else {
                    state.fail("close", error)
                });
            }
            // Makes the next commit a sync even if no record waits for one.
            state.flush.directory_changed();
            state.flush.epochs_changed();
        }
        self.sync().await?;
        self.wait_idle().await;
        let mut state = self.inner.state.borrow_mut();
        state.check_online()?;
        for segment in state.closed.values_mut() {
            segment.release();
        }
        state.active.segment.release();
        state.leave_journal();
        let closed = io::Error::other("closed");
        state.set_closed(closed);
        Ok(())
    }

    /// Removes the partition: its directory gets a name no start takes for a partition, and is unlinked after
    /// `file.delete.delay.ms`.
    pub async fn delete(self) -> Result<(), DiskFault> {
        self.wait_idle().await;
        let (doomed, parent, delay_ms) = {
            let mut state = self.inner.state.borrow_mut();
            let dir = state.dir.clone();
            let parent = dir.parent().unwrap_or(Path::new(".")).to_owned();
            let doomed = parent.join(aside_dir_name(&state.partition));
            disk::rename(&dir, &doomed).map_err(|error| state.fail("delete partition", error))?;
            for segment in state.closed.values_mut() {
                segment.release();
            }
            state.active.segment.release();
            state.leave_journal();
            state.set_closed(io::Error::other("deleted"));
            (doomed, parent, state.config.file_delete_delay_ms)
        };
        self.inner.synced.notify_waiters();
        let synced = reactor::background(move || disk::sync_dir(&parent)).await;
        remove_dir_later(doomed, delay_ms);
        synced.map_err(|error| self.inner.state.borrow_mut().fail("sync data directory", error))
    }

    /// Waits until no sync is running.
    pub(crate) async fn wait_idle(&self) {
        loop {
            let synced = self.inner.synced.notified();
            if !self.inner.state.borrow().flush.is_running() {
                return;
            }
            synced.await;
        }
    }
}

impl State {
    /// Writes the active segment's indexes and the producer snapshot.
    fn write_derived(&mut self) -> io::Result<()> {
        self.settle()?;
        let file = self.active.segment.file(&self.dir)?;
        if self.active.allocated_bytes > self.active.segment.size_bytes {
            file.set_len(self.active.segment.size_bytes)?;
            self.active.allocated_bytes = self.active.segment.size_bytes;
        }
        let mut index = self.active.index.clone();
        index.finish();
        for (kind, bytes) in [
            (FileKind::OffsetIndex, index.offsets.encode()),
            (FileKind::TimeIndex, index.times.encode()),
        ] {
            let path = self.active.segment.path(&self.dir, kind);
            write_whole(&path, &bytes)?;
            self.flush.derived_written(path);
        }
        // Without it this is no clean stop: a start that finds no snapshot would know no producer, and store their retries twice.
        self.take_snapshot(self.end_offset)
    }

    /// The journal need not wait for this log any more: it is synced, or gone.
    pub(super) fn leave_journal(&mut self) {
        let unwritten = self.active.tail.unwritten_bytes();
        if let Some(port) = self.journal.take() {
            port.journal.account_unwritten(0, unwritten);
        }
        self.active.tail = TailCache::new(self.active.segment.size_bytes);
        self.flush.note_gone();
    }

    fn set_closed(&mut self, reason: io::Error) {
        self.fault.get_or_insert(DiskFault {
            partition: self.partition.clone(),
            operation: DiskFault::GONE,
            offset: self.end_offset,
            source: Arc::new(reason),
        });
    }
}

/// `topic-partition.<uuid>-delete`, the topic cut so that the name fits.
pub(crate) fn aside_dir_name(partition: &str) -> String {
    let (topic, number) = partition.rsplit_once('-').unwrap_or((partition, "0"));
    let id = Uuid::from_u64_pair(reactor::random_u64(), reactor::random_u64());
    let suffix = format!("-{number}.{}{DELETE_DIR_SUFFIX}", id.simple());
    let room = NAME_MAX.saturating_sub(suffix.len()).min(topic.len());
    // topic names are ASCII; a directory that is not keeps what is whole
    let topic = topic.get(..room).unwrap_or_default();
    format!("{topic}{suffix}")
}

pub(crate) fn remove_dir_later(dir: PathBuf, delay_ms: i64) {
    let delay = Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0));
    reactor::spawn(async move {
        reactor::sleep(delay).await;
        let path = dir.clone();
        if let Err(error) = reactor::background(move || disk::remove_dir_all(&path)).await {
            tracing::warn!(dir = %dir.display(), %error, "deleted partition stays until the next start");
        }
    })
    .detach();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_deleted_partitions_fit_and_tell_the_partition() {
        let name = aside_dir_name("my-topic-12");
        assert!(
            name.starts_with("my-topic-12.") && name.ends_with("-delete"),
            "{name}"
        );
        let long = aside_dir_name(&format!("{}-7", "t".repeat(249)));
        assert!(long.len() <= NAME_MAX && long.contains("-7."), "{long}");
    }
}
