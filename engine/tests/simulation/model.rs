//! What a log must be: everything that was appended to it, and how much of that was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use engine::batch::{
    Batch, BatchBuilder, BatchInfo, Codec, ControlRecordType, EndTransactionMarker, Limits, Origin,
    TimestampType, assign, set_log_append_time, validate,
};
use engine::directory::TopicPartition;
use engine::log::{AbortedTransaction, LogConfig, ProducerInfo};
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use reactor::sim::Chance;

use crate::transactions::{OpenTransaction, Role, Transactions};

/// A record as compaction sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub offset: Offset,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

pub fn rows_of(batch: &Batch<'_>) -> Option<Vec<Row>> {
    let records = batch.records(1 << 24).ok()?;
    records
        .iter()
        .map(|record| {
            let record = record.ok()?;
            Some(Row {
                offset: record.offset,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
            })
        })
        .collect()
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Sequenced {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    pub base: Sequence,
    pub last: Sequence,
}

/// Who sends a batch of records.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    Unknown,
    Idempotent(ProducerId),
    Transactional(ProducerId),
}

/// A batch on its way.
pub struct Draft {
    pub sent: BytesMut,
    pub info: BatchInfo,
    pub producer: Option<Sequenced>,
    pub role: Role,
}

impl Draft {
    /// The bytes the log is to hold.
    pub fn stored_at(&self, base: Offset, epoch: LeaderEpoch, append_time: Timestamp) -> Bytes {
        let mut bytes = self.sent.clone();
        if append_time.is_some() {
            set_log_append_time(&mut bytes, append_time);
        }
        assign(&mut bytes, base, epoch);
        bytes.freeze()
    }
}

/// A batch in the log, or one whose append failed and that may be there all the same.
#[derive(Clone, Debug)]
pub struct Entry {
    pub base: Offset,
    pub last: Offset,
    pub epoch: LeaderEpoch,
    pub stored: Bytes,
    pub sent: Bytes,
    pub producer: Option<Sequenced>,
    pub role: Role,
    /// When it was appended.
    pub time: Timestamp,
}

impl Entry {
    pub fn next(&self) -> Offset {
        self.last.next()
    }

    pub fn is_marker(&self) -> bool {
        matches!(self.role, Role::Marker(_))
    }

    pub fn rows(&self) -> Vec<Row> {
        Batch::only(&self.stored)
            .ok()
            .and_then(|batch| rows_of(&batch))
            .expect("the model's own batch")
    }
}

/// One partition.
pub struct LogModel {
    pub partition: TopicPartition,
    pub config: Rc<LogConfig>,
    /// Open transactions hold compaction up: some logs have none.
    pub has_transactions: bool,
    /// Its directory was made and synced.
    pub exists: bool,
    /// In order; what was appended and, as far as known, not lost.
    pub entries: Vec<Entry>,
    /// Appends that failed: refused, but perhaps on the disk.
    pub ghosts: Vec<Entry>,
    /// What was acknowledged as durable ends here.
    pub acked: Offset,
    /// Greatest recovery point the log has told.
    pub flushed: Offset,
    /// What was acknowledged by a log that promises the page cache only.
    pub acked_cached: Offset,
    /// The power was cut since the log was last checked.
    pub power_lost: bool,
    /// Compaction may have gone by records of producers that power took. For good: their earlier batches are gone.
    pub has_lost_newer: bool,
    /// Where the log ended when it was last checked.
    pub recovered_end: Offset,
    /// Log start as last seen, and as last known to outlive everything.
    pub start: Offset,
    pub start_durable: Offset,
    /// The greatest there ever was.
    pub start_max: Offset,
    pub epoch: LeaderEpoch,
    /// What the log must know of the producers: their epochs and last sequences.
    pub producers: BTreeMap<ProducerId, Sequenced>,
    pub transactions: Transactions,
    /// What was there before the log start: some of it belongs to transactions that go on behind it.
    pub before_start: Vec<Entry>,
    /// The greatest log start that a load began at: transactions from before may be known, or not.
    pub loaded_from: Offset,
    /// It is being cut: nothing else happens to it.
    pub is_frozen: bool,
    /// How often it was cut.
    pub cuts: u32,
    /// Bits were flipped in its files: completeness is no longer asked for.
    pub rotted: bool,
}

