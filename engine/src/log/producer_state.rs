//! What a log remembers of the idempotent producers that wrote to it: the rules of KIP-98 on epochs and sequences.
//!
//! Pure: batches in, verdicts out. Kafka's ProducerStateManager and ProducerAppendInfo tell the rules:
//! - a batch equal in sequences to one of the producer's last five is a duplicate, answered with the first offset;
//! - a smaller epoch than the last one seen is refused;
//! - a new epoch starts at sequence 0, and within an epoch sequences leave no gap;
//! - a producer nothing is known of may start anywhere: its state expired, or retention took its records.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use thiserror::Error;

use super::transaction_index::AbortedTransaction;
use crate::batch::{BatchProducer, Origin};
use crate::planted::{self, Bug};
use crate::types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Batches kept per producer: the most a client may have in flight and still be idempotent.
pub const BATCHES_KEPT: usize = 5;
/// Producers remembered per log. A guess: at some 200 bytes each the worst log holds 50 MiB. Beyond it the producers
/// that were silent longest are forgotten, as if they had expired.
pub const PRODUCERS_MAX: usize = 1 << 18;

/// A batch a producer wrote.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct WrittenBatch {
    pub last_sequence: Sequence,
    pub last_offset: Offset,
    /// Records minus one, counting those that compaction took since.
    pub offset_delta: i32,
    pub timestamp: Timestamp,
}

impl WrittenBatch {
    pub fn first_sequence(&self) -> Sequence {
        if self.last_sequence == Sequence::NONE {
            return Sequence::NONE;
        }
        self.last_sequence.advance(self.offset_delta.saturating_neg())
    }

    pub fn first_offset(&self) -> Offset {
        self.last_offset.saturating_add(-i64::from(self.offset_delta))
    }
}

/// One producer's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    pub epoch: ProducerEpoch,
    /// Epoch of the transaction coordinator that wrote the last marker.
    pub coordinator_epoch: i32,
    /// Of its records, as the producer stamped them.
    pub last_timestamp: Timestamp,
    /// When it last wrote while this process ran, by our clock. Without it a producer that copies old records would be
    /// forgotten between two of its batches, and its retries stored twice.
    last_seen: Timestamp,
    pub current_transaction_start: Option<Offset>,
    /// Oldest first; the first `batch_count` count.
    batches: [WrittenBatch; BATCHES_KEPT],
    batch_count: u8,
}

impl ProducerEntry {
    pub fn new(epoch: ProducerEpoch) -> Self {
        ProducerEntry {
            epoch,
            coordinator_epoch: -1,
            last_timestamp: Timestamp::NONE,
            last_seen: Timestamp::NONE,
            current_transaction_start: None,
            batches: [WrittenBatch::default(); BATCHES_KEPT],
            batch_count: 0,
        }
    }

    pub fn batches(&self) -> &[WrittenBatch] {
        self.batches
            .get(..usize::from(self.batch_count))
            .unwrap_or_default()
    }

    pub fn last_batch(&self) -> Option<&WrittenBatch> {
        self.batches().last()
    }

    pub fn last_sequence(&self) -> Sequence {
        self.last_batch()
            .map_or(Sequence::NONE, |batch| batch.last_sequence)
    }

    /// Appends to the batches kept, forgetting the oldest when full.
    pub fn push(&mut self, batch: WrittenBatch) {
        if usize::from(self.batch_count) == BATCHES_KEPT {
            self.batches.rotate_left(1);
            self.batch_count -= 1;
        }
        if let Some(slot) = self.batches.get_mut(usize::from(self.batch_count)) {
            *slot = batch;
            self.batch_count += 1;
        }
    }

    fn move_to_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batch_count = 0;
        }
    }

    /// When it wrote last, as far as anybody knows.
    fn last_active(&self) -> Timestamp {
        self.last_timestamp.max(self.last_seen)
    }

    fn is_expired(&self, now: Timestamp, expiration_ms: i64) -> bool {
        self.current_transaction_start.is_none()
            && now.0.saturating_sub(self.last_active().0) >= expiration_ms
    }
}

/// Why a producer's batch is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProducerError {
    #[error("producer {producer} has epoch {found}, the last one seen is {expected}")]
    InvalidEpoch {
        producer: ProducerId,
        expected: ProducerEpoch,
        found: ProducerEpoch,
    },
    #[error("producer {producer} epoch {epoch}: sequence {found}, expected {expected}")]
    OutOfOrderSequence {
        producer: ProducerId,
        epoch: ProducerEpoch,
        expected: Sequence,
        found: Sequence,
    },
    #[error("producer {producer} writes outside its transaction, which is open since offset {since}")]
    TransactionOpen { producer: ProducerId, since: Offset },
}

