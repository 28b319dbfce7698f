//! Compaction (`cleanup.policy=compact`): of every key the last record stays.
//!
//! A round reads the keys of the dirty part into a map from key to last offset, then rewrites all segments from the
//! front, group by group, without the records the map knows better of:
//! ```text
//!  log start            cleaned_to                  uncleanable        end
//!     | clean: compacted   | dirty: read into the map   | active, young, unstable, not synced |
//!     |<---------- rewritten in this round ------------>|
//! ```
//! When the map's memory does not hold all dirty keys the round stops where it is full, and the next one goes on there.
//!
//! Rules, as Kafka's cleaner has them:
//! - offsets never change: a batch keeps base and last offset, whatever records are left in it;
//! - a tombstone (no value) stays readable for `delete.retention.ms` after the first compaction that saw it. That moment is
//!   stored in the batch as its delete horizon (KIP-534);
//! - the last batch of a producer stays, empty if need be: its sequence is read from it after a restart. So a round first waits
//!   until all that was appended is committed: the last batch may lie behind what is compacted, where power could take it;
//! - records without a key go: they cannot be compacted, and a compacted topic takes none;
//! - records of aborted transactions go at once, and count for no key. The transaction index of a rewritten segment names only
//!   the transactions that still had records;
//! - a marker stays as long as its transaction has batches, then for `delete.retention.ms`: its delete horizon is set when a
//!   compaction finds none. Control batches that mark no transaction stay.
//!
//! Ours: the last batch of every rewritten segment stays, empty if need be, so that a segment tells exactly which offsets
//! it covers. (Kafka keeps only the last batch of a round.) And only segments below the recovery point are compacted: what a
//! `.swap` replaces must be on the disk before.
//!
//! A segment with bytes that cannot be read is where compaction ends, until retention takes it or it can be read again: which
//! keys it held is not known, so neither is which tombstones before and behind it may go.
//!
//! Priority: all reading and writing is done in slices of a few MiB on the one idle thread of the process, within
//! `log.cleaner.io.max.bytes.per.second`, and leaves the page cache as it was.
//!
//! Crash safety, one group: `.cleaned` files are written and synced, renamed to `.swap` (the log last), the directory
//! is synced, then the old files become `.deleted` and the directory is synced again, then `.swap` loses its suffix (the log
//! last). Until `.log.swap` exists the old files are all there; from then on a start finishes the work (see
//! [`super::leftovers`]). Readers hold the old files and are not disturbed.

mod cleaner;
mod filter;
mod mapping;
mod offset_map;
mod plan;
mod reader;
mod run;
mod swap;
mod transactions;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::damage::{Damage, DamageAt};
use super::fault::DiskFault;
use super::window::ScanError;
use crate::batch::BatchError;
use crate::types::Offset;

pub use filter::FilterError;

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    pub rounds: usize,
    pub segments_before: usize,
    pub segments_after: usize,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Everything below has been compacted.
    pub cleaned_to: Offset,
}

/// Why a compaction ended early. The log is whole, and less of it is compacted.
#[derive(Clone, Debug, Error)]
pub enum CompactError {
    #[error(transparent)]
    Offline(#[from] DiskFault),
    /// Bytes are not what was written.
    #[error("{partition}: segment {segment} at position {position}: {damage}")]
    Damaged {
        partition: Arc<str>,
        segment: Offset,
        position: u64,
        damage: Damage,
    },
    /// Bytes are what was written, and cannot be decoded or written anew.
    #[error("{partition}: segment {segment} at position {position}: {source}")]
    Undecodable {
        partition: Arc<str>,
        segment: Offset,
        position: u64,
        source: FilterError,
    },
    #[error("{partition}: segment {segment}: {source}")]
    Io {
        partition: Arc<str>,
        segment: Offset,
        source: Arc<io::Error>,
    },
}

/// A segment to read.
#[derive(Clone, Debug)]
struct Source {
    partition: Arc<str>,
    id: u64,
    base_offset: Offset,
    /// Where the next segment begins.
    end: Offset,
    size_bytes: u64,
    path: PathBuf,
}

impl Source {
    fn io(&self, error: io::Error) -> CompactError {
        CompactError::Io {
            partition: self.partition.clone(),
            segment: self.base_offset,
            source: Arc::new(error),
        }
    }

    fn scan(&self, error: ScanError) -> CompactError {
        match error {
            ScanError::Io(error) => self.io(error),
            ScanError::Damaged(DamageAt { position, damage }) => self.damaged(position, damage),
        }
    }

    fn damaged(&self, position: u64, damage: Damage) -> CompactError {
        CompactError::Damaged {
            partition: self.partition.clone(),
            segment: self.base_offset,
            position,
            damage,
        }
    }

    fn undecodable(&self, position: u64, source: impl Into<FilterError>) -> CompactError {
        CompactError::Undecodable {
            partition: self.partition.clone(),
            segment: self.base_offset,
            position,
            source: source.into(),
        }
    }

    /// A batch that is none, or not the one that was written.
    fn batch(&self, position: u64, error: BatchError) -> CompactError {
        match error {
            BatchError::Crc { stored, computed } => self.damaged(position, Damage::Crc { stored, computed }),
            error => self.undecodable(position, error),
        }
    }
}
