//! Starting after a crash: what the journals have and the segments lack goes into the segments.
//!
//! | seen | decision | why no acknowledged record is lost |
//! |---|---|---|
//! | an entry below the end of its log | skip it | the segment has it, whole: its CRC was checked behind the recovery point |
//! | an entry at the end of its log | append it | |
//! | an entry behind the end of its log | skip it, loudly | what comes before was in a frame that is gone: see the next two |
//! | a frame is missing or torn, and later ones are within reach of the writes in flight | replay the later ones as far as they fit | a frame is acknowledged only when all before it are durable: none of these was |
//! | the same, and later ones are further ahead | the same, loudly: the disk lost acknowledged records | the segments may still have them; what fits is replayed |
//! | frames below the newest `replay_from` | skip them | their entries were synced in segments before it was written |
//! | a reset of a partition | skip its entries in earlier frames | its log was cut after them, and what was left was synced |
//! | entries of a partition nobody owns | skip them | its topic was deleted |
//! | blocks of an earlier round, zeros, another journal's frames | end of the file's frames | a sequence never comes twice, and an id is drawn for every opening |
//! | a file header that is damaged, and a frame behind it | refuse to start, naming the file | whose frames these are cannot be told |
//! | a newer format version | refuse to start | |
//!
//! When everything is in the segments they are synced, and only then the journals are voided, the oldest file first. Interrupted at
//! any point and run again it ends the same: appending what is there already is skipping it, and what is left of a journal is always
//! its newest part, where the resets are that void what earlier files had.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use reactor::disk::FileSystem;
use reactor::{File, OpenMode, disk};
use uuid::Uuid;

use super::error::JournalError;
use super::files::{self, JOURNAL_DIR};
use super::format::{BLOCK_BYTES, Entry, EntryKind, FormatError, FrameHeader, entries, file_number};
use super::owner::Owner;
use super::scan::{FrameAt, FrameReader, ScanEnd, ScanError, next_frame_behind, read_frame};
use super::target::Target;
use crate::planted::{self, Bug};
use crate::types::Offset;

/// Topic id and partition number.
pub type PartitionKey = (Uuid, i32);

/// What a replay found and did.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    pub frames: u64,
    pub entries: u64,
    /// Batches that segments lacked.
    pub batches_appended: u64,
    pub bytes_appended: u64,
    /// Partitions with entries: everything below the offset is in their segments and synced.
    pub ends: HashMap<PartitionKey, Offset>,
    /// Entries without a place: acknowledged records that the disk lost, if frames are missing that were not in flight.
    pub batches_without_place: u64,
    /// Frames further behind a missing one than writes are in flight.
    pub frames_behind_damage: u64,
}

/// More writes than any configuration has in flight.
const IN_FLIGHT_MAX: u64 = 256;

/// A frame to replay.
struct Found {
    file: usize,
    frame: FrameAt,
}

struct Source {
    path: PathBuf,
    file: File,
    len: u64,
}

/// Replays all journals of a log directory, of however many shards the last run had, and voids them. `owner` tells whose an
/// entry is. Blocking; before any log of the directory is opened, and under the directory's lock.
pub fn replay(
    log_dir: &Path,
    owner: impl Fn(PartitionKey) -> Option<Owner>,
) -> Result<Replayed, JournalError> {
    let root = log_dir.join(JOURNAL_DIR);
    let mut replayed = Replayed::default();
    if !disk::exists(&root) {
        return Ok(replayed);
    }
    // The kernel tells of failed write-backs since this.
    let file_system =
        FileSystem::open(log_dir).map_err(|source| JournalError::io(log_dir, "open directory", source))?;
    let mut targets: BTreeMap<PartitionKey, Option<Target>> = BTreeMap::new();
    let mut to_void = Vec::new();
    for dir in list(&root)? {
        to_void.extend(replay_journal(
            &dir,
            log_dir,
            &owner,
            &mut targets,
            &mut replayed,
        )?);
    }
    for (key, target) in targets {
        if let Some(target) = target {
            replayed.ends.insert(key, target.finish()?);
        }
    }
    if !replayed.ends.is_empty() && !planted::is(Bug::ReplayNotSynced) {
        file_system
            .sync_all_blocking()
            .map_err(|source| JournalError::io(log_dir, "sync file system", source))?;
    }
    for path in to_void {
        files::retire(&path)?;
    }
    Ok(replayed)
}