/// What the log shall do with a batch that is not refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Append,
    /// It is in the log already.
    Duplicate(WrittenBatch),
}

/// A batch that is in the log now, as [`ProducerStates::record`] needs it.
#[derive(Copy, Clone, Debug)]
pub struct Appended {
    pub producer: BatchProducer,
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub max_timestamp: Timestamp,
    /// Our clock.
    pub now: Timestamp,
    pub is_transactional: bool,
    /// A transaction marker ends the transaction; the coordinator epoch it carries, when it was readable.
    pub marker: Option<Option<i32>>,
}

/// All producers of one log.
///
/// Invariants: an open transaction is listed under its first offset exactly while its producer's entry names it;
/// everything known stems from offsets below `end_offset`.
#[derive(Clone, Debug, Default)]
pub struct ProducerStates {
    producers: HashMap<ProducerId, ProducerEntry>,
    open_transactions: BTreeMap<Offset, ProducerId>,
    end_offset: Offset,
}

impl ProducerStates {
    /// Nothing known below `end_offset`.
    pub fn new(end_offset: Offset) -> Self {
        ProducerStates {
            end_offset,
            ..Default::default()
        }
    }

    /// The state a snapshot tells: of all records below `end_offset`.
    pub fn from_entries(
        end_offset: Offset,
        entries: impl IntoIterator<Item = (ProducerId, ProducerEntry)>,
        now: Timestamp,
        expiration_ms: i64,
    ) -> Self {
        let mut states = ProducerStates::new(end_offset);
        for (id, entry) in entries {
            if entry.is_expired(now, expiration_ms) {
                continue;
            }
            if let Some(start) = entry.current_transaction_start {
                states.open_transactions.insert(start, id);
            }
            states.producers.insert(id, entry);
        }
        states
    }

    pub fn len(&self) -> usize {
        self.producers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.producers.iter().map(|(id, entry)| (*id, entry))
    }

    pub fn get(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.producers.get(&id)
    }

