//! The leader epochs of a log at its start: from their checkpoint, or from the batches.

use std::io;

use reactor::{File, OpenMode, disk};

use super::{OpenError, Recovery};
use crate::log::epoch_cache::{EpochCache, EpochEntry};
use crate::log::file_name::{FileKind, LEADER_EPOCH_CHECKPOINT};
use crate::log::flush::write_epochs;
use crate::log::flush_state::may_epochs_wait;
use crate::log::window::{SCAN_BYTES, ScanError, Window};
use crate::types::Offset;

impl Recovery {
    pub(super) fn read_epochs(&mut self) -> Result<(), OpenError> {
        let parsed = match disk::read(&self.dir.join(LEADER_EPOCH_CHECKPOINT)) {
            Ok(bytes) => EpochCache::parse(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.has_epoch_file = false;
                Err("missing".to_owned())
            }
            Err(source) => return Err(self.io("read leader epochs", source)),
        };
        // every batch has an epoch: a file that knows none lost them
        let parsed = parsed.and_then(|epochs| match epochs.entries().is_empty() {
            true => Err("empty".to_owned()),
            false => Ok(epochs),
        });
        match parsed {
            Ok(epochs) => {
                self.epochs = epochs.clone();
                self.epochs_on_disk = epochs;
            }
            Err(_) if self.segments.iter().all(|segment| segment.size_bytes == 0) => {}
            Err(reason) => {
                if self.has_epoch_file {
                    tracing::warn!(partition = %self.partition, reason, "leader epochs rebuilt from the log");
                }
                self.report.epochs_rebuilt = true;
                self.rebuild_epochs()?;
            }
        }
        Ok(())
    }

    /// Whether the checkpoint gives the batch that begins an epoch to another one. It has no checksum; one that is merely older
    /// than the log does not know the epoch.
    pub(super) fn contradicts_epochs(&self, found: &EpochEntry) -> bool {
        let is_known = self
            .epochs
            .latest()
            .is_some_and(|latest| found.epoch <= latest.epoch);
        let is_deleted = self
            .start
            .log_start
            .is_some_and(|log_start| found.start_offset < log_start);
        is_known && !is_deleted && self.epochs.epoch_of(found.start_offset) != Some(found.epoch)
    }

    pub(super) fn rebuild_epochs(&mut self) -> Result<(), OpenError> {
        for segment in &self.segments {
            let file = File::open(&self.path(segment.base_offset, FileKind::Log), OpenMode::Read)
                .map_err(|source| self.io("open segment", source))?;
            let mut window = Window::new(&file, segment.size_bytes, SCAN_BYTES);
            let mut position = 0;
            loop {
                let batch = match window.header(position) {
                    Ok(Some(batch)) => batch,
                    Ok(None) => break,
                    // whether it may be there is judged by the check
                    Err(ScanError::Damaged(_)) => break,
                    Err(ScanError::Io(source)) => return Err(self.io("read segment", source)),
                };
                let epoch = batch.header.leader_epoch();
                if self.epochs.latest().is_none_or(|latest| epoch > latest.epoch) {
                    self.epochs.assign(epoch, batch.header.base_offset());
                }
                position = batch.end();
            }
        }
        Ok(())
    }

    /// It did without a file of them before.
    pub(super) fn may_do_without_epochs(&self) -> bool {
        let log_bytes = self.segments.iter().map(|segment| segment.size_bytes).sum();
        may_epochs_wait(&self.epochs, log_bytes, self.has_epoch_file)
    }

    pub(super) fn save_epochs(&mut self, log_start: Offset, end_offset: Offset) -> Result<(), OpenError> {
        self.epochs.truncate_from_end(end_offset);
        self.epochs.truncate_from_start(log_start);
        let is_stale = self.epochs != self.epochs_on_disk || self.report.epochs_rebuilt;
        if is_stale && !self.may_do_without_epochs() {
            // not in the way of a start on a full disk: what is in the log can be read without
            write_epochs(&self.dir.join(LEADER_EPOCH_CHECKPOINT), &self.epochs.encode())
                .map_err(|source| self.io("write leader epochs", source))?;
            self.has_epoch_file = true;
        }
        Ok(())
    }
}
