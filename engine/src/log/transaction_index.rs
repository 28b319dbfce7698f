//! The transaction index (`.txnindex`): the aborted transactions whose marker lies in the segment. A consumer that reads only
//! what was committed gets them with its records and skips theirs.
//!
//! ```text
//! entry  0  version             i16 big-endian, 0
//!        2  producer id         i64
//!       10  first offset        i64  of the transaction's records
//!       18  last offset         i64  of the abort marker
//!       26  last stable offset  i64  when the marker was appended
//! ```
//! Entries lie in the order of their last offsets; a file that does not end with a whole entry was torn while it grew. A
//! segment without aborted transactions has no file, or an empty one.
//!
//! The file grows just before the marker is appended and is synced with it. What a crash tore or lost behind the recovery point, or left
//! there of markers that are gone, is written again at the start, by the replay that rebuilds the producers' state; before the
//! recovery point the file is as durable as the log. It goes after the segment's log, never before.

use std::collections::BTreeSet;
use std::io;
use std::ops::Bound::{Excluded, Unbounded};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reactor::{File, OpenMode, disk};
use thiserror::Error;

use super::file_name::{FileKind, FileName, Suffix};
use super::handle::Log;
use super::read::ReadError;
use super::state::State;
use crate::batch::{Batch, ControlRecordType};
use crate::planted::{self, Bug};
use crate::types::{Offset, ProducerId};

/// Size of an entry.
pub const ENTRY_BYTES: usize = 34;
const VERSION: i16 = 0;
/// A marker is 4 bytes of key and 6 of value in one record.
const MARKER_BYTES_MAX: usize = 4096;

/// A transaction that was aborted: what its producer wrote from the first to the last offset never happened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// Of the abort marker.
    pub last_offset: Offset,
    /// When the marker was appended: a search for transactions that touch offsets below it ends here.
    pub last_stable_offset: Offset,
}

impl AbortedTransaction {
    /// Whether one of the offsets from `from` up to `below` may be the transaction's.
    pub fn touches(&self, from: Offset, below: Offset) -> bool {
        self.last_offset >= from && self.first_offset < below
    }

    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut entry = [0; ENTRY_BYTES];
        let fields = [
            self.producer_id.0,
            self.first_offset.0,
            self.last_offset.0,
            self.last_stable_offset.0,
        ];
        let (version, rest) = entry.split_at_mut(2);
        version.copy_from_slice(&VERSION.to_be_bytes());
        for (to, field) in rest.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_be_bytes());
        }
        entry
    }
}

/// Why bytes are not a transaction index.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransactionIndexError {
    #[error("entry {index} has version {found}, expected 0")]
    Version { index: usize, found: i16 },
    #[error("entry {index} ends at offset {found}, expected behind {expected}")]
    Order {
        index: usize,
        expected: Offset,
        found: Offset,
    },
    #[error("entry {index} begins at offset {first} and ends at {last}")]
    Range {
        index: usize,
        first: Offset,
        last: Offset,
    },
    #[error(
        "entry {index} ends at offset {found}, expected one from {base} to {below}: it is of another segment"
    )]
    Segment {
        index: usize,
        base: Offset,
        below: Offset,
        found: Offset,
    },
}

/// The file's content.
pub fn encode(entries: &[AbortedTransaction]) -> Vec<u8> {
    entries.iter().flat_map(AbortedTransaction::encode).collect()
}

/// The whole entries of a file. Half an entry at the end is what a crash leaves; it is no error, since the start writes it again.
pub fn parse(bytes: &[u8]) -> Result<Vec<AbortedTransaction>, TransactionIndexError> {
    let mut entries = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
    parse_into(&mut entries, bytes)?;
    Ok(entries)
}