impl LogModel {
    pub fn new(number: i32, config: LogConfig, has_transactions: bool) -> LogModel {
        LogModel {
            partition: TopicPartition::new("log", number),
            config: Rc::new(config),
            has_transactions,
            exists: false,
            entries: Vec::new(),
            ghosts: Vec::new(),
            acked: Offset(0),
            flushed: Offset(0),
            acked_cached: Offset(0),
            power_lost: false,
            has_lost_newer: false,
            recovered_end: Offset(0),
            start: Offset(0),
            start_durable: Offset(0),
            start_max: Offset(0),
            epoch: LeaderEpoch(0),
            producers: BTreeMap::new(),
            transactions: Transactions::default(),
            before_start: Vec::new(),
            loaded_from: Offset(0),
            is_frozen: false,
            cuts: 0,
            rotted: false,
        }
    }

    pub fn is_compacted(&self) -> bool {
        self.config.cleanup_policy.compact
    }

    pub fn end(&self) -> Offset {
        let last = self.entries.last().map_or(self.start, Entry::next);
        last.max(self.start).max(self.recovered_end)
    }

    /// The batch that was appended at `base`.
    pub fn appended_at(&self, base: Offset) -> Option<&Entry> {
        let found = self.entries.binary_search_by_key(&base, |entry| entry.base).ok();
        found.and_then(|index| self.entries.get(index))
    }

    /// Candidates for the batch at `base`: the one that was appended, then those that failed.
    pub fn at(&self, base: Offset) -> impl Iterator<Item = &Entry> {
        self.appended_at(base)
            .into_iter()
            .chain(self.ghosts.iter().filter(move |ghost| ghost.base == base))
    }

    /// What is known of every producer by its batches: where the last one is, and what its epoch and sequence are then.
    pub fn last_of_producers(&self) -> BTreeMap<ProducerId, (Offset, Sequenced)> {
        let mut last: BTreeMap<ProducerId, (Offset, Sequenced)> = BTreeMap::new();
        for entry in &self.entries {
            let Some(producer) = entry.producer else { continue };
            let before = last.get(&producer.id).copied();
            let known = match before.filter(|before| entry.is_marker() && before.1.epoch == producer.epoch) {
                Some(before) => before,
                None => (entry.base, producer),
            };
            last.insert(producer.id, known);
        }
        last
    }

    /// The last batch of records of a producer.
    pub fn last_of(&self, id: ProducerId) -> Option<&Entry> {
        self.entries
            .iter()
            .rev()
            .find(|entry| !entry.is_marker() && entry.producer.is_some_and(|producer| producer.id == id))
    }

    /// A batch as a producer would send it.
    pub fn draft(&self, sender: Sender, now: Timestamp, chance: &mut Chance) -> Draft {
        let count = 1 + chance.index(4) as i32;
        let mut sequenced = None;
        let mut role = Role::Plain;
        let mut builder = BatchBuilder::new(Offset(0));
        if chance.below(8) == 0 {
            builder = builder.compression(Codec::Lz4);
        }
        if let Sender::Idempotent(id) | Sender::Transactional(id) = sender {
            let last = self.producers.get(&id).copied();
            let (epoch, base) = match last {
                None => (ProducerEpoch(0), Sequence(0)),
                // a producer that was restarted; its coordinator has ended what it left open
                Some(last) if chance.below(20) == 0 && !self.transactions.open.contains_key(&id) => {
                    (ProducerEpoch(last.epoch.0 + 1), Sequence(0))
                }
                Some(last) => (last.epoch, last.last.advance(1)),
            };
            builder = builder.producer(id, epoch, base);
            let last = base.advance(count - 1);
            sequenced = Some(Sequenced {
                id,
                epoch,
                base,
                last,
            });
        }
        if let Sender::Transactional(_) = sender {
            builder = builder.transactional();
            role = Role::Transactional;
        }
        for _ in 0..count {
            let key = format!("key-{}", chance.below(6));
            let value_bytes = chance.pick(&[0, 3, 40, 40, 200, 700]);
            let value: Vec<u8> = (0..value_bytes).map(|_| b'a' + chance.below(26) as u8).collect();
            let is_tombstone = self.is_compacted() && chance.below(5) == 0;
            builder.append(now, Some(key.as_bytes()), (!is_tombstone).then_some(&value[..]));
        }
        let sent = builder.build().expect("a batch");
        let info = validate(&sent, &Limits::default()).expect("a valid batch");
        Draft {
            sent,
            info,
            producer: sequenced,
            role,
        }
    }

