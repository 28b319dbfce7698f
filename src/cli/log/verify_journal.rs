//! The files of one shard's journal against themselves and each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::batch::{Batch, BatchError};
use engine::journal::format::{Entry, EntryKind, entries, file_number};
use engine::journal::scan::{FrameReader, ScanEnd, ScanError, find_later_frame};
use reactor::{File, OpenMode};
use uuid::Uuid;

use super::dump_journal::end_text;
use super::finding::Findings;
use crate::cli::CliError;

const SHARD_PREFIX: &str = "shard-";

/// What the files of one directory have told so far.
#[derive(Debug, Default)]
pub struct Journal {
    /// Of the first file.
    id: Option<(Uuid, PathBuf)>,
    /// Where each frame lies, by sequence.
    frames: BTreeMap<u64, (PathBuf, u64)>,
    /// Of the frame with the greatest sequence: frames from there on are needed.
    replay_from: u64,
}

impl Journal {
    /// Checks one file and remembers its frames.
    pub fn add_file(&mut self, path: &Path, findings: &mut Findings) -> Result<(), CliError> {
        let io = |source| CliError::File {
            path: path.to_owned(),
            source,
        };
        let source = File::open(path, OpenMode::Read).map_err(io)?;
        let len = source.len().map_err(io)?;
        let mut last = None;
        let (id, end) = {
            let mut reader = match FrameReader::open(&source, len, path) {
                Ok(reader) => reader,
                Err(error) => return report(error, findings),
            };
            let header = *reader.header();
            self.check_header(path, &header, findings);
            loop {
                match reader.next_frame() {
                    Ok(Some((frame, payload))) => {
                        for entry in entries(payload).flatten() {
                            check_entry(path, frame.position, &entry, findings);
                        }
                        last = Some(frame.header.sequence);
                        self.add_frame(path, frame.position, &frame.header, findings);
                    }
                    Ok(None) => break,
                    Err(error) => return report(error, findings),
                }
            }
            let end = reader.end().cloned();
            (header.journal_id, end)
        };
        let Some(end) = end else { return Ok(()) };
        match &end {
            ScanEnd::EndOfFile { .. }
            | ScanEnd::Unused { .. }
            | ScanEnd::Stale { .. }
            | ScanEnd::Torn { .. } => {}
            ScanEnd::Ahead { .. } | ScanEnd::Foreign { .. } | ScanEnd::Cut { .. } => {
                findings.unreadable(path, Some(end.position()), "frames", end_text(&end));
            }
        }
        let above = last.unwrap_or(0);
        match find_later_frame(&source, len, path, id, end.position(), above) {
            Ok(Some(later)) => self.add_frame(path, later.position, &later.header, findings),
            Ok(None) => {}
            Err(error) => return report(error, findings),
        }
        Ok(())
    }

    fn check_header(
        &mut self,
        path: &Path,
        header: &engine::journal::format::FileHeader,
        findings: &mut Findings,
    ) {
        let (id, first) = self
            .id
            .get_or_insert_with(|| (header.journal_id, path.to_owned()));
        if *id != header.journal_id {
            let expected = format!("{id} as in {}", first.display());
            findings.differs(path, 16, "journal id", expected, header.journal_id);
        }
        let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        if let Some(number) = name(path).and_then(|name| file_number(&name))
            && number != header.file_number
        {
            findings.differs(path, 36, "file number, by the name", number, header.file_number);
        }
        let shard = std::path::absolute(path)
            .ok()
            .and_then(|path| name(path.parent()?))
            .and_then(|name| name.strip_prefix(SHARD_PREFIX)?.parse::<u32>().ok());
        if let Some(shard) = shard
            && shard != header.shard
        {
            findings.differs(path, 32, "shard, by the directory", shard, header.shard);
        }
    }

    fn add_frame(
        &mut self,
        path: &Path,
        position: u64,
        header: &engine::journal::format::FrameHeader,
        findings: &mut Findings,
    ) {
        if header.replay_from > header.sequence {
            let expected = format!("at most {}", header.sequence);
            findings.differs(
                path,
                position,
                "first frame to replay",
                expected,
                header.replay_from,
            );
        }
        if self
            .frames
            .last_key_value()
            .is_none_or(|(greatest, _)| header.sequence > *greatest)
        {
            self.replay_from = header.replay_from;
        }
        let place = (path.to_owned(), position);
        if let Some((file, at)) = self.frames.insert(header.sequence, place) {
            let why = format!("{} is at {at} of {}, too", header.sequence, file.display());
            findings.unreadable(path, Some(position), "sequence", why);
        }
    }

    /// After the last file: the frames that a start would replay are all there.
    pub fn finish(&self, findings: &mut Findings) {
        let Some((greatest, (path, position))) = self.frames.last_key_value() else {
            return;
        };
        let needed = self.replay_from.min(*greatest)..=*greatest;
        let mut expected = *needed.start();
        for (found, _) in self.frames.range(needed) {
            if *found != expected {
                // A power cut may leave this, too: of the writes in flight a later one landed.
                findings.differs(
                    path,
                    *position,
                    "sequence of a frame that is needed before this one",
                    expected,
                    found,
                );
                return;
            }
            expected = found.saturating_add(1);
        }
    }
}

fn check_entry(path: &Path, frame: u64, entry: &Entry<'_>, findings: &mut Findings) {
    if entry.header.kind != EntryKind::Batch {
        return;
    }
    let position = frame
        + engine::journal::format::FRAME_HEADER_BYTES as u64
        + entry.position as u64
        + engine::journal::format::ENTRY_HEADER_BYTES as u64;
    let batch = match Batch::split_first(entry.body) {
        Ok((batch, _)) => batch,
        Err(error) => return findings.unreadable(path, Some(position), "batch", error),
    };
    if batch.size_bytes() != entry.body.len() {
        findings.differs(
            path,
            position,
            "size of the batch",
            entry.body.len(),
            batch.size_bytes(),
        );
    }
    if batch.base_offset().0 != entry.header.offset {
        findings.differs(
            path,
            position,
            "base offset of the batch",
            entry.header.offset,
            batch.base_offset(),
        );
    }
    match batch.verify_crc() {
        Ok(()) => {}
        Err(BatchError::Crc { stored, computed }) => {
            let hex = |crc: u32| format!("{crc:#010x}");
            findings.differs(path, position, "CRC", hex(computed), hex(stored));
        }
        Err(error) => findings.unreadable(path, Some(position), "CRC", error),
    }
}

/// Damage is a finding; that a file cannot be read ends the command.
fn report(error: ScanError, findings: &mut Findings) -> Result<(), CliError> {
    match error {
        ScanError::Io { file, source, .. } => Err(CliError::File { path: file, source }),
        ScanError::Damaged {
            file,
            position,
            error,
        } => {
            findings.unreadable(&file, Some(position), "journal", error);
            Ok(())
        }
    }
}