/// On an error `entries` are those before.
fn parse_into(entries: &mut Vec<AbortedTransaction>, bytes: &[u8]) -> Result<(), TransactionIndexError> {
    for (index, entry) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
        let (version, fields) = entry.split_at(2);
        let found = version
            .first_chunk()
            .map_or(-1, |bytes| i16::from_be_bytes(*bytes));
        if found != VERSION {
            return Err(TransactionIndexError::Version { index, found });
        }
        let mut fields = fields
            .chunks_exact(8)
            .map(|field| field.first_chunk().map_or(-1, |bytes| i64::from_be_bytes(*bytes)));
        let mut next = || fields.next().unwrap_or(-1);
        let entry = AbortedTransaction {
            producer_id: ProducerId(next()),
            first_offset: Offset(next()),
            last_offset: Offset(next()),
            last_stable_offset: Offset(next()),
        };
        // a marker has an offset of its own, so zeros are no entry
        if entry.first_offset.0 < 0 || entry.last_offset <= entry.first_offset {
            return Err(TransactionIndexError::Range {
                index,
                first: entry.first_offset,
                last: entry.last_offset,
            });
        }
        if let Some(last) = entries.last()
            && entry.last_offset <= last.last_offset
        {
            return Err(TransactionIndexError::Order {
                index,
                expected: last.last_offset,
                found: entry.last_offset,
            });
        }
        entries.push(entry);
    }
    Ok(())
}

