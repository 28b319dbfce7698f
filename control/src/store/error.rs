//! What can go wrong with the metadata log, one enum per operation.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::batch::BatchError;
use engine::types::Offset;
use thiserror::Error;
use uuid::Uuid;

use super::kv::StoreError;
use super::shared::ValueError;
use crate::config::Endpoint;
use crate::record::{BrokerId, ControllerEpoch, DecodeError};

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
    #[error("batch {base} holds {count} records and ends at {last}")]
    Offsets {
        base: Offset,
        last: Offset,
        count: usize,
    },
    #[error("entry {base} has layout {layout:?}, which this version does not know")]
    Entry { base: Offset, layout: Option<u8> },
    #[error("entry {base} holds a batch that begins at {found}, or more than one")]
    EntryOffset { base: Offset, found: Offset },
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
    /// Written by a later version, perhaps with more in it than is known here. Nothing of it is read, nor written over.
    #[error("{}: version {found}, expected at most {expected}", .path.display())]
    Version {
        path: PathBuf,
        expected: i16,
        found: i16,
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
    #[error("the store's key {key}: {what}")]
    Value { key: String, what: ValueError },
    #[error("{}: {what}", .path.display())]
    File { path: PathBuf, what: ValueError },
    #[error(
        "the store belongs to cluster {found}, this broker's data to cluster {own}: point ringlog.store or ringlog.store.prefix elsewhere"
    )]
    OtherCluster { own: String, found: String },
    #[error(
        "the store has {key}, but no cluster id of ours: another program's keys? Choose another ringlog.store.prefix"
    )]
    ForeignKeys { key: String },
    #[error(
        "broker {id} is registered already, by the process at {endpoint} (incarnation {incarnation_id}) with other log directories: \
         every broker needs a node.id of its own"
    )]
    DuplicateBroker {
        id: BrokerId,
        incarnation_id: Uuid,
        endpoint: Endpoint,
    },
    #[error(
        "the store's metadata log ends at {found}, but this broker has seen it reach {own}: the store was restored from a backup, \
         or lost what it had acknowledged. Going on would forget the changes in between"
    )]
    WentBack { own: Offset, found: Offset },
    #[error(
        "the store's metadata log is not the one that this broker followed up to {own}: the store was made anew, or its history is another one"
    )]
    OtherLog { own: Offset },
    #[error(
        "the metadata of this data directory is in another store ({recorded}), but {configured} is configured"
    )]
    OtherStore {
        recorded: String,
        configured: &'static str,
    },
    /// It answers, but not to us.
    #[error("{0}")]
    Store(StoreError),
    #[error("the store's snapshot {name} is not whole: {what}")]
    SnapshotChunks { name: String, what: String },
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
    /// The store knows us, but does not let us write.
    #[error("{0}")]
    Denied(String),
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
    #[error("offset {offset} is not in the log, which begins before it and ends after it")]
    Missing { offset: Offset },
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
    #[error("the store did not take it: {0}")]
    Store(String),
}
