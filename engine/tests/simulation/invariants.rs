//! What must hold, by name. Checked after every start and by readers at any time.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine::batch::{Batch, Batches};
use engine::log::{Durability, Log, ReadError, RecoveryReport};
use engine::types::{LeaderEpoch, Offset, Sequence, Timestamp};
use reactor::Piece;

use crate::isolation;
use crate::model::{Dump, Entry, LogModel, Row, producer_rows, rows_of};
use crate::transactions::{Fate, Transactions};
use crate::world::World;

pub const ACKED_SURVIVES: &str = "an acknowledged batch survives";
pub const SUFFIX_ONLY: &str = "only a suffix is lost, and only to a power cut";
pub const NOTHING_HALF: &str = "nothing half-written is served";
pub const ONLY_GROWS: &str = "offsets and epochs only grow";
pub const IDEMPOTENT: &str = "recovery is idempotent";
pub const SEQUENCES: &str = "producer state refuses duplicates and takes the next sequence";
pub const TYPED_ERRORS: &str = "errors are those of a disk that fails";
pub const FAILED_SYNC: &str = "after a failed sync nothing is acknowledged";
pub const NO_PANIC: &str = "no panic";
pub const COMPACTION: &str = "compaction keeps the last record of every key";
pub const LIVENESS: &str = "a healthy log takes appends";

/// Why a log could not be read to its end.
pub enum ReadFailure {
    Refused(ReadError),
    Disk(std::io::Error),
}

/// The bytes of an answer.
pub fn bytes_of(pieces: &[Piece]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(piece) => bytes.extend_from_slice(piece),
            Piece::File { file, offset, len } => {
                let from = bytes.len();
                bytes.resize(from + *len as usize, 0);
                file.read_exact_at(&mut bytes[from..], *offset)?;
            }
        }
    }
    Ok(bytes)
}

/// Every batch from log start to the end of the log.
pub fn read_all(world: &World, model: &LogModel, log: &Log) -> Result<Vec<Bytes>, ReadFailure> {
    let mut batches = Vec::new();
    let mut from = log.start_offset();
    let end = log.end_offset();
    while from < end {
        let max_bytes = world.chance(|chance| chance.pick(&[1, 300, 1000, 1 << 20]));
        let slice = log
            .read(from, max_bytes, end, true)
            .map_err(ReadFailure::Refused)?;
        let bytes = Bytes::from(bytes_of(&slice.pieces).map_err(ReadFailure::Disk)?);
        split(world, model, &bytes, &mut batches);
        let goes_on = slice.next_offset > from || (bytes.is_empty() && model.is_compacted());
        // no checksum covers a batch's offset
        world.require(goes_on || model.rotted, LIVENESS, || {
            format!(
                "{}: a read at {from} goes on at {}",
                model.partition, slice.next_offset
            )
        });
        if !goes_on || slice.next_offset == from {
            break; // compacted away up to the end
        }
        from = slice.next_offset;
        if world.is_violated() {
            break;
        }
    }
    Ok(batches)
}

/// The batches of an answer, each whole and with its CRC.
fn split(world: &World, model: &LogModel, bytes: &Bytes, batches: &mut Vec<Bytes>) {
    let mut at = 0;
    for batch in Batches::new(bytes) {
        let checked = batch.and_then(|batch| batch.verify_crc().map(|()| batch));
        match checked {
            Ok(batch) => {
                batches.push(bytes.slice(at..at + batch.size_bytes()));
                at += batch.size_bytes();
            }
            // a reader sees by the CRC that these are not the producer's bytes
            Err(_) if model.rotted => return,
            Err(error) => {
                world.violate(NOTHING_HALF, || {
                    format!("{}: {error} at byte {at} of {}", model.partition, bytes.len())
                });
                return;
            }
        }
    }
}

/// Whether a batch that was served is one that was appended, or what compaction may leave of it.
pub fn is_rightful(model: &LogModel, served: &Batch<'_>, bytes: &[u8]) -> bool {
    model
        .at(served.base_offset())
        .any(|entry| bytes == &entry.stored[..] || (model.is_compacted() && is_remainder(entry, served)))
}