/// Voids all files of a journal that was ended in order, the oldest first.
pub(super) fn retire_all(dir: &Path) -> Result<(), JournalError> {
    let mut files = Vec::new();
    for path in journal_files(dir)? {
        files.push((files::first_sequence(&path)?, path));
    }
    for path in oldest_first(files) {
        files::retire(&path)?;
    }
    Ok(())
}

/// By a sequence of each, which is `None` for one without frames. The numbers in their names say nothing: files are used in turns.
fn oldest_first(mut files: Vec<(Option<u64>, PathBuf)>) -> Vec<PathBuf> {
    files.sort();
    if planted::is(Bug::JournalVoidedByName) {
        files.sort_by(|(_, path), (_, other)| path.cmp(other));
    }
    files.into_iter().map(|(_, path)| path).collect()
}

fn list(root: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let entries = disk::read_dir(root).map_err(|source| JournalError::io(root, "list directory", source))?;
    let dirs = entries.into_iter().filter(|entry| entry.is_dir);
    Ok(dirs.map(|entry| root.join(entry.name)).collect())
}

fn journal_files(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let entries = disk::read_dir(dir).map_err(|source| JournalError::io(dir, "list directory", source))?;
    let files = entries
        .into_iter()
        .filter(|entry| file_number(&entry.name).is_some());
    Ok(files.map(|entry| dir.join(entry.name)).collect())
}

/// Replays what the files of a journal have; the files, in the order in which they may be voided.
fn replay_journal(
    dir: &Path,
    log_dir: &Path,
    owner: &impl Fn(PartitionKey) -> Option<Owner>,
    targets: &mut BTreeMap<PartitionKey, Option<Target>>,
    replayed: &mut Replayed,
) -> Result<Vec<PathBuf>, JournalError> {
    let mut sources = Vec::new();
    let mut found = Vec::new();
    let mut resets: HashMap<PartitionKey, u64> = HashMap::new();
    for path in journal_files(dir)? {
        let failed = |operation| {
            let path = path.clone();
            move |source| JournalError::io(&path, operation, source)
        };
        let file = File::open(&path, OpenMode::Read).map_err(failed("open"))?;
        let len = file.len().map_err(failed("measure"))?;
        let source = Source { path, file, len };
        collect(&source, sources.len(), &mut found, &mut resets)?;
        sources.push(source);
    }
    found.sort_by_key(|found| found.frame.header.sequence);
    let replay_from = found
        .iter()
        .map(|found| found.frame.header.replay_from)
        .max()
        .unwrap_or(0);
    found.retain(|found| found.frame.header.sequence >= replay_from);
    tell_of_damage(dir, replay_from, &found, replayed);
    let mut newest: Vec<Option<u64>> = vec![None; sources.len()];
    for Found { file, frame } in &found {
        if let Some(newest) = newest.get_mut(*file) {
            *newest = Some(frame.header.sequence); // they are in order
        }
    }
    for Found { file, frame } in found {
        let Some(source) = sources.get(file) else { continue };
        let bytes = read_frame(&source.file, source.len, &source.path, frame).map_err(from_scan)?;
        replayed.frames += 1;
        for entry in entries(frame.header.payload(&bytes)) {
            let entry = entry.map_err(|error| format_error(&source.path, frame.position, error))?;
            let key = (entry.header.topic_id, entry.header.partition);
            let is_void = resets.get(&key).is_some_and(|sequence| {
                frame.header.sequence <= *sequence
                    && entry.header.kind == EntryKind::Batch
                    && !planted::is(Bug::JournalResetIgnored)
            });
            if is_void {
                continue;
            }
            replayed.entries += 1;
            apply(key, &entry, log_dir, owner, targets, replayed)?;
        }
    }
    let paths = sources.into_iter().map(|source| source.path);
    Ok(oldest_first(newest.into_iter().zip(paths).collect()))
}