    /// Offset behind the last batch this state knows of.
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Where the first open transaction began: nothing from there on is stable.
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let mut starts = self.open_transactions.keys().copied();
        if planted::is(Bug::LastStableFromNewest) {
            return starts.next_back();
        }
        starts.next()
    }

    /// The transaction that an abort marker of a producer ends, which lies at `last_offset` and is not recorded yet.
    pub fn aborted_by(&self, id: ProducerId, last_offset: Offset) -> Option<AbortedTransaction> {
        let first_offset = self.producers.get(&id)?.current_transaction_start?;
        let mut others = self.open_transactions.keys().copied();
        Some(AbortedTransaction {
            producer_id: id,
            first_offset,
            last_offset,
            last_stable_offset: others
                .find(|other| *other != first_offset)
                .unwrap_or(last_offset.next()),
        })
    }

    /// Judges a batch before it is appended.
    pub fn check(
        &self,
        producer: &BatchProducer,
        is_transactional: bool,
        is_control: bool,
        origin: Origin,
    ) -> Result<Verdict, ProducerError> {
        let Some(entry) = self.producers.get(&producer.id) else {
            return Ok(Verdict::Append);
        };
        if origin == Origin::Client
            && entry.epoch == producer.epoch
            && let Some(batch) = entry.batches().iter().find(|batch| {
                batch.first_sequence() == producer.base_sequence
                    && batch.last_sequence == producer.last_sequence
            })
        {
            return Ok(Verdict::Duplicate(*batch));
        }
        // A follower takes what the leader took; it judged already, and knew more.
        if origin == Origin::Replication {
            return Ok(Verdict::Append);
        }
        if producer.epoch < entry.epoch {
            return Err(ProducerError::InvalidEpoch {
                producer: producer.id,
                expected: entry.epoch,
                found: producer.epoch,
            });
        }
        if is_control {
            return Ok(Verdict::Append);
        }
        if origin == Origin::Client {
            let expected = if producer.epoch != entry.epoch {
                Sequence(0)
            } else {
                entry.last_sequence().advance(1)
            };
            if producer.base_sequence != expected {
                return Err(ProducerError::OutOfOrderSequence {
                    producer: producer.id,
                    epoch: producer.epoch,
                    expected,
                    found: producer.base_sequence,
                });
            }
        }
        match entry.current_transaction_start {
            Some(since) if !is_transactional && producer.epoch == entry.epoch => {
                Err(ProducerError::TransactionOpen {
                    producer: producer.id,
                    since,
                })
            }
            _ => Ok(Verdict::Append),
        }
    }

    /// Notes a batch that was appended, or is found in the log while it is read back.
    pub fn record(&mut self, batch: &Appended) {
        let producer = &batch.producer;
        let entry = self
            .producers
            .entry(producer.id)
            .or_insert_with(|| ProducerEntry::new(ProducerEpoch::NONE));
        entry.last_seen = entry.last_seen.max(batch.now);
        match batch.marker {
            Some(coordinator_epoch) => {
                entry.move_to_epoch(producer.epoch);
                entry.coordinator_epoch = coordinator_epoch.unwrap_or(entry.coordinator_epoch);
                entry.last_timestamp = batch.max_timestamp;
                if let Some(start) = entry.current_transaction_start.take() {
                    self.open_transactions.remove(&start);
                }
            }
            None => {
                entry.move_to_epoch(producer.epoch);
                entry.push(WrittenBatch {
                    last_sequence: producer.last_sequence,
                    last_offset: batch.last_offset,
                    offset_delta: i32::try_from(batch.last_offset.0.saturating_sub(batch.base_offset.0))
                        .unwrap_or(i32::MAX),
                    timestamp: batch.max_timestamp,
                });
                entry.last_timestamp = batch.max_timestamp;
                if batch.is_transactional && entry.current_transaction_start.is_none() {
                    entry.current_transaction_start = Some(batch.base_offset);
                    self.open_transactions.insert(batch.base_offset, producer.id);
                }
            }
        }
        self.advance_to(batch.last_offset.next());
        if self.producers.len() > PRODUCERS_MAX {
            self.forget_oldest();
        }
    }

    /// Notes that everything below `end_offset` has been seen, also batches without a producer.
    pub fn advance_to(&mut self, end_offset: Offset) {
        self.end_offset = self.end_offset.max(end_offset);
    }

    /// Forgets producers that have been silent for `expiration_ms`.
    pub fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        self.producers
            .retain(|_, entry| !entry.is_expired(now, expiration_ms));
    }

    /// Makes room for a quarter more: rare enough to pay for the sort.
    fn forget_oldest(&mut self) {
        let mut idle: Vec<(Timestamp, ProducerId)> = self
            .producers
            .iter()
            .filter(|(_, entry)| entry.current_transaction_start.is_none())
            .map(|(id, entry)| (entry.last_active(), *id))
            .collect();
        idle.sort_unstable();
        for (_, id) in idle.into_iter().take(PRODUCERS_MAX / 4) {
            self.producers.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, base: i32, records: i32) -> BatchProducer {
        BatchProducer {
            id: ProducerId(7),
            epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(base),
            last_sequence: Sequence(base).advance(records - 1),
        }
    }

    fn write(states: &mut ProducerStates, producer: BatchProducer) -> Result<Verdict, ProducerError> {
        let verdict = states.check(&producer, false, false, Origin::Client)?;
        if verdict == Verdict::Append {
            let base_offset = states.end_offset();
            let records = (i64::from(producer.last_sequence.0) - i64::from(producer.base_sequence.0))
                .rem_euclid(1 << 31);
            states.record(&Appended {
                producer,
                base_offset,
                last_offset: base_offset.saturating_add(records),
                max_timestamp: Timestamp(1000),
                now: Timestamp(1000),
                is_transactional: false,
                marker: None,
            });
        }
        Ok(verdict)
    }

    fn expected(error: Result<Verdict, ProducerError>) -> Option<i32> {
        match error {
            Err(ProducerError::OutOfOrderSequence { expected, .. }) => Some(expected.0),
            _ => None,
        }
    }

    #[test]
    fn the_last_five_batches_are_duplicates_and_the_sixth_is_out_of_order() {
        // A retry after a lost answer must neither be stored twice nor fail the producer.
        let mut states = ProducerStates::new(Offset(0));
        for i in 0..6 {
            assert_eq!(write(&mut states, batch(0, i * 10, 10)), Ok(Verdict::Append));
        }
        for i in 1..6 {
            let Ok(Verdict::Duplicate(first)) = write(&mut states, batch(0, i * 10, 10)) else {
                panic!("batch {i} is a duplicate");
            };
            assert_eq!(first.first_offset(), Offset(i64::from(i) * 10));
        }
        assert_eq!(expected(write(&mut states, batch(0, 0, 10))), Some(60));
        assert_eq!(expected(write(&mut states, batch(0, 50, 11))), Some(60));
        assert_eq!(expected(write(&mut states, batch(0, 61, 1))), Some(60));
        assert_eq!(states.end_offset(), Offset(60));
    }

    #[test]
    fn epochs_fence_and_restart_at_zero() {
        let mut states = ProducerStates::new(Offset(0));
        assert_eq!(write(&mut states, batch(3, 0, 1)), Ok(Verdict::Append));
        assert!(matches!(
            write(&mut states, batch(2, 1, 1)),
            Err(ProducerError::InvalidEpoch { .. })
        ));
        assert_eq!(expected(write(&mut states, batch(4, 1, 1))), Some(0));
        assert_eq!(write(&mut states, batch(4, 0, 1)), Ok(Verdict::Append));
    }

    #[test]
    fn an_unknown_producer_may_start_anywhere() {
        // After retention took its records a producer goes on with its old sequence; Kafka 4 accepts that.
        let mut states = ProducerStates::new(Offset(0));
        assert_eq!(write(&mut states, batch(0, 500, 1)), Ok(Verdict::Append));
        assert_eq!(expected(write(&mut states, batch(0, 502, 1))), Some(501));
        states.expire(Timestamp(1999), 1000);
        assert_eq!(states.len(), 1);
        states.expire(Timestamp(2000), 1000);
        assert_eq!(write(&mut states, batch(0, 900, 1)), Ok(Verdict::Append));
    }

    #[test]
    fn a_producer_of_old_records_is_remembered_while_it_writes() {
        // A copy of last year's topic must stay idempotent.
        let mut states = ProducerStates::new(Offset(0));
        states.record(&Appended {
            producer: batch(0, 0, 1),
            base_offset: Offset(0),
            last_offset: Offset(0),
            max_timestamp: Timestamp(5),
            now: Timestamp(1_000_000),
            is_transactional: false,
            marker: None,
        });
        states.expire(Timestamp(1_000_999), 1000);
        assert!(matches!(
            write(&mut states, batch(0, 0, 1)),
            Ok(Verdict::Duplicate(_))
        ));
        states.expire(Timestamp(1_001_000), 1000);
        assert!(states.is_empty());
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut states = ProducerStates::new(Offset(0));
        assert_eq!(write(&mut states, batch(0, i32::MAX - 1, 4)), Ok(Verdict::Append));
        assert!(matches!(
            write(&mut states, batch(0, i32::MAX - 1, 4)),
            Ok(Verdict::Duplicate(_))
        ));
        assert_eq!(write(&mut states, batch(0, 2, 1)), Ok(Verdict::Append));
    }

    #[test]
    fn an_open_transaction_holds_back_stability() {
        let mut states = ProducerStates::new(Offset(0));
        let mut append = Appended {
            producer: batch(0, 0, 1),
            base_offset: Offset(5),
            last_offset: Offset(5),
            max_timestamp: Timestamp(1),
            now: Timestamp(1),
            is_transactional: true,
            marker: None,
        };
        states.record(&append);
        assert_eq!(states.first_unstable_offset(), Some(Offset(5)));
        let outside = states.check(&batch(0, 1, 1), false, false, Origin::Client);
        assert!(matches!(
            outside,
            Err(ProducerError::TransactionOpen { since: Offset(5), .. })
        ));
        append = Appended {
            marker: Some(Some(9)),
            base_offset: Offset(6),
            last_offset: Offset(6),
            ..append
        };
        states.record(&append);
        assert_eq!(states.first_unstable_offset(), None);
        assert_eq!(
            states.get(ProducerId(7)).map(|entry| entry.coordinator_epoch),
            Some(9)
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut states = ProducerStates::new(Offset(0));
        for id in 0..=PRODUCERS_MAX as i64 {
            states.record(&Appended {
                producer: BatchProducer {
                    id: ProducerId(id),
                    ..batch(0, 0, 1)
                },
                base_offset: Offset(id),
                last_offset: Offset(id),
                max_timestamp: Timestamp(id),
                now: Timestamp(id),
                is_transactional: false,
                marker: None,
            });
        }
        assert!(states.len() <= PRODUCERS_MAX);
        assert!(states.get(ProducerId(0)).is_none());
        assert!(states.get(ProducerId(PRODUCERS_MAX as i64)).is_some());
    }
    #[test]
    fn a_producer_that_copies_old_records_is_not_the_first_to_be_forgotten() {
        // It would lose its sequences between two of its batches, and a retry would be stored twice.
        let mut states = ProducerStates::new(Offset(0));
        let mut write_as = |id: i64, stamped: i64, now: i64| {
            let offset = states.end_offset();
            states.record(&Appended {
                producer: BatchProducer {
                    id: ProducerId(id),
                    ..batch(0, 0, 1)
                },
                base_offset: offset,
                last_offset: offset,
                max_timestamp: Timestamp(stamped),
                now: Timestamp(now),
                is_transactional: false,
                marker: None,
            });
        };
        for id in 0..PRODUCERS_MAX as i64 {
            write_as(id, 1000 + id, 1000 + id);
        }
        let now = 1000 + PRODUCERS_MAX as i64;
        write_as(-7, 1, now); // one too many: a quarter goes
        assert!(states.len() <= PRODUCERS_MAX);
        assert!(states.get(ProducerId(-7)).is_some());
        assert!(states.get(ProducerId(0)).is_none());
    }
}