fn is_remainder(entry: &Entry, served: &Batch<'_>) -> bool {
    let Some(rows) = rows_of(served) else {
        return false;
    };
    let before = entry.rows();
    served.last_offset() == entry.last
        && served.leader_epoch() == entry.epoch
        && served
            .producer()
            .map(|producer| (producer.id, producer.base_sequence))
            == entry.producer.map(|producer| (producer.id, producer.base))
        && rows.iter().all(|row| before.contains(row))
}

pub fn dump(world: &World, model: &LogModel, log: &Log) -> Result<Dump, ReadFailure> {
    let (start, end) = (log.start_offset(), log.end_offset());
    log.set_high_watermark(end);
    Ok(Dump {
        start,
        end,
        batches: read_all(world, model, log)?,
        producers: producer_rows(log.producers()),
        stable: log.last_stable_offset(),
        aborted: log
            .aborted_transactions(start, end)
            .map_err(ReadFailure::Refused)?,
    })
}

/// Compares a log that was just opened with its model, and takes into the model what was rightly lost.
pub fn check_recovered(world: &World, model: &mut LogModel, log: &Log, report: &RecoveryReport) {
    let name = model.partition.clone();
    if let Some(truncation) = report.truncation.as_ref().filter(|cut| cut.below_recovery_point) {
        world.require(model.rotted, ACKED_SURVIVES, || {
            format!("{name}: truncated below the recovery point: {truncation:?}")
        });
    }
    if report.truncation.is_some() {
        world.count(|figures| figures.truncations += 1);
    }
    let (start, end) = (log.start_offset(), log.end_offset());
    model.start_max = model.start_max.max(model.start);
    if !model.rotted {
        world.require(
            start >= model.start_durable && start <= model.start.max(end),
            ONLY_GROWS,
            || {
                format!(
                    "{name}: log start {start}, expected {} to {}",
                    model.start_durable, model.start
                )
            },
        );
        let mut promised = model.acked.max(model.flushed);
        if !model.power_lost {
            // what only the page cache was promised to hold, it holds
            promised = promised.max(model.acked_cached);
        }
        world.require(end >= promised, ACKED_SURVIVES, || {
            format!(
                "{name}: ends at {end}, acknowledged {}, recovery point {}, start {start}",
                model.acked, model.flushed
            )
        });
    }
    let dump = match dump(world, model, log) {
        Ok(dump) => dump,
        Err(_) if model.rotted => {
            resync(model, start, end);
            model.is_frozen = false;
            model.learn_producers(&producer_rows(log.producers()));
            return isolation::check_loaded(world, model, log);
        }
        Err(ReadFailure::Refused(error)) => {
            return world.violate(TYPED_ERRORS, || format!("{name}: {error}"));
        }
        Err(ReadFailure::Disk(error)) => {
            return world.violate(NOTHING_HALF, || format!("{name}: {error}"));
        }
    };
    if world.is_violated() {
        return;
    }
    let chosen = check_batches(world, model, &dump);
    if world.is_violated() {
        return;
    }
    let before_start = model.entries.iter().filter(|entry| entry.last < start);
    model.before_start.extend(before_start.cloned());
    model.entries = chosen;
    model.ghosts.clear();
    if model.rotted {
        resync(model, start, end);
    } else {
        check_epochs(world, model, log, &dump);
        check_producers(world, model, &dump);
    }
    model.learn_producers(&dump.producers);
    model.start_max = model.start_max.max(start);
    model.start = start;
    model.start_durable = start;
    model.acked = end;
    model.acked_cached = end;
    model.has_lost_newer |= has_lost_newer(model);
    model.power_lost = false;
    model.flushed = log.recovery_point();
    model.is_frozen = false;
    model.recovered_end = end;
    isolation::check_loaded(world, model, log);
    isolation::check_dump(world, model, log, &dump);
    world.require(model.flushed <= end, ONLY_GROWS, || {
        format!("{name}: recovery point {} behind the end {end}", model.flushed)
    });
    world.disk.note(&format!(
        "{name} recovered from {start} to {end}, {} batches",
        dump.batches.len()
    ));
}

