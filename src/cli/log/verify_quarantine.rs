//! A quarantine against the segment it is about.

use std::path::Path;

use engine::batch::{BatchHeader, HEADER_BYTES};
use engine::log::scrub::{BadRange, Quarantine};
use engine::types::Offset;
use reactor::{File, OpenMode};

use super::dump::read;
use super::finding::Findings;
use crate::cli::CliError;

/// One of another segment gives itself away: its ranges lie outside of this one, or no batch begins where they end. What is in
/// the ranges is the segment's to say.
pub fn verify(path: &Path, base_offset: Offset, findings: &mut Findings) -> Result<(), CliError> {
    let quarantine = match Quarantine::parse(&read(path)?) {
        Ok(quarantine) => quarantine,
        Err(error) => {
            findings.unreadable(path, None, "quarantine", error);
            return Ok(());
        }
    };
    let segment_path = path.with_extension("log");
    if !reactor::disk::exists(&segment_path) {
        findings.unreadable(path, None, "quarantine", "its segment does not exist");
        return Ok(());
    }
    let source = |source| CliError::File {
        path: segment_path.clone(),
        source,
    };
    let segment = File::open(&segment_path, OpenMode::Read).map_err(source)?;
    let segment_bytes = segment.len().map_err(source)?;
    for (number, range) in (0u64..).zip(quarantine.ranges()) {
        let position = Quarantine::HEADER_BYTES as u64 + number * Quarantine::RANGE_BYTES as u64;
        if range.first_offset < base_offset {
            let expected = format!("at least {base_offset}");
            findings.differs(
                path,
                position + 16,
                "first offset of a range",
                expected,
                range.first_offset,
            );
        }
        if range.end > segment_bytes {
            let expected = format!("at most {segment_bytes}, the bytes of its segment");
            findings.differs(path, position + 8, "end of a range", expected, range.end);
            continue;
        }
        if let Some(next) = batch_at(&segment, segment_bytes, range).map_err(source)?
            && next != range.next_offset
        {
            let of = "next offset of a range, the batch behind it";
            findings.differs(path, position + 24, of, next, range.next_offset);
        }
    }
    Ok(())
}

/// The base offset of the batch behind a range; `None` where the segment ends.
fn batch_at(segment: &File, segment_bytes: u64, range: &BadRange) -> std::io::Result<Option<Offset>> {
    if segment_bytes - range.end < HEADER_BYTES as u64 {
        return Ok(None);
    }
    let mut header = [0; HEADER_BYTES];
    segment.read_exact_at(&mut header, range.end)?;
    Ok(BatchHeader::peek(&header).map(BatchHeader::base_offset))
}
