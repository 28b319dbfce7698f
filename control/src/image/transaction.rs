//! Changes too large for one batch of the metadata log take several, between a begin and an end record (KIP-868).

use thiserror::Error;

use crate::record::Record;

/// A begin, end or abort record where there can be none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransactionError {
    #[error("a metadata transaction begins within another")]
    Nested,
    #[error("{0} without a metadata transaction")]
    NotOpen(&'static str),
}

/// Gives out the records that take effect, in order: those outside transactions at once, those inside when their
/// transaction ends. Held records are bounded by what one request may change.
#[derive(Debug, Default)]
pub struct TransactionAssembler {
    open: Option<Vec<Record>>,
}

impl TransactionAssembler {
    /// Takes one batch of the log; the answer may be empty.
    pub fn push(&mut self, batch: Vec<Record>) -> Result<Vec<Record>, TransactionError> {
        let mut effective = Vec::with_capacity(batch.len());
        for record in batch {
            let kind = record.kind();
            match (record, &mut self.open) {
                (Record::BeginTransaction(_), open @ None) => *open = Some(Vec::new()),
                (Record::BeginTransaction(_), Some(_)) => return Err(TransactionError::Nested),
                (Record::EndTransaction(_), open) => {
                    effective.append(&mut open.take().ok_or(TransactionError::NotOpen(kind))?);
                }
                (Record::AbortTransaction(_), open) => {
                    open.take().ok_or(TransactionError::NotOpen(kind))?;
                }
                (record, Some(held)) => held.push(record),
                (record, None) => effective.push(record),
            }
        }
        Ok(effective)
    }

    /// A transaction has begun and not ended. At the end of the log this is what a crash left; the next controller
    /// aborts it.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{
        AbortTransactionRecord, BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord,
    };

    fn feature(level: i16) -> Record {
        FeatureLevelRecord {
            name: "f".to_owned(),
            feature_level: level,
            ..FeatureLevelRecord::default()
        }
        .into()
    }

    fn begin() -> Record {
        BeginTransactionRecord::default().into()
    }

    fn end() -> Record {
        EndTransactionRecord::default().into()
    }

    fn abort() -> Record {
        AbortTransactionRecord::default().into()
    }

    #[test]
    fn a_transaction_takes_effect_at_its_end_or_never() {
        // Half of a topic's partitions would otherwise show after a crash in the middle of creating it.
        let mut assembler = TransactionAssembler::default();
        assert_eq!(
            assembler.push(vec![feature(1), begin(), feature(2)]),
            Ok(vec![feature(1)])
        );
        assert!(assembler.is_open());
        assert_eq!(assembler.push(vec![feature(3)]), Ok(vec![]));
        assert_eq!(
            assembler.push(vec![end(), feature(4)]),
            Ok(vec![feature(2), feature(3), feature(4)])
        );
        assert_eq!(assembler.push(vec![begin(), feature(5), abort()]), Ok(vec![]));
        assert!(!assembler.is_open());
    }

    #[test]
    fn begins_and_ends_pair() {
        // A log where they do not was not written by one controller at a time.
        let mut assembler = TransactionAssembler::default();
        assert_eq!(
            assembler.push(vec![end()]),
            Err(TransactionError::NotOpen("EndTransactionRecord"))
        );
        assert_eq!(assembler.push(vec![begin()]), Ok(vec![]));
        assert_eq!(assembler.push(vec![begin()]), Err(TransactionError::Nested));
    }
}