/// After bit rot the log may be anything that it once was.
fn resync(model: &mut LogModel, start: Offset, end: Offset) {
    model.entries.retain(|entry| entry.base < end);
    model.recovered_end = end;
    model.start = start;
    model.start_durable = Offset(0);
    model.acked = Offset(0);
    model.acked_cached = Offset(0);
    model.flushed = Offset(0);
}

/// The entries that stand for what was served.
fn check_batches(world: &World, model: &LogModel, dump: &Dump) -> Vec<Entry> {
    let name = &model.partition;
    let mut chosen: Vec<Entry> = Vec::new();
    let mut next = dump.start;
    for bytes in &dump.batches {
        let Ok(batch) = Batch::only(bytes) else {
            world.violate(NOTHING_HALF, || format!("{name}: half a batch behind {next}"));
            return chosen;
        };
        let (base, last) = (batch.base_offset(), batch.last_offset());
        let found = model
            .at(base)
            .find(|entry| entry.stored == *bytes || (model.is_compacted() && is_remainder(entry, &batch)));
        if found.is_none() && model.rotted {
            continue; // no checksum covers a batch's offset and epoch
        }
        let Some(found) = found else {
            let known = model.at(base).count();
            world.violate(NOTHING_HALF, || {
                format!(
                    "{name}: the batch at {base} to {last} is none that was appended there ({known} were)"
                )
            });
            return chosen;
        };
        // what compaction removed altogether is still known to the model
        chosen.extend(hidden(model, next, base));
        let expected = chosen.last().map_or(next, Entry::next);
        let is_first = chosen.is_empty();
        let follows = base == expected || (is_first && base <= next && last >= next);
        if !follows && !model.rotted {
            world.violate(SUFFIX_ONLY, || format!("{name}: {base} follows {expected}"));
            return chosen;
        }
        let was_acked = found.next() <= model.acked.max(model.flushed);
        if was_acked && !model.rotted {
            let is_it = model
                .entries
                .iter()
                .any(|entry| entry.base == base && entry.stored == found.stored);
            world.require(is_it || model.is_compacted(), ACKED_SURVIVES, || {
                format!("{name}: at {base} is another batch than was acknowledged")
            });
        }
        next = last.next();
        chosen.push(found.clone());
    }
    chosen.extend(hidden(model, next, dump.end));
    let end = chosen.last().map_or(dump.start, Entry::next).max(dump.start);
    if !model.rotted {
        world.require(end == dump.end, SUFFIX_ONLY, || {
            format!("{name}: the last batch ends at {end}, the log at {}", dump.end)
        });
    }
    if model.is_compacted() && !model.rotted && !has_lost_newer(model) {
        check_keys(world, model, dump, &chosen);
    }
    chosen
}

/// What compaction removed altogether in between: nothing that was never acknowledged.
fn hidden(model: &LogModel, from: Offset, to: Offset) -> Vec<Entry> {
    let promised = model.acked.max(model.flushed).max(model.acked_cached);
    let hidden = model
        .entries
        .iter()
        .filter(|entry| entry.last >= from && entry.next() <= to && entry.next() <= promised);
    hidden.filter(|_| model.is_compacted()).cloned().collect()
}

/// (Finding 14: compaction goes by records that only the page cache holds; when the power takes those, what they replaced is gone.)
fn has_lost_newer(model: &LogModel) -> bool {
    model.is_compacted() && model.power_lost && model.config.durability == Durability::PageCache
}

