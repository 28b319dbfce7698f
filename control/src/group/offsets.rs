//! What groups have committed. Durable state: it changes by `replay` only.

use std::collections::{BTreeMap, BTreeSet};

use engine::types::ProducerId;

use super::per_partition::PerPartition;
use super::record::{OffsetCommitKey, OffsetCommitValue};

/// How a transaction ended, as its marker says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TransactionResult {
    Commit,
    Abort,
}

/// A committed offset, and when in the order of the log it was.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) value: OffsetCommitValue,
    /// Position of the record among all that were replayed. A transactional offset becomes visible with its marker
    /// but counts from its record: a plain commit in between is the newer one.
    order: u64,
}

/// Invariant: `producers_by_group` names a producer for a group exactly while `by_producer` has an entry for that
/// producer and had a record of that group in it.
#[derive(Default)]
pub(super) struct Offsets {
    committed: PerPartition<Committed>,
    by_producer: BTreeMap<ProducerId, PerPartition<Committed>>,
    producers_by_group: BTreeMap<String, BTreeSet<ProducerId>>,
    replayed: u64,
}

impl Offsets {
    pub(super) fn replay(
        &mut self,
        producer: Option<ProducerId>,
        key: &OffsetCommitKey,
        value: Option<OffsetCommitValue>,
    ) {
        self.replayed += 1;
        let (group, topic, partition) = (key.group.as_str(), key.topic.as_str(), key.partition);
        match (value, producer) {
            (Some(value), None) => {
                self.committed.insert(
                    group,
                    topic,
                    partition,
                    Committed {
                        value,
                        order: self.replayed,
                    },
                );
            }
            (Some(value), Some(producer)) => {
                let committed = Committed {
                    value,
                    order: self.replayed,
                };
                self.by_producer
                    .entry(producer)
                    .or_default()
                    .insert(group, topic, partition, committed);
                self.producers_by_group
                    .entry(group.to_owned())
                    .or_default()
                    .insert(producer);
            }
            (None, _) => {
                self.committed.remove(group, topic, partition);
                // a tombstone also ends what open transactions wrote for the partition
                for producer in self.producers_by_group.get(group).into_iter().flatten() {
                    if let Some(offsets) = self.by_producer.get_mut(producer) {
                        offsets.remove(group, topic, partition);
                    }
                }
            }
        }
    }

    pub(super) fn replay_end_transaction(&mut self, producer: ProducerId, result: TransactionResult) {
        let Some(offsets) = self.by_producer.remove(&producer) else {
            return;
        };
        self.producers_by_group.retain(|_, producers| {
            producers.remove(&producer);
            !producers.is_empty()
        });
        if result == TransactionResult::Abort {
            return;
        }
        for (group, topic, partition, offset) in offsets.into_entries() {
            let newer = self
                .committed
                .get(&group, &topic, partition)
                .is_some_and(|c| c.order > offset.order);
            if !newer {
                self.committed.insert(&group, &topic, partition, offset);
            }
        }
    }

    pub(super) fn committed(&self) -> &PerPartition<Committed> {
        &self.committed
    }

    pub(super) fn has_open_transaction(&self, group: &str) -> bool {
        self.producers_by_group.contains_key(group)
    }

    /// Whether an open transaction has written an offset for the partition.
    pub(super) fn is_in_transaction(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.transactional(group)
            .any(|offsets| offsets.get(group, topic, partition).is_some())
    }

    /// Every partition the group has an offset for, committed or in an open transaction.
    pub(super) fn partitions_of(&self, group: &str) -> BTreeSet<(String, i32)> {
        let committed = self.committed.of_group(group);
        let transactional = self
            .transactional(group)
            .flat_map(|offsets| offsets.of_group(group));
        committed
            .chain(transactional)
            .map(|(topic, partition, _)| (topic.to_owned(), partition))
            .collect()
    }

    /// Every (group, topic, partition) in an open transaction.
    pub(super) fn transactional_partitions(&self) -> impl Iterator<Item = (&str, &str, i32)> {
        self.by_producer
            .values()
            .flat_map(|o| o.iter().map(|(group, topic, p, _)| (group, topic, p)))
    }

    /// Groups with any offset.
    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        self.committed
            .groups()
            .chain(self.producers_by_group.keys().map(String::as_str))
    }

    pub(super) fn contains_group(&self, group: &str) -> bool {
        self.committed.contains_group(group) || self.has_open_transaction(group)
    }

    fn transactional(&self, group: &str) -> impl Iterator<Item = &PerPartition<Committed>> {
        self.producers_by_group
            .get(group)
            .into_iter()
            .flatten()
            .filter_map(|p| self.by_producer.get(p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::types::{LeaderEpoch, Offset, Timestamp};

    fn key() -> OffsetCommitKey {
        OffsetCommitKey {
            group: "g".into(),
            topic: "t".into(),
            partition: 0,
        }
    }

    fn value(offset: i64) -> Option<OffsetCommitValue> {
        Some(OffsetCommitValue {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch::NONE,
            metadata: String::new(),
            commit_timestamp: Timestamp(0),
            expire_timestamp: None,
            topic_id: None,
        })
    }

    fn offset(offsets: &Offsets) -> Option<i64> {
        offsets.committed().get("g", "t", 0).map(|c| c.value.offset.0)
    }

    /// An aborted transaction's offsets seen by a consumer would skip records that were never processed.
    #[test]
    fn transactional_offsets_wait_for_their_marker() {
        let producer = ProducerId(7);
        let mut offsets = Offsets::default();
        offsets.replay(Some(producer), &key(), value(5));
        assert_eq!(offset(&offsets), None);
        assert!(offsets.is_in_transaction("g", "t", 0));
        offsets.replay_end_transaction(producer, TransactionResult::Abort);
        assert_eq!(offset(&offsets), None);
        assert!(!offsets.contains_group("g"));

        offsets.replay(Some(producer), &key(), value(6));
        offsets.replay_end_transaction(producer, TransactionResult::Commit);
        assert_eq!(offset(&offsets), Some(6));
    }

    /// Compaction may drop the older of two commits; the answer must not depend on whether it did.
    #[test]
    fn a_plain_commit_after_the_transactional_record_wins() {
        let producer = ProducerId(7);
        let mut offsets = Offsets::default();
        offsets.replay(Some(producer), &key(), value(5));
        offsets.replay(None, &key(), value(9));
        offsets.replay_end_transaction(producer, TransactionResult::Commit);
        assert_eq!(offset(&offsets), Some(9));
    }

    #[test]
    fn a_tombstone_reaches_into_open_transactions() {
        let producer = ProducerId(7);
        let mut offsets = Offsets::default();
        offsets.replay(None, &key(), value(1));
        offsets.replay(Some(producer), &key(), value(5));
        offsets.replay(None, &key(), None);
        offsets.replay_end_transaction(producer, TransactionResult::Commit);
        assert_eq!(offset(&offsets), None);
    }
}