/// Reads a file; one that is not there has no entries.
pub(crate) fn load(path: &Path) -> io::Result<Vec<AbortedTransaction>> {
    match disk::read(path) {
        Ok(bytes) => parse(&bytes).map_err(|error| invalid(path, &error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn invalid(path: &Path, error: &TransactionIndexError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
}

/// Writes again what the log itself tells of a segment's aborted transactions that ended at or behind `from`. Whether
/// there is one now.
///
/// What ended before is on the disk and is not touched: interrupted, this would lose entries that no later start reads the markers
/// of. The others are written and synced even if they are there, or are not and shall not be: the page cache may say so and the disk
/// otherwise.
pub(crate) fn restore(
    dir: &Path,
    base_offset: Offset,
    from: Offset,
    found: &[AbortedTransaction],
) -> io::Result<bool> {
    let path = FileName::new(base_offset, FileKind::TransactionIndex, Suffix::Live).in_dir(dir);
    let stored = match disk::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    if let Err(error) = parse_into(&mut entries, &stored) {
        tracing::warn!(path = %path.display(), %error, "transaction index written again from there on");
    }
    let mut kept = entries.partition_point(|entry| entry.last_offset < from);
    if planted::is(Bug::TransactionIndexNotCut) && found.is_empty() {
        kept = entries.len();
    }
    let kept_bytes = (kept * ENTRY_BYTES) as u64;
    let bytes = encode(found);
    let file = File::open(&path, OpenMode::Create)?;
    file.write_all_at(&bytes, kept_bytes)?;
    file.set_len(kept_bytes + bytes.len() as u64)?;
    file.sync_data_blocking()?;
    Ok(kept + found.len() > 0)
}

/// What a control batch says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Of(ControlRecordType),
    /// Compaction took its record, all that it marked being gone.
    Emptied,
    Unreadable,
}

pub(crate) fn marker(batch: &Batch<'_>) -> Marker {
    if batch.record_count() == 0 {
        return Marker::Emptied;
    }
    let kind = || {
        let records = batch.records(MARKER_BYTES_MAX).ok()?;
        let record = records.iter().next()?.ok()?;
        ControlRecordType::parse(record.key?).ok()
    };
    kind().map_or(Marker::Unreadable, Marker::Of)
}

pub(crate) fn is_abort(control: &[u8]) -> bool {
    Batch::only(control).is_ok_and(|batch| marker(&batch) == Marker::Of(ControlRecordType::Abort))
}

/// Which segments of a log have aborted transactions.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransactionIndexes {
    pub(crate) base_offsets: BTreeSet<Offset>,
}

impl Log {
    /// The aborted transactions that touch the offsets from `from` up to `below`: what a fetch with read_committed gets beside
    /// its records. Reads files only of segments that have aborted transactions.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        below: Offset,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let state = self.inner.state.borrow();
        state.check_online()?;
        state
            .aborted_transactions(from, below)
            .map_err(|source| ReadError::Io {
                partition: state.partition.clone(),
                offset: from,
                source: Arc::new(source),
            })
    }
}

impl State {
    /// Notes the transaction that an abort marker ends which is about to be appended.
    pub(crate) fn note_aborted(&mut self, aborted: &AbortedTransaction) -> io::Result<()> {
        let path = self.active.segment.path(&self.dir, FileKind::TransactionIndex);
        let file = File::open(&path, OpenMode::Create)?;
        let end = file.len()?;
        file.write_all_at(&aborted.encode(), end - end % ENTRY_BYTES as u64)?;
        if self
            .transactions
            .base_offsets
            .insert(self.active.segment.base_offset)
        {
            self.flush.directory_changed();
        }
        if !planted::is(Bug::TransactionIndexNotSynced) {
            self.flush.derived_written(path);
        }
        Ok(())
    }

    /// Takes the last entry back: its marker was not appended.
    pub(crate) fn take_back_aborted(&mut self) -> io::Result<()> {
        let path = self.active.segment.path(&self.dir, FileKind::TransactionIndex);
        let file = File::open(&path, OpenMode::ReadWrite)?;
        file.set_len(file.len()?.saturating_sub(ENTRY_BYTES as u64))
    }

    fn aborted_transactions(&self, from: Offset, below: Offset) -> io::Result<Vec<AbortedTransaction>> {
        let mut found = Vec::new();
        for (base, path) in self.transaction_files(from) {
            let entries = load(&path)?;
            self.check_segment(base, &entries)
                .map_err(|error| invalid(&path, &error))?;
            for entry in entries {
                if entry.touches(from, below) {
                    found.push(entry);
                }
                if entry.last_stable_offset >= below {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// A file that lies at another segment's place would hide which transactions were aborted here.
    fn check_segment(
        &self,
        base: Offset,
        entries: &[AbortedTransaction],
    ) -> Result<(), TransactionIndexError> {
        let next = self
            .closed
            .range((Excluded(base), Unbounded))
            .next()
            .map(|(base, _)| *base);
        let active = self.active.segment.base_offset;
        let below = next.unwrap_or(if base < active { active } else { Offset(i64::MAX) });
        let foreign = |entry: &AbortedTransaction| entry.last_offset < base || entry.last_offset >= below;
        match entries.iter().position(foreign) {
            None => Ok(()),
            Some(index) => Err(TransactionIndexError::Segment {
                index,
                base,
                below,
                found: entries.get(index).map_or(base, |entry| entry.last_offset),
            }),
        }
    }

    /// Files of the transactions that may touch `from` or what follows, in order, with the base offsets of their segments.
    pub(crate) fn transaction_files(&self, from: Offset) -> Vec<(Offset, PathBuf)> {
        let first = self.floor_segment(from);
        let mut files = self.transaction_files_by_segment();
        files.retain(|(base, _)| *base >= first);
        files
    }

    pub(crate) fn transaction_files_by_segment(&self) -> Vec<(Offset, PathBuf)> {
        let files = self.transactions.base_offsets.iter().filter_map(|base| {
            let segment = match self.closed.get(base) {
                Some(segment) => segment,
                None if *base == self.active.segment.base_offset => &self.active.segment,
                None => return None, // retention took it
            };
            Some((*base, segment.path(&self.dir, FileKind::TransactionIndex)))
        });
        files.collect()
    }
}

#[cfg(test)]
mod tests {
    use reactor::sim::{self, Halt, HaltAfter, Outcome, SimConfig, SimDisk};

    use super::*;
    use crate::log::segment::write_whole;

    fn entry(producer: i64, first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(producer),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(last + 1),
        }
    }

    #[test]
    fn the_file_is_kafkas() {
        // Bytes as AbortedTxn.java lays them out: a wrong field shows aborted records to consumers of an adopted directory.
        let bytes = encode(&[entry(0x0102, 0x10, 0x20)]);
        let mut expected = vec![0, 0];
        for field in [0x0102_i64, 0x10, 0x20, 0x21] {
            expected.extend_from_slice(&field.to_be_bytes());
        }
        assert_eq!(bytes, expected);
        assert_eq!(parse(&bytes), Ok(vec![entry(0x0102, 0x10, 0x20)]));
    }

    #[test]
    fn torn_and_wrong_files_are_told_apart() {
        let bytes = encode(&[entry(1, 0, 5), entry(2, 3, 9)]);
        for cut in 0..ENTRY_BYTES {
            let torn = parse(&bytes[..ENTRY_BYTES + cut]).unwrap();
            assert_eq!(torn, [entry(1, 0, 5)]);
        }
        let swapped = [&bytes[ENTRY_BYTES..], &bytes[..ENTRY_BYTES]].concat();
        assert!(matches!(
            parse(&swapped),
            Err(TransactionIndexError::Order { index: 1, .. })
        ));
        let mut newer = bytes.clone();
        newer[1] = 1;
        assert_eq!(
            parse(&newer),
            Err(TransactionIndexError::Version { index: 0, found: 1 })
        );
        let mut negative = bytes;
        negative[10] = 0x80;
        assert!(matches!(
            parse(&negative),
            Err(TransactionIndexError::Range { .. })
        ));
    }

    /// A directory on a simulated disk, and what is done with it in one life of a process.
    fn live<T>(
        disk: &SimDisk,
        seed: u64,
        halt_after: Option<HaltAfter>,
        f: impl FnOnce(&Path) -> T,
    ) -> Outcome<T> {
        let config = SimConfig {
            halt_after,
            ..SimConfig::new(seed)
        };
        sim::run(disk, config, async { f(Path::new("/log-0")) }).unwrap()
    }

    fn made(entries: &[AbortedTransaction]) -> SimDisk {
        let disk = SimDisk::new();
        let bytes = encode(entries);
        let outcome = live(&disk, 0, None, |dir| {
            disk::create_dir_all(dir).unwrap();
            disk::sync_dir(Path::new("/")).unwrap();
            let name = FileName::new(Offset(0), FileKind::TransactionIndex, Suffix::Live);
            write_whole(&name.in_dir(dir), &bytes)
                .unwrap()
                .sync_data_blocking()
                .unwrap();
            disk::sync_dir(dir).unwrap();
        });
        assert_eq!(outcome, Outcome::Done(()));
        disk
    }

    #[test]
    fn what_only_the_page_cache_has_is_synced_by_a_start() {
        // The process was killed before its sync, and the next one took the file for whole: the recovery point went on, power failed, and
        // consumers that read only what was committed got what was aborted.
        let disk = made(&[]);
        let path = Path::new("/log-0/00000000000000000000.txnindex");
        let grown = live(&disk, 0, None, |_| {
            let file = File::open(path, OpenMode::ReadWrite).unwrap();
            file.write_all_at(&encode(&[entry(1, 0, 5)]), 0).unwrap();
        });
        assert_eq!(grown, Outcome::Done(()));
        let restored = live(&disk, 0, None, |dir| {
            restore(dir, Offset(0), Offset(0), &[entry(1, 0, 5)]).unwrap()
        });
        assert_eq!(restored, Outcome::Done(true));
        assert_eq!(disk.durable(path), Some(encode(&[entry(1, 0, 5)])));
    }

    #[test]
    fn a_start_that_is_cut_off_leaves_older_entries_alone() {
        // The next start reads no marker before its snapshot: what was lost of the file was lost for good.
        for (operation, seed) in (0..4).flat_map(|operation| (0..20).map(move |seed| (operation, seed))) {
            let disk = made(&[entry(1, 0, 5)]);
            let halt = Some(HaltAfter {
                halt: Halt::PowerCut,
                operation,
            });
            live(&disk, seed, halt, |dir| {
                restore(dir, Offset(0), Offset(6), &[entry(2, 3, 9)]).is_ok()
            });
            let stored = disk.durable(Path::new("/log-0/00000000000000000000.txnindex"));
            let mut found = Vec::new();
            let _may_be_torn = parse_into(&mut found, &stored.unwrap());
            assert_eq!(
                found.first(),
                Some(&entry(1, 0, 5)),
                "cut at {operation}, seed {seed}"
            );
        }
    }

    #[test]
    fn a_start_writes_again_what_a_crash_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = FileName::new(Offset(0), FileKind::TransactionIndex, Suffix::Live).in_dir(dir.path());
        std::fs::write(&path, [encode(&[entry(1, 0, 5)]), vec![0; 7]].concat()).unwrap();
        assert!(restore(dir.path(), Offset(0), Offset(6), &[entry(2, 3, 9)]).unwrap());
        assert_eq!(load(&path).unwrap(), [entry(1, 0, 5), entry(2, 3, 9)]);
        assert!(!restore(dir.path(), Offset(0), Offset(0), &[]).unwrap());
    }
}