    /// The marker that ends a producer's transaction, as its coordinator would send it; without one it marks nothing. With the
    /// marker the producer may get its next epoch.
    pub fn marker(&self, id: ProducerId, now: Timestamp, chance: &mut Chance) -> Draft {
        let open = self.transactions.open.get(&id);
        let kind = match open {
            // What was decided stays decided: a marker that was lost is written again.
            Some(open) if decides_to_abort(id, open.first) => ControlRecordType::Abort,
            Some(_) => ControlRecordType::Commit,
            None => chance.pick(&[ControlRecordType::Abort, ControlRecordType::Commit]),
        };
        let epoch = self.producers.get(&id).map_or(0, |last| last.epoch.0);
        let sequenced = Sequenced {
            id,
            epoch: ProducerEpoch(epoch + i16::from(chance.below(4) == 0)),
            base: Sequence::NONE,
            last: Sequence::NONE,
        };
        let value = EndTransactionMarker { coordinator_epoch: 3 }.value();
        let mut builder = BatchBuilder::new(Offset(0))
            .producer(id, sequenced.epoch, Sequence::NONE)
            .transactional()
            .control();
        builder.append(now, Some(&kind.key()), Some(&value));
        let sent = builder.build().expect("a batch");
        let limits = Limits {
            origin: Origin::Coordinator,
            ..Limits::default()
        };
        Draft {
            info: validate(&sent, &limits).expect("a valid batch"),
            sent,
            producer: Some(sequenced),
            role: Role::Marker(kind),
        }
    }

    /// Reads the transactions from the batches.
    pub fn learn_transactions(&mut self) {
        self.transactions = Transactions::of(self.before_start.iter().chain(&self.entries));
    }

    /// Whether the batches tell all about the transactions. Where bits were flipped they do not, nor where compaction may have gone by
    /// markers that power or a cut took.
    pub fn tells_transactions(&self) -> bool {
        !(self.rotted || self.has_lost_newer || self.is_compacted() && self.cuts > 0)
    }

    /// Whether the log may take a transaction for one that begins earlier, at `found`: a snapshot from before says that there was one of
    /// the same producer, and compaction took all of that, its marker at last. Readers lose nothing by it, since nothing lies between.
    pub fn may_reach_back(&self, found: Offset, first: Offset) -> bool {
        self.is_compacted() && found < first
    }

    /// Whether the log may take an open transaction for one that begins at `found`, since it may not know what lies before a log start.
    pub fn may_forget(&self, open: &OpenTransaction, found: Option<Offset>) -> bool {
        let mut batches = open.batches.iter();
        open.first < self.loaded_from
            && match found {
                Some(found) => batches.any(|batch| batch.0 == found),
                None => batches.all(|batch| batch.1 < self.loaded_from),
            }
    }

    /// Goes by what the log says of producers, once that was checked.
    pub fn learn_producers(&mut self, rows: &[(ProducerId, ProducerEpoch, Sequence)]) {
        let known = rows.iter().map(|(id, epoch, last)| {
            let sequenced = Sequenced {
                id: *id,
                epoch: *epoch,
                base: *last,
                last: *last,
            };
            (*id, sequenced)
        });
        self.producers = known.collect();
    }

