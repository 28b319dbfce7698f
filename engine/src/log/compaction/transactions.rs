//! What compaction knows of transactions while it walks the log: whose records were aborted, and which markers have nothing left
//! to mark.
//!
//! Batches are given in the order of the log, from a place on where the aborted transactions were added.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use crate::batch::{Batch, ControlRecordType};
use crate::log::AbortedTransaction;
use crate::log::transaction_index::{Marker, marker};
use crate::planted::{self, Bug};
use crate::types::{Offset, ProducerId};

/// Bounded by the producers with a transaction open at some offset, and by the aborted transactions of one segment.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Producers with records of a transaction that was not aborted, whose marker has not been met yet.
    committed: HashSet<ProducerId>,
    aborted: HashMap<ProducerId, Aborted>,
    /// Aborted transactions that begin further on.
    upcoming: BTreeMap<(Offset, ProducerId), AbortedTransaction>,
    /// For the segment that is being written: transactions that still had records.
    index: Vec<AbortedTransaction>,
}

#[derive(Debug)]
struct Aborted {
    transaction: AbortedTransaction,
    has_records: bool,
}

impl Transactions {
    /// Adds the aborted transactions that touch the next segment. Those known already are added again without harm.
    pub(super) fn add(&mut self, aborted: impl IntoIterator<Item = AbortedTransaction>) {
        for transaction in aborted {
            let key = (transaction.first_offset, transaction.producer_id);
            self.upcoming.insert(key, transaction);
        }
    }

    /// Whether a batch of records belongs to an aborted transaction.
    pub(super) fn is_aborted(&mut self, batch: &Batch<'_>) -> bool {
        self.move_to(batch.last_offset());
        let Some(producer) = batch.producer().filter(|_| batch.attributes().is_transactional()) else {
            return false;
        };
        match self.aborted.get_mut(&producer.id) {
            Some(aborted) => {
                aborted.has_records = true;
                true
            }
            None => {
                self.committed.insert(producer.id);
                false
            }
        }
    }

    /// Whether a control batch is a marker of a transaction that has no batches left, or was emptied itself.
    pub(super) fn is_superfluous(&mut self, control: &Batch<'_>) -> bool {
        self.move_to(control.last_offset());
        let Some(producer) = control.producer() else {
            return false;
        };
        match marker(control) {
            Marker::Of(ControlRecordType::Abort) => match self.aborted.remove(&producer.id) {
                Some(aborted) if aborted.has_records => {
                    self.index.push(aborted.transaction);
                    false
                }
                _ => true,
            },
            Marker::Of(ControlRecordType::Commit) => {
                !self.committed.remove(&producer.id) || planted::is(Bug::MarkerBeforeBatches)
            }
            Marker::Emptied => true,
            Marker::Of(_) | Marker::Unreadable => false,
        }
    }

    /// The index of the segment that was written since the last call.
    pub(super) fn take_index(&mut self) -> Vec<AbortedTransaction> {
        std::mem::take(&mut self.index)
    }

    fn move_to(&mut self, offset: Offset) {
        while let Some(first) = self.upcoming.first_entry()
            && first.key().0 <= offset
        {
            let transaction = first.remove();
            self.aborted.entry(transaction.producer_id).or_insert(Aborted {
                transaction,
                has_records: false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::batch::{BatchBuilder, EndTransactionMarker};
    use crate::types::{ProducerEpoch, Sequence, Timestamp};

    fn records(offset: i64, producer: i64) -> BytesMut {
        let mut builder = BatchBuilder::new(Offset(offset))
            .producer(ProducerId(producer), ProducerEpoch(0), Sequence(0))
            .transactional();
        builder.append(Timestamp(1), Some(b"key"), Some(b"value"));
        builder.build().unwrap()
    }

    fn end(offset: i64, producer: i64, kind: ControlRecordType) -> BytesMut {
        let mut builder = BatchBuilder::new(Offset(offset))
            .producer(ProducerId(producer), ProducerEpoch(0), Sequence::NONE)
            .transactional()
            .control();
        let value = EndTransactionMarker { coordinator_epoch: 0 }.value();
        builder.append(Timestamp(1), Some(&kind.key()), Some(&value));
        builder.build().unwrap()
    }

    fn aborted(producer: i64, first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(producer),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(last + 1),
        }
    }

    #[test]
    fn aborted_and_committed_transactions_of_one_producer_are_told_apart() {
        // Taking a committed transaction for an aborted one loses its records.
        let mut transactions = Transactions::default();
        transactions.add([aborted(7, 2, 3), aborted(7, 2, 3)]);
        let is_aborted = |transactions: &mut Transactions, bytes: &[u8]| {
            transactions.is_aborted(&Batch::only(bytes).unwrap())
        };
        let is_superfluous = |transactions: &mut Transactions, bytes: &[u8]| {
            transactions.is_superfluous(&Batch::only(bytes).unwrap())
        };
        assert!(!is_aborted(&mut transactions, &records(0, 7)));
        assert!(!is_superfluous(
            &mut transactions,
            &end(1, 7, ControlRecordType::Commit)
        ));
        assert!(is_aborted(&mut transactions, &records(2, 7)));
        assert!(!is_superfluous(
            &mut transactions,
            &end(3, 7, ControlRecordType::Abort)
        ));
        assert!(!is_aborted(&mut transactions, &records(4, 7)));
        assert!(!is_superfluous(
            &mut transactions,
            &end(5, 7, ControlRecordType::Commit)
        ));
        assert_eq!(transactions.take_index(), [aborted(7, 2, 3)]);
        assert!(transactions.take_index().is_empty());
    }

    #[test]
    fn markers_without_records_are_superfluous() {
        let mut transactions = Transactions::default();
        transactions.add([aborted(7, 0, 3)]);
        for (offset, kind) in [(3, ControlRecordType::Abort), (4, ControlRecordType::Commit)] {
            let marker = end(offset, 7, kind);
            assert!(transactions.is_superfluous(&Batch::only(&marker).unwrap()));
        }
        let other = end(5, 7, ControlRecordType::LeaderChange);
        assert!(!transactions.is_superfluous(&Batch::only(&other).unwrap()));
        assert!(transactions.take_index().is_empty());
    }
}
