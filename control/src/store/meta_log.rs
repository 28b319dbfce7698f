//! The one type over the backends, and the contract they share.
//!
//! - **Order.** Batches have consecutive offsets; what is read is what was appended, once it is durable, in order.
//! - **Fence.** [`MetaLog::lead`] begins a new controller epoch, greater than every earlier one; appends of an earlier
//!   epoch are refused from then on.
//! - **Durability.** [`MetaLog::append`] answers when the batch survives the loss of power. After a failed write the
//!   log is closed for good ([`LogFault`]); nothing is tried twice.
//! - **Snapshots.** A snapshot says what all records below its offset amount to; records below it may be gone.
//! - **Watch.** [`MetaLog::wait_past`] answers when there is more to read.
//!
//! A handle is cheap to clone and belongs to the reactor it was opened on.

use std::path::PathBuf;

use engine::types::Offset;

use super::batch::LogBatch;
use super::embedded::EmbeddedMetaLog;
use super::error::{AppendError, LogFault, OpenError, ReadError, SnapshotError};
use crate::image::ClusterImage;
use crate::record::{BrokerId, ControllerEpoch, Record};

/// Which backend, and where it is.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// On this machine's disk; `dir` is the data directory, the log gets its own below it.
    Embedded { dir: PathBuf },
}

/// Where a batch came to lie.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
}

/// Names a snapshot: it holds what all records below `end_offset` amount to, the last of them of `epoch`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    pub end_offset: Offset,
    pub epoch: ControllerEpoch,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub id: SnapshotId,
    pub records: Vec<Record>,
}

#[derive(Clone)]
pub enum MetaLog {
    Embedded(EmbeddedMetaLog),
}

impl MetaLog {
    /// Opens the store, recovering what a crash left.
    pub async fn open(config: &StoreConfig) -> Result<MetaLog, OpenError> {
        match config {
            StoreConfig::Embedded { dir } => EmbeddedMetaLog::open(dir).map(MetaLog::Embedded),
        }
    }

    /// Makes this process the controller: begins an epoch and makes that durable.
    pub async fn lead(&self, controller: BrokerId) -> Result<ControllerEpoch, AppendError> {
        match self {
            MetaLog::Embedded(log) => log.lead(controller).await,
        }
    }

    /// Appends one batch under the controller's epoch; durable when this answers. At most [`super::BATCH_BYTES_MAX`]
    /// bytes: [`super::Plan`] cuts larger changes.
    pub async fn append(&self, epoch: ControllerEpoch, batch: &[Record]) -> Result<Appended, AppendError> {
        match self {
            MetaLog::Embedded(log) => log.append(epoch, batch).await,
        }
    }

    /// Whole batches from the one that holds `from` on: about `max_bytes` of them, at least one if there is one.
    pub async fn read(&self, from: Offset, max_bytes: usize) -> Result<Vec<LogBatch>, ReadError> {
        match self {
            MetaLog::Embedded(log) => log.read(from, max_bytes),
        }
    }

    /// The latest snapshot, to begin replaying with.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, OpenError> {
        match self {
            MetaLog::Embedded(log) => log.snapshot(),
        }
    }

    /// Makes a snapshot of `image`, then forgets the records behind it. Appends go on meanwhile.
    pub async fn write_snapshot(&self, image: ClusterImage) -> Result<SnapshotId, SnapshotError> {
        match self {
            MetaLog::Embedded(log) => log.write_snapshot(image).await,
        }
    }

    /// The quorum that elected the last leader, as the log tells; empty when what is left of the log does not.
    pub fn voters(&self) -> Vec<BrokerId> {
        match self {
            MetaLog::Embedded(log) => log.voters(),
        }
    }

    /// What a cluster that has no records yet was formatted with, if it was.
    pub fn bootstrap_records(&self) -> Result<Option<Vec<Record>>, OpenError> {
        match self {
            MetaLog::Embedded(log) => log.bootstrap_records(),
        }
    }

    /// Bytes of log that a start has to replay after the latest snapshot.
    pub fn bytes_since_snapshot(&self) -> u64 {
        match self {
            MetaLog::Embedded(log) => log.bytes_since_snapshot(),
        }
    }

    /// First offset that can be read.
    pub fn start_offset(&self) -> Offset {
        match self {
            MetaLog::Embedded(log) => log.start_offset(),
        }
    }

    /// Offset the next batch gets; everything below is durable.
    pub fn end_offset(&self) -> Offset {
        match self {
            MetaLog::Embedded(log) => log.end_offset(),
        }
    }

    /// Answers with the end offset once it lies past `offset`.
    pub async fn wait_past(&self, offset: Offset) -> Result<Offset, LogFault> {
        match self {
            MetaLog::Embedded(log) => log.wait_past(offset).await,
        }
    }
}
