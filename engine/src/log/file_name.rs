//! Names of the files in a partition's directory, as Kafka names them.
//!
//! ```text
//! 00000000000000000042.log         batches from offset 42 on
//! 00000000000000000042.index       offset -> position
//! 00000000000000000042.timeindex   timestamp -> offset
//! 00000000000000000042.txnindex    aborted transactions
//! 00000000000000000042.quarantine  ranges that the scrubber found bad
//! 00000000000000000042.snapshot    producer state before offset 42
//! leader-epoch-checkpoint          epoch -> first offset
//! partition.metadata               topic id
//! ```
//! A suffix after that tells that the file is on its way in or out: `.cleaned` (compaction writes it), `.swap` (complete,
//! about to replace others), `.deleted` (replaced or expired, removed after a delay).

use std::path::{Path, PathBuf};

use crate::types::Offset;

pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
pub const PARTITION_METADATA: &str = "partition.metadata";

/// What a file of a segment holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    Log,
    OffsetIndex,
    TimeIndex,
    TransactionIndex,
    Quarantine,
    ProducerSnapshot,
}

impl FileKind {
    /// The files that make up a segment, in the order in which they go; the snapshot belongs to the offset, not to the segment.
    ///
    /// The log first: power may bring back what was removed last. A log that comes back without its transaction index shows what was
    /// aborted to readers of committed records; an index that comes back without its log is removed by the next start.
    pub const OF_SEGMENT: [FileKind; 5] = [
        FileKind::Log,
        FileKind::OffsetIndex,
        FileKind::TimeIndex,
        FileKind::TransactionIndex,
        FileKind::Quarantine,
    ];

    pub const fn extension(self) -> &'static str {
        match self {
            FileKind::Log => "log",
            FileKind::OffsetIndex => "index",
            FileKind::TimeIndex => "timeindex",
            FileKind::TransactionIndex => "txnindex",
            FileKind::Quarantine => "quarantine",
            FileKind::ProducerSnapshot => "snapshot",
        }
    }

    fn from_extension(extension: &str) -> Option<FileKind> {
        [
            FileKind::Log,
            FileKind::OffsetIndex,
            FileKind::TimeIndex,
            FileKind::TransactionIndex,
            FileKind::Quarantine,
            FileKind::ProducerSnapshot,
        ]
        .into_iter()
        .find(|kind| kind.extension() == extension)
    }
}

/// Where a file is in its life.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Suffix {
    Live,
    Cleaned,
    Swap,
    Deleted,
}

impl Suffix {
    pub const fn text(self) -> &'static str {
        match self {
            Suffix::Live => "",
            Suffix::Cleaned => ".cleaned",
            Suffix::Swap => ".swap",
            Suffix::Deleted => ".deleted",
        }
    }
}

/// A parsed file name.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName {
    pub base_offset: Offset,
    pub kind: FileKind,
    pub suffix: Suffix,
}

impl FileName {
    pub fn new(base_offset: Offset, kind: FileKind, suffix: Suffix) -> Self {
        FileName {
            base_offset,
            kind,
            suffix,
        }
    }

    /// `None` for every name that is not of this pattern.
    pub fn parse(name: &str) -> Option<FileName> {
        let (name, suffix) = [Suffix::Cleaned, Suffix::Swap, Suffix::Deleted]
            .into_iter()
            .find_map(|suffix| Some((name.strip_suffix(suffix.text())?, suffix)))
            .unwrap_or((name, Suffix::Live));
        let (digits, extension) = name.split_once('.')?;
        if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let base_offset = Offset(digits.parse().ok()?);
        Some(FileName {
            base_offset,
            kind: FileKind::from_extension(extension)?,
            suffix,
        })
    }

    pub fn in_dir(&self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:020}.{}{}",
            self.base_offset.0,
            self.kind.extension(),
            self.suffix.text()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        // A name we write and cannot read back would make a segment vanish at the next start.
        for kind in FileKind::OF_SEGMENT
            .into_iter()
            .chain([FileKind::ProducerSnapshot])
        {
            for suffix in [Suffix::Live, Suffix::Cleaned, Suffix::Swap, Suffix::Deleted] {
                let name = FileName::new(Offset(1234567890123), kind, suffix);
                assert_eq!(FileName::parse(&name.to_string()), Some(name));
            }
        }
        let name = FileName::new(Offset(42), FileKind::TimeIndex, Suffix::Swap);
        assert_eq!(name.to_string(), "00000000000000000042.timeindex.swap");
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "",
            ".log",
            "42.log",
            "0000000000000000004x.log",
            "00000000000000000042",
            "leader-epoch-checkpoint",
            "99999999999999999999.log",
            "00000000000000000042.txt",
            "+0000000000000000042.log",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }
}
