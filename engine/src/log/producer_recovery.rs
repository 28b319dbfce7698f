//! Producer state at start: the newest snapshot that holds, and the headers of the batches behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use reactor::{File, OpenMode, disk};

use super::append::coordinator_epoch;
use super::file_name::{FileKind, FileName, Suffix};
use super::producer_snapshot;
use super::producer_state::{Appended, ProducerStates};
use super::recovery::{Found, OpenState, RecoveryRules};
use super::scrub::Quarantine;
use super::segment::read_batch;
use super::tail::floor_position;
use super::transaction_index::{self, AbortedTransaction, Marker, TransactionIndexes};
use super::window::{BatchAt, SCAN_BYTES, ScanError, Window};
use crate::batch::{Batch, ControlRecordType};
use crate::planted::{self, Bug};
use crate::types::{Offset, Timestamp};

/// A marker's batch is about 80 bytes; a larger control batch is none of a transaction's.
const MARKER_BATCH_BYTES_MAX: u64 = 4096;

/// What recovery knows of a log before its producers.
pub(crate) struct Known<'r> {
    pub(crate) dir: &'r Path,
    pub(crate) segments: &'r [Found],
    pub(crate) quarantines: &'r BTreeMap<Offset, Quarantine>,
    pub(crate) rules: &'r RecoveryRules,
    pub(crate) log_start: Offset,
    pub(crate) end_offset: Offset,
}

impl Known<'_> {
    /// State of all producers at the end, and the snapshots that stay. Transaction indexes are brought in line with the log.
    pub(crate) fn load(
        &self,
        start: OpenState,
        transactions: &mut TransactionIndexes,
    ) -> Result<(ProducerStates, BTreeSet<Offset>), ScanError> {
        let mut snapshots = list(self.dir, self.end_offset)?;
        let mut states = None;
        let mut is_any_damaged = false;
        // Behind the recovery point transaction indexes may have been lost, while a snapshot was not: then the markers in
        // between are read again.
        let synced = match start.recovery_point {
            _ if start.clean => self.end_offset,
            Some(recovery_point) => recovery_point.max(self.log_start),
            None => self.log_start,
        };
        while let Some(offset) = snapshots.range(..=synced).next_back().copied() {
            match read(self.dir, offset, self.rules) {
                Ok(read) => {
                    states = Some(read);
                    break;
                }
                Err(error) => {
                    tracing::warn!(dir = %self.dir.display(), %offset, %error, "producer snapshot removed");
                    is_any_damaged = true;
                    disk::remove_file(&path(self.dir, offset))?;
                    snapshots.remove(&offset);
                }
            }
        }
        let mut states = match states {
            Some(states) => states,
            // Kafka as well takes a cleanly stopped log without any snapshot for one without producers: reading all of it
            // to find that out would make a start as long as the log. (A stop that cannot write one is not a clean one.)
            None if start.clean && !is_any_damaged => ProducerStates::new(self.end_offset),
            None => ProducerStates::new(self.log_start),
        };
        // Behind a clean stop nothing is to be read, and nothing was left unsynced.
        if !(start.clean && states.end_offset() >= self.end_offset) {
            self.replay(&mut states, transactions)?;
        }
        transactions.base_offsets.retain(|base| {
            let at = self
                .segments
                .binary_search_by_key(base, |segment| segment.base_offset);
            at.is_ok()
        });
        states.advance_to(self.end_offset);
        states.expire(self.rules.now, self.rules.producer_id_expiration_ms);
        Ok((states, snapshots))
    }

    /// Notes every batch between what `states` knows and the end.
    fn replay(
        &self,
        states: &mut ProducerStates,
        transactions: &mut TransactionIndexes,
    ) -> Result<(), ScanError> {
        let from = states.end_offset();
        let first = self
            .segments
            .partition_point(|segment| segment.base_offset <= from)
            .saturating_sub(1);
        for segment in self.segments.iter().skip(first) {
            let base_offset = segment.base_offset;
            let mut aborted = Vec::new();
            if from < self.end_offset {
                self.replay_segment(segment, from, states, &mut aborted)?;
            }
            // also entries of markers that are not in the log any more
            let is_there = transactions.base_offsets.contains(&base_offset);
            if planted::is(Bug::TransactionIndexNotRestored) {
                continue;
            }
            if (is_there || !aborted.is_empty())
                && transaction_index::restore(self.dir, base_offset, from, &aborted)?
            {
                transactions.base_offsets.insert(base_offset);
            }
        }
        Ok(())
    }

    fn replay_segment(
        &self,
        segment: &Found,
        from: Offset,
        states: &mut ProducerStates,
        aborted: &mut Vec<AbortedTransaction>,
    ) -> Result<(), ScanError> {
        let base_offset = segment.base_offset;
        let file = File::open(
            &FileName::new(base_offset, FileKind::Log, Suffix::Live).in_dir(self.dir),
            OpenMode::Read,
        )?;
        let stretches = match self.quarantines.get(&base_offset) {
            Some(quarantine) => quarantine.stretches(segment.size_bytes),
            None => {
                let start = floor_position(self.dir, base_offset, &file, segment.size_bytes, from);
                std::iter::once(start..segment.size_bytes).collect()
            }
        };
        for stretch in stretches {
            let mut window = Window::new(&file, stretch.end, SCAN_BYTES);
            let mut position = stretch.start;
            loop {
                let batch = match window.header(position) {
                    Ok(Some(batch)) => batch,
                    Ok(None) => break,
                    // Whether a log can be read with that is judged elsewhere; its producers are those of what can be read.
                    Err(ScanError::Damaged(damage)) => {
                        tracing::warn!(dir = %self.dir.display(), segment = %base_offset, %damage, "producers not read");
                        break;
                    }
                    Err(error) => return Err(error),
                };
                if batch.header.last_offset() >= from {
                    aborted.extend(self.note(&file, &batch, states)?);
                }
                position = batch.end();
            }
        }
        Ok(())
    }

    /// Notes a batch; the transaction it aborted, if it did.
    fn note(
        &self,
        file: &File,
        batch: &BatchAt,
        states: &mut ProducerStates,
    ) -> io::Result<Option<AbortedTransaction>> {
        let Some(producer) = batch.header.producer() else {
            return Ok(None);
        };
        let attributes = batch.header.attributes();
        let (kind, coordinator_epoch) = if attributes.is_control() {
            marker(file, batch)?
        } else {
            (Marker::Unreadable, None)
        };
        let last_offset = batch.header.last_offset();
        let aborted = match kind {
            Marker::Of(ControlRecordType::Abort) => states.aborted_by(producer.id, last_offset),
            _ => None,
        };
        states.record(&Appended {
            producer,
            base_offset: batch.header.base_offset(),
            last_offset,
            max_timestamp: batch.header.max_timestamp(),
            now: self.rules.now,
            is_transactional: attributes.is_transactional(),
            marker: attributes.is_control().then_some(coordinator_epoch),
        });
        Ok(aborted)
    }
}

