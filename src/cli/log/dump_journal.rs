//! Frames and entries of a journal file, for people and for programs.

use engine::batch::Batch;
use engine::journal::format::{Entry, EntryKind, entries};
use engine::journal::scan::{FrameAt, FrameReader, ScanEnd, ScanError};
use engine::log::partition_metadata::to_base64;
use reactor::{File, OpenMode};
use serde_json::{Value, json};

use super::dump::{Detail, damaged};
use super::dump_segment;
use super::files::LogFile;
use crate::cli::CliError;
use crate::cli::output;

/// Prints header, frames, entries and why the frames end. Entries below `--from` are left out.
pub fn show(file: &LogFile, detail: &Detail, as_json: bool) -> Result<(), CliError> {
    let io = |source| CliError::File {
        path: file.path.clone(),
        source,
    };
    let source = File::open(&file.path, OpenMode::Read).map_err(io)?;
    let len = source.len().map_err(io)?;
    let mut reader = FrameReader::open(&source, len, &file.path).map_err(scan_error)?;
    let header = *reader.header();
    if as_json {
        let line = json!({
            "file": file.path.display().to_string(),
            "journal_id": header.journal_id.to_string(),
            "shard": header.shard,
            "file_number": header.file_number,
            "file_bytes": header.file_bytes,
        });
        output::line(&line.to_string());
    } else {
        output::line(&format!(
            "  journal {}  shard {}  file {}  bytes {}",
            header.journal_id, header.shard, header.file_number, header.file_bytes
        ));
    }
    while let Some((frame, payload)) = reader.next_frame().map_err(scan_error)? {
        if !as_json {
            output::line(&frame_text(&frame));
        }
        for entry in entries(payload) {
            let entry = entry.map_err(|error| damaged(&file.path, error))?;
            if entry.header.offset < detail.from {
                continue;
            }
            let shown = if as_json {
                entry_json(file, &frame, &entry, detail).map(|line| line.to_string())
            } else {
                entry_text(file, &entry, detail)
            };
            output::line(&shown.map_err(|error| damaged(&file.path, error))?);
        }
    }
    let Some(end) = reader.end() else { return Ok(()) };
    let (position, end) = (end.position(), end_text(end));
    if as_json {
        let line = json!({"file": file.path.display().to_string(), "position": position, "end": end});
        output::line(&line.to_string());
    } else {
        output::line(&format!("  position {position}: {end}\n"));
    }
    Ok(())
}

pub fn scan_error(error: ScanError) -> CliError {
    match error {
        ScanError::Io { file, source, .. } => CliError::File { path: file, source },
        error @ ScanError::Damaged { .. } => CliError::Usage(error.to_string()),
    }
}

/// What lies behind the last frame.
pub fn end_text(end: &ScanEnd) -> String {
    match end {
        ScanEnd::EndOfFile { .. } => "end of the file".to_owned(),
        ScanEnd::Unused { .. } => "not used so far".to_owned(),
        ScanEnd::Stale { expected, found, .. } => {
            format!("sequence {found} of an earlier round, where {expected} would follow")
        }
        ScanEnd::Ahead { expected, found, .. } => format!("sequence {found}, where {expected} would follow"),
        ScanEnd::Torn { error, .. } => {
            format!("no whole frame, the middle of an older one or a torn write: {error}")
        }
        ScanEnd::Foreign { found, .. } => format!("a frame of journal {found}"),
        ScanEnd::Cut { expected, found, .. } => {
            format!("the file was cut to {found} bytes, its header tells {expected}")
        }
    }
}

fn frame_text(frame: &FrameAt) -> String {
    let header = &frame.header;
    format!(
        "  sequence {}  position {}  bytes {}  entries {}  replay from {}",
        header.sequence,
        frame.position,
        header.frame_bytes(),
        header.entry_count,
        header.replay_from,
    )
}

fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Batch => "batch",
        EntryKind::Reset => "reset",
    }
}

fn entry_text(
    file: &LogFile,
    entry: &Entry<'_>,
    detail: &Detail,
) -> Result<String, engine::batch::BatchError> {
    let header = &entry.header;
    let mut text = format!(
        "    {}  topic {}  partition {}  offset {}  gap {}  bytes {}",
        kind_name(header.kind),
        to_base64(header.topic_id),
        header.partition,
        header.offset,
        header.gap,
        header.body_bytes,
    );
    if header.kind == EntryKind::Batch {
        let (batch, _) = Batch::split_first(entry.body)?;
        let batch = dump_segment::to_text(file, entry.position as u64, &batch, detail)?;
        text.push_str("\n    ");
        text.push_str(&batch.replace('\n', "\n    "));
    }
    Ok(text)
}

fn entry_json(
    file: &LogFile,
    frame: &FrameAt,
    entry: &Entry<'_>,
    detail: &Detail,
) -> Result<Value, engine::batch::BatchError> {
    let header = &entry.header;
    let batch = match header.kind {
        EntryKind::Batch => {
            let (batch, _) = Batch::split_first(entry.body)?;
            dump_segment::to_json(file, entry.position as u64, &batch, detail)?
        }
        EntryKind::Reset => Value::Null,
    };
    Ok(json!({
        "file": file.path.display().to_string(),
        "position": frame.position,
        "sequence": frame.header.sequence,
        "replay_from": frame.header.replay_from,
        "kind": kind_name(header.kind),
        "topic_id": to_base64(header.topic_id),
        "partition": header.partition,
        "offset": header.offset,
        "gap": header.gap,
        "bytes": header.body_bytes,
        "batch": batch,
    }))
}
