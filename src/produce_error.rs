//! Why an append was refused, and Kafka's code for it: the one place where storage faults become wire codes.

use engine::batch::{BatchError, BatchFault, BuildError};
use engine::log::{AppendError, DiskFault, ProducerError};
use net::error::ErrorCode;
use net::produce::{BatchIndexError, ProducePartitionResponse};

use crate::partition::TooFewInSync;
use crate::replica::Unacknowledged;

/// Why records were not appended.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    #[error("{0}")]
    Batch(#[from] BatchError),
    #[error("{0}")]
    Append(#[from] AppendError),
    #[error("{0}")]
    Disk(#[from] DiskFault),
    #[error("{0}")]
    Build(#[from] BuildError),
    #[error("the partition is not served here: {0}")]
    Unavailable(ErrorCode),
    #[error("in-sync replicas {}, the topic demands {}", .0.in_sync, .0.minimum)]
    NotEnoughReplicas(TooFewInSync),
    #[error("appended, but in-sync replicas {}, the topic demands {}", .0.in_sync, .0.minimum)]
    NotEnoughReplicasAfterAppend(TooFewInSync),
    #[error("appended, but not on all replicas in sync in time")]
    TimedOut,
    /// Another broker may lead already: whether the records stay is up to it.
    #[error("this broker has ceased to lead the partition, or may have")]
    Deposed,
    /// Kafka, which goes on until the disk is full to the last block, then takes it offline.
    #[error("the disk is full; retry when there is room again")]
    NoRoom,
    #[error("no records for the partition")]
    NoRecords,
    /// Nobody could ever end its transaction: read_committed consumers would stop in front of it for ever.
    #[error("a transactional batch, and this broker has no transaction coordinator")]
    Transactional,
}

impl From<Unacknowledged> for ProduceError {
    fn from(_: Unacknowledged) -> ProduceError {
        ProduceError::Deposed
    }
}

impl ProduceError {
    /// Kafka's code for it.
    pub fn code(&self) -> ErrorCode {
        match self {
            ProduceError::Batch(error) => match error.fault() {
                BatchFault::Corrupt => ErrorCode::CorruptMessage,
                BatchFault::InvalidRecord => ErrorCode::InvalidRecord,
                BatchFault::InvalidTimestamp => ErrorCode::InvalidTimestamp,
                BatchFault::TooLarge => ErrorCode::MessageTooLarge,
                BatchFault::UnsupportedCompression => ErrorCode::UnsupportedCompressionType,
            },
            ProduceError::Append(error) => match error {
                AppendError::Offline(_) | AppendError::DiskFull { .. } => ErrorCode::KafkaStorageError,
                AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
                AppendError::UnexpectedOffset { .. } => ErrorCode::UnknownServerError,
                AppendError::StaleEpoch { .. } => ErrorCode::NotLeaderOrFollower,
                AppendError::Producer { source, .. } => match source {
                    ProducerError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
                    ProducerError::InvalidEpoch { .. } => ErrorCode::InvalidProducerEpoch,
                    ProducerError::TransactionOpen { .. } => ErrorCode::InvalidTxnState,
                },
            },
            ProduceError::Disk(_) | ProduceError::NoRoom => ErrorCode::KafkaStorageError,
            ProduceError::Build(_) => ErrorCode::UnknownServerError,
            ProduceError::Unavailable(code) => *code,
            ProduceError::NotEnoughReplicas(_) => ErrorCode::NotEnoughReplicas,
            ProduceError::NotEnoughReplicasAfterAppend(_) => ErrorCode::NotEnoughReplicasAfterAppend,
            ProduceError::TimedOut => ErrorCode::RequestTimedOut,
            ProduceError::Deposed => ErrorCode::NotLeaderOrFollower,
            ProduceError::NoRecords => ErrorCode::InvalidRecord,
            ProduceError::Transactional => ErrorCode::InvalidTxnState,
        }
    }

    /// The answer for partition `index`: the code, why, and which records are to blame.
    pub fn to_response(&self, index: i32) -> ProducePartitionResponse {
        let record_errors = match self {
            ProduceError::Batch(error) => error.record_errors(),
            _ => &[],
        };
        let record_errors = record_errors.iter().map(|error| BatchIndexError {
            batch_index: i32::try_from(error.index).unwrap_or(i32::MAX),
            message: Some(error.to_string()),
        });
        ProducePartitionResponse {
            record_errors: record_errors.collect(),
            error_message: Some(self.to_string()),
            ..ProducePartitionResponse::refused(index, self.code())
        }
    }
}
