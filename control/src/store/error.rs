//! What can go wrong with the metadata log, one enum per operation.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::batch::BatchError;
use engine::types::Offset;
use thiserror::Error;

use crate::record::{ControllerEpoch, DecodeError};

/// The store failed while it was being written. Nobody knows what of the last write is durable, and after a failed sync
/// the kernel forgets the error: the log takes no further writes, and the process must start again to find out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{operation} of {} failed: {cause}", .path.display())]
pub struct LogFault {
    pub operation: &'static str,
    pub path: Arc<Path>,
    pub cause: Arc<str>,
}

impl LogFault {
    pub(super) fn new(operation: &'static str, path: &Path, cause: &io::Error) -> Self {
        LogFault {
            operation,
            path: path.into(),
            cause: cause.to_string().into(),
        }
    }
}

/// Why a batch of the metadata log or of a snapshot is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeBatchError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("record {offset}: {what}")]
    Record { offset: Offset, what: DecodeError },
    #[error("record {offset} has no value")]
    NoValue { offset: Offset },
    #[error("control record {offset}: {what}")]
    Control { offset: Offset, what: DecodeError },
    #[error(
        "control record {offset} is of type {kind}, which has no place in this log or is newer than this version"
    )]
    UnknownControl { offset: Offset, kind: i16 },
}

#[derive(Debug, Error)]
pub enum OpenError {
    #[error("{operation} of {}: {source}", .path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is damaged at byte {position}: {what}", .path.display())]
    Damaged {
        path: PathBuf,
        position: u64,
        what: DecodeBatchError,
    },
    #[error("{} is damaged at byte {position} ({what}), and whole batches follow at byte {next}: not a torn tail",
        .path.display())]
    DamagedWithin {
        path: PathBuf,
        position: u64,
        what: DecodeBatchError,
        next: u64,
    },
    /// Its CRC is right: these are the bytes that were written, by a version that knows more. Nothing of it is cut off.
    #[error("{} at byte {position}: {what}", .path.display())]
    Unreadable {
        path: PathBuf,
        position: u64,
        what: DecodeBatchError,
    },
    #[error("{} holds offset {found} where {expected} is due", .path.display())]
    Offset {
        path: PathBuf,
        expected: Offset,
        found: Offset,
    },
    #[error("{} holds controller epoch {found} after {last}", .path.display())]
    Epoch {
        path: PathBuf,
        last: ControllerEpoch,
        found: ControllerEpoch,
    },
    #[error("snapshot {} has no {what}", .path.display())]
    Snapshot { path: PathBuf, what: &'static str },
    #[error(
        "the metadata log begins at {log_start}, its snapshot ends at {snapshot_end}: records between are missing"
    )]
    Gap { log_start: Offset, snapshot_end: Offset },
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// Another controller has taken over.
    #[error("controller epoch {own} is over, {current} has begun")]
    Fenced {
        own: ControllerEpoch,
        current: ControllerEpoch,
    },
    #[error("a batch of {bytes} bytes, at most {max} fit")]
    TooLarge { bytes: usize, max: usize },
    #[error("an empty batch")]
    Empty,
    /// The disk is full; nothing was written.
    #[error("no space for {bytes} bytes of metadata on the disk")]
    NoSpace { bytes: usize },
    #[error("the metadata log has reached the last controller epoch")]
    EpochsExhausted,
    #[error(transparent)]
    Fault(#[from] LogFault),
}

#[derive(Debug, Error)]
pub enum ReadError {
    /// Records from here on are only in the snapshot any more.
    #[error("offset {from} is behind the log, which begins at {log_start}")]
    BehindLog { from: Offset, log_start: Offset },
    /// The store does not answer now.
    #[error("the store is not available: {reason}")]
    Unavailable { reason: String },
    #[error("offset {from} is past the log's end {end}")]
    PastEnd { from: Offset, end: Offset },
    #[error("{operation} of {}: {source}", .path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is damaged near offset {offset}: {what}", .path.display())]
    Damaged {
        path: PathBuf,
        offset: Offset,
        what: DecodeBatchError,
    },
}

/// The snapshot was not written. The log is whole without it, only longer.
#[derive(Debug, Error)]
pub enum SnapshotError {
    #[error("snapshot of {offset}, but the log ends at {end}")]
    PastEnd { offset: Offset, end: Offset },
    #[error("{operation} of {}: {source}", .path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Encode(#[from] AppendError),
}