fn path(dir: &Path, offset: Offset) -> std::path::PathBuf {
    FileName::new(offset, FileKind::ProducerSnapshot, Suffix::Live).in_dir(dir)
}

/// Removes the snapshots behind what was synced, before a journal's replay makes the recovery point the end of the log. Timeline of
/// the loss otherwise: an abort marker is in the journal, its entry in the transaction index is only in the page cache; the
/// segment is rolled, and the snapshot gets to the disk by chance; power fails; the start reads the producers from the snapshot
/// and not the marker before it; readers of committed records get what was aborted.
pub(crate) fn forget_unsynced(dir: &Path, start: &OpenState) -> io::Result<()> {
    if planted::is(Bug::SnapshotBehindReplay) {
        return Ok(());
    }
    let names = disk::read_dir(dir)?
        .into_iter()
        .filter_map(|entry| FileName::parse(&entry.name));
    let segments = names.filter(|name| name.kind == FileKind::Log && name.suffix == Suffix::Live);
    let first = segments
        .map(|name| name.base_offset)
        .min()
        .unwrap_or(Offset::ZERO);
    let synced = start.recovery_point.unwrap_or(Offset::ZERO);
    list(dir, synced.max(start.log_start.unwrap_or(first)).max(first)).map(drop)
}

/// Offsets that have a snapshot. Those behind the log's end tell of records that are gone: they are removed.
fn list(dir: &Path, end_offset: Offset) -> io::Result<BTreeSet<Offset>> {
    let mut snapshots = BTreeSet::new();
    for entry in disk::read_dir(dir)? {
        match FileName::parse(&entry.name) {
            Some(name) if name.kind == FileKind::ProducerSnapshot && name.suffix == Suffix::Live => {
                if name.base_offset > end_offset {
                    disk::remove_file(&name.in_dir(dir))?;
                } else {
                    snapshots.insert(name.base_offset);
                }
            }
            _ => {}
        }
    }
    Ok(snapshots)
}

fn read(dir: &Path, offset: Offset, rules: &RecoveryRules) -> io::Result<ProducerStates> {
    let bytes = disk::read(&path(dir, offset))?;
    let entries = producer_snapshot::parse(&bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(ProducerStates::from_entries(
        offset,
        entries,
        Timestamp(i64::MIN),
        rules.producer_id_expiration_ms,
    ))
}

/// Kind and coordinator epoch of a marker, as far as it is one. An error of the disk is no answer: an abort marker taken for another
/// would be struck out of the transaction index.
fn marker(file: &File, batch: &BatchAt) -> io::Result<(Marker, Option<i32>)> {
    if batch.size_bytes > MARKER_BATCH_BYTES_MAX {
        return Ok((Marker::Unreadable, None));
    }
    let bytes = read_batch(file, batch)?;
    Ok(match Batch::only(&bytes) {
        Ok(batch) => (transaction_index::marker(&batch), coordinator_epoch(&batch)),
        Err(_) => (Marker::Unreadable, None),
    })
}
