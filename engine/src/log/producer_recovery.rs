//! Producer state at start: the newest snapshot that holds, and the headers of the batches behind it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use reactor::{File, OpenMode, disk};

use super::append::coordinator_epoch;
use super::file_name::{FileKind, FileName, Suffix};
use super::producer_snapshot;
use super::producer_state::{Appended, ProducerStates};
use super::recovery::{Found, RecoveryRules};
use super::segment::read_batch;
use super::tail::floor_position;
use super::window::{BatchAt, SCAN_BYTES, ScanError, Window};
use crate::batch::Batch;
use crate::types::{Offset, Timestamp};

/// A marker's batch is about 80 bytes; a larger control batch is none of a transaction's.
const MARKER_BATCH_BYTES_MAX: u64 = 4096;

/// State of all producers at `end_offset`, and the snapshots that stay.
pub(crate) fn load(
    dir: &Path,
    segments: &[Found],
    log_start: Offset,
    end_offset: Offset,
    clean: bool,
    rules: &RecoveryRules,
) -> Result<(ProducerStates, BTreeSet<Offset>), ScanError> {
    let mut snapshots = list(dir, end_offset)?;
    let mut states = None;
    while let Some(offset) = snapshots.last().copied() {
        match read(dir, offset, rules) {
            Ok(read) => {
                states = Some(read);
                break;
            }
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %offset, %error, "producer snapshot removed");
                disk::remove_file(&path(dir, offset))?;
                snapshots.remove(&offset);
            }
        }
    }
    let mut states = match states {
        Some(states) => states,
        // Kafka as well takes a cleanly stopped log without any snapshot for one without producers: reading all of it
        // to find that out would make a start as long as the log.
        None if clean => ProducerStates::new(end_offset),
        None => ProducerStates::new(log_start),
    };
    replay(dir, segments, end_offset, rules, &mut states)?;
    states.advance_to(end_offset);
    states.expire(rules.now, rules.producer_id_expiration_ms);
    Ok((states, snapshots))
}

fn path(dir: &Path, offset: Offset) -> std::path::PathBuf {
    FileName::new(offset, FileKind::ProducerSnapshot, Suffix::Live).in_dir(dir)
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

/// Notes every batch between what `states` knows and `end_offset`.
fn replay(
    dir: &Path,
    segments: &[Found],
    end_offset: Offset,
    rules: &RecoveryRules,
    states: &mut ProducerStates,
) -> Result<(), ScanError> {
    let from = states.end_offset();
    if from >= end_offset {
        return Ok(());
    }
    let first = segments
        .partition_point(|segment| segment.base_offset <= from)
        .saturating_sub(1);
    for segment in segments.iter().skip(first) {
        let file = File::open(
            &FileName::new(segment.base_offset, FileKind::Log, Suffix::Live).in_dir(dir),
            OpenMode::Read,
        )?;
        let mut window = Window::new(&file, segment.size_bytes, SCAN_BYTES);
        let mut position = floor_position(dir, segment.base_offset, &file, segment.size_bytes, from);
        while let Some(batch) = window.header(position)? {
            if batch.header.base_offset() >= from
                && let Some(producer) = batch.header.producer()
            {
                let attributes = batch.header.attributes();
                states.record(&Appended {
                    producer,
                    base_offset: batch.header.base_offset(),
                    last_offset: batch.header.last_offset(),
                    max_timestamp: batch.header.max_timestamp(),
                    now: rules.now,
                    is_transactional: attributes.is_transactional(),
                    marker: attributes.is_control().then(|| marker(&file, &batch)),
                });
            }
            position = batch.end();
        }
    }
    Ok(())
}

fn marker(file: &File, batch: &BatchAt) -> Option<i32> {
    if batch.size_bytes > MARKER_BATCH_BYTES_MAX {
        return None;
    }
    let bytes = read_batch(file, batch).ok()?;
    coordinator_epoch(&Batch::only(&bytes).ok()?)
}