fn apply(
    key: PartitionKey,
    entry: &Entry<'_>,
    log_dir: &Path,
    owner: &impl Fn(PartitionKey) -> Option<Owner>,
    targets: &mut BTreeMap<PartitionKey, Option<Target>>,
    replayed: &mut Replayed,
) -> Result<(), JournalError> {
    if entry.header.kind == EntryKind::Reset {
        return Ok(());
    }
    if let std::collections::btree_map::Entry::Vacant(slot) = targets.entry(key) {
        let target = match owner(key) {
            Some(owner) => Some(Target::open(log_dir, key, &owner)?),
            None => {
                tracing::debug!(topic = %key.0, partition = key.1, "entries of a deleted topic");
                None
            }
        };
        slot.insert(target);
    }
    match targets.get_mut(&key) {
        Some(Some(target)) => target.append(entry, replayed),
        _ => Ok(()),
    }
}

/// Notes the frames of a file, and the resets in them.
fn collect(
    source: &Source,
    number: usize,
    found: &mut Vec<Found>,
    resets: &mut HashMap<PartitionKey, u64>,
) -> Result<(), JournalError> {
    let mut reader = match FrameReader::open(&source.file, source.len, &source.path) {
        Ok(reader) => reader,
        Err(ScanError::Damaged { position, error, .. }) => return judge_header(source, position, error),
        Err(error) => return Err(from_scan(error)),
    };
    let journal_id = reader.header().journal_id;
    let mut greatest = 0;
    loop {
        while let Some((frame, payload)) = reader.next_frame().map_err(from_scan)? {
            greatest = frame.header.sequence;
            for entry in entries(payload).flatten() {
                if entry.header.kind == EntryKind::Reset {
                    let key = (entry.header.topic_id, entry.header.partition);
                    let last = resets.entry(key).or_insert(greatest);
                    *last = greatest.max(*last);
                }
            }
            found.push(Found { file: number, frame });
        }
        let position = match reader.end() {
            None | Some(ScanEnd::EndOfFile { .. }) => return Ok(()),
            Some(end) => end.position(),
        };
        // What is whole behind something torn or unused counts, if it is no older than what came before.
        let next = next_frame_behind(
            &source.file,
            source.len,
            &source.path,
            journal_id,
            position,
            greatest,
        )
        .map_err(from_scan)?;
        match next {
            Some(position) => reader.resume_at(position),
            None => return Ok(()),
        }
    }
}

/// A header that is none: a file that was never completed, or damage.
fn judge_header(source: &Source, position: u64, error: FormatError) -> Result<(), JournalError> {
    let refuse = match &error {
        FormatError::NewerVersion { .. }
        | FormatError::UnknownVersion { .. }
        | FormatError::FileBytes { .. } => true,
        _ => {
            let mut block = vec![0; BLOCK_BYTES];
            let read = source.file.read_at(&mut block, BLOCK_BYTES as u64).unwrap_or(0);
            FrameHeader::parse(block.get(..read).unwrap_or_default()).is_ok()
        }
    };
    if refuse {
        return Err(format_error(&source.path, position, error));
    }
    tracing::warn!(file = %source.path.display(), %error, "a journal file that was never completed");
    Ok(())
}

fn tell_of_damage(dir: &Path, replay_from: u64, found: &[Found], replayed: &mut Replayed) {
    let Some(last) = found.last().map(|found| found.frame.header.sequence) else {
        return;
    };
    let mut expected = found
        .first()
        .map_or(0, |found| found.frame.header.sequence)
        .min(replay_from.max(1));
    let mut is_behind = false;
    for Found { frame, .. } in found {
        let sequence = frame.header.sequence;
        if sequence > expected && last.saturating_sub(expected) > IN_FLIGHT_MAX && !is_behind {
            is_behind = true;
            tracing::error!(journal = %dir.display(), expected, found = sequence, last,
                "the disk lost part of the journal");
        }
        replayed.frames_behind_damage += u64::from(is_behind);
        expected = sequence + 1;
    }
}

fn from_scan(error: ScanError) -> JournalError {
    match error {
        ScanError::Io { file, source, .. } => JournalError::io(&file, "read", source),
        ScanError::Damaged {
            file,
            position,
            error,
        } => format_error(&file, position, error),
    }
}

fn format_error(path: &Path, position: u64, source: FormatError) -> JournalError {
    JournalError::Format {
        path: path.to_owned(),
        position,
        source,
    }
}