    pub fn push(&mut self, entry: Entry) {
        if let Some(producer) = entry.producer {
            let before = self.producers.get(&producer.id);
            let is_known = before.is_some_and(|before| before.epoch == producer.epoch);
            if !(entry.is_marker() && is_known) {
                self.producers.insert(producer.id, producer);
            }
        }
        self.transactions.note(&entry);
        self.entries.push(entry);
    }

    pub fn append_time(&self, now: Timestamp) -> Timestamp {
        match self.config.message_timestamp_type {
            TimestampType::LogAppendTime => now,
            TimestampType::CreateTime => Timestamp::NONE,
        }
    }
}

/// Half of them, by what cannot change.
fn decides_to_abort(id: ProducerId, first: Offset) -> bool {
    Chance::new(id.0 as u64 ^ (first.0 as u64) << 8).coin()
}

/// What a log shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    pub start: Offset,
    pub end: Offset,
    pub batches: Vec<Bytes>,
    /// (id, epoch, last sequence), in order.
    pub producers: Vec<(ProducerId, ProducerEpoch, Sequence)>,
    /// All that lies before is decided.
    pub stable: Offset,
    pub aborted: Vec<AbortedTransaction>,
}

impl Dump {
    /// The same log, perhaps with more behind its end.
    pub fn continues(&self, other: &Dump) -> bool {
        let is_same = || {
            self.start == other.start
                && self.end == other.end
                && self.batches == other.batches
                && self.producers_with_records() == other.producers_with_records()
                && self.aborted_with_records() == other.aborted_with_records()
                && (self.stable == other.stable || self.forgets() || other.forgets())
        };
        is_same()
            || self.start == other.start
                && self.end > other.end
                && self.batches.starts_with(&other.batches)
                && self
                    .aborted_with_records()
                    .is_superset(&other.aborted_with_records())
    }

    /// Whether a transaction may be open that begins before the log start, and that not every start knows of.
    fn forgets(&self) -> bool {
        self.start > Offset(0) && self.stable == self.start
    }

    /// Of whose records something is there: by producer and marker.
    fn aborted_with_records(&self) -> BTreeSet<(ProducerId, Offset)> {
        let has_records = |row: &&AbortedTransaction| {
            let mut batches = self.batches.iter().filter_map(|bytes| Batch::only(bytes).ok());
            batches.any(|batch| {
                let base = batch.base_offset();
                batch.attributes().is_transactional()
                    && (row.first_offset..row.last_offset).contains(&base)
                    && batch
                        .producer()
                        .is_some_and(|producer| producer.id == row.producer_id)
            })
        };
        let rows = self.aborted.iter().filter(has_records);
        rows.map(|row| (row.producer_id, row.last_offset)).collect()
    }

    /// Whose records are all deleted may be forgotten: only a snapshot tells of those, and not every start can use the newest. Of whom
    /// only markers are left the sequence may be.
    fn producers_with_records(&self) -> Vec<(ProducerId, ProducerEpoch, Sequence)> {
        let batches: Vec<Batch<'_>> = self
            .batches
            .iter()
            .filter_map(|bytes| Batch::only(bytes).ok())
            .collect();
        let is_of = |batch: &&Batch<'_>, id| batch.producer().is_some_and(|producer| producer.id == id);
        let rows = self.producers.iter().filter_map(|(id, epoch, last)| {
            batches.iter().find(|batch| is_of(batch, *id))?;
            let mut own = batches.iter().filter(|batch| is_of(batch, *id));
            let has_records = own.any(|batch| !batch.attributes().is_control());
            Some((*id, *epoch, if has_records { *last } else { Sequence::NONE }))
        });
        rows.collect()
    }
}

pub fn producer_rows(rows: Vec<ProducerInfo>) -> Vec<(ProducerId, ProducerEpoch, Sequence)> {
    let mut rows: Vec<_> = rows
        .into_iter()
        .map(|row| (row.producer_id, row.epoch, row.last_sequence))
        .collect();
    rows.sort();
    rows
}