/// The last record of every key that counts is there, and nothing that a tombstone took has come back.
fn check_keys(world: &World, model: &LogModel, dump: &Dump, chosen: &[Entry]) {
    let transactions = Transactions::of(model.before_start.iter().chain(chosen));
    let mut last: BTreeMap<Vec<u8>, (Timestamp, Row)> = BTreeMap::new();
    let mut undecided = BTreeSet::new();
    for entry in chosen.iter().filter(|entry| !entry.is_marker()) {
        for row in entry.rows().into_iter().filter(|row| row.offset >= dump.start) {
            let Some(key) = row.key.clone() else { continue };
            match transactions.fate(entry) {
                Fate::Plain | Fate::Committed => {
                    last.insert(key, (entry.time, row));
                }
                Fate::Aborted => {}
                // compaction may have gone by a marker that was cut
                Fate::Open if model.cuts > 0 => {
                    undecided.insert(key);
                }
                Fate::Open => {}
            }
        }
    }
    last.retain(|key, _| !undecided.contains(key));
    let served: Vec<Row> = dump
        .batches
        .iter()
        .filter_map(|bytes| rows_of(&Batch::only(bytes).ok()?))
        .flatten()
        .collect();
    let retention_ms = model.config.delete_retention_ms;
    for (key, (time, row)) in &last {
        let key_text = String::from_utf8_lossy(key);
        let is_there = served.contains(row);
        let may_be_gone = row.value.is_none() && reactor::wall_ms() >= time.0.saturating_add(retention_ms);
        world.require(is_there || may_be_gone, COMPACTION, || {
            format!(
                "{}: {key_text} was last written at {}, and is gone",
                model.partition, row.offset
            )
        });
        let older = served.iter().find(|other| {
            other.key.as_ref() == Some(key) && other.offset < row.offset && other.offset >= dump.start
        });
        if let Some(older) = older.filter(|_| !is_there) {
            world.violate(COMPACTION, || {
                format!(
                    "{}: {key_text} at {} came back after its tombstone at {}",
                    model.partition, older.offset, row.offset
                )
            });
        }
    }
}

fn check_epochs(world: &World, model: &LogModel, log: &Log, dump: &Dump) {
    let served: BTreeSet<Offset> = dump
        .batches
        .iter()
        .filter_map(|bytes| Some(Batch::only(bytes).ok()?.base_offset()))
        .collect();
    let start = log.start_offset();
    let name = &model.partition;
    let mut before = LeaderEpoch(-1);
    for entry in &model.entries {
        world.require(entry.epoch >= before, ONLY_GROWS, || {
            format!("{name}: epoch {} at {} after {before}", entry.epoch, entry.base)
        });
        before = entry.epoch;
        let offset = entry.last.max(start);
        if entry.last < start || !served.contains(&entry.base) {
            continue; // gone, and its epoch with it
        }
        let found = log.epoch_of(offset);
        // a log start that was never written down goes back, and the epochs before it were forgotten
        let may_be_forgotten = found.is_none() && offset < model.start_max;
        world.require(found == Some(entry.epoch) || may_be_forgotten, ONLY_GROWS, || {
            format!("{name}: epoch of {offset} is {found:?}, expected {}", entry.epoch)
        });
    }
    let latest = log.latest_epoch();
    world.require(
        latest.is_none_or(|latest| latest <= model.epoch),
        ONLY_GROWS,
        || {
            format!(
                "{name}: epoch {latest:?} was never begun, the last was {}",
                model.epoch
            )
        },
    );
}

fn check_producers(world: &World, model: &LogModel, dump: &Dump) {
    for (id, (base, expected)) in model.last_of_producers() {
        // (Finding 5: the producer of a batch that the log start divides may be forgotten.)
        // And after a cut compaction may have gone by batches of the producer that were cut.
        let was_cut = model.is_compacted() && model.cuts > 0 || model.has_lost_newer || has_lost_newer(model);
        if base < dump.start || was_cut {
            continue; // its records are gone, its state may be
        }
        let found = dump.producers.iter().find(|row| row.0 == id);
        let is_right = found.is_some_and(|row| {
            let knows_sequence = row.2 == expected.last;
            // of records from before the log start, or that compaction took with their epoch
            row.1 == expected.epoch && (knows_sequence || expected.last == Sequence::NONE)
        });
        world.require(is_right, SEQUENCES, || {
            format!(
                "{}: producer {id} last wrote {expected:?} at {base}, the log knows {found:?}",
                model.partition
            )
        });
    }
}
