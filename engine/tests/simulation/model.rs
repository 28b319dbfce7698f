//! What a log must be: everything that was appended to it, and how much of that was promised.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use engine::batch::{
    Batch, BatchBuilder, BatchInfo, Codec, Limits, TimestampType, assign, set_log_append_time, validate,
};
use engine::directory::TopicPartition;
use engine::log::{LogConfig, ProducerInfo};
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use reactor::sim::Chance;

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

/// A batch on its way.
pub struct Draft {
    pub sent: BytesMut,
    pub info: BatchInfo,
    pub producer: Option<Sequenced>,
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
}

impl Entry {
    pub fn next(&self) -> Offset {
        self.last.next()
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
    /// What the log must know of the producers: their last batches.
    pub producers: BTreeMap<ProducerId, Sequenced>,
    /// It is being cut: nothing else happens to it.
    pub is_frozen: bool,
    /// How often it was cut.
    pub cuts: u32,
    /// Bits were flipped in its files: completeness is no longer asked for.
    pub rotted: bool,
}

impl LogModel {
    pub fn new(number: i32, config: LogConfig) -> LogModel {
        LogModel {
            partition: TopicPartition::new("log", number),
            config: Rc::new(config),
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

    /// Candidates for the batch at `base`: the one that was appended, then those that failed.
    pub fn at(&self, base: Offset) -> impl Iterator<Item = &Entry> {
        let found = self.entries.binary_search_by_key(&base, |entry| entry.base).ok();
        let entry = found.and_then(|index| self.entries.get(index));
        entry
            .into_iter()
            .chain(self.ghosts.iter().filter(move |ghost| ghost.base == base))
    }

    /// The last batch of every producer.
    pub fn last_of_producers(&self) -> BTreeMap<ProducerId, Entry> {
        let mut last = BTreeMap::new();
        for entry in &self.entries {
            if let Some(producer) = entry.producer {
                last.insert(producer.id, entry.clone());
            }
        }
        last
    }

    pub fn last_of(&self, id: ProducerId) -> Option<&Entry> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.producer.is_some_and(|producer| producer.id == id))
    }

    /// A batch as a producer would send it.
    pub fn draft(&self, producer: Option<ProducerId>, now: Timestamp, chance: &mut Chance) -> Draft {
        let count = 1 + chance.index(4) as i32;
        let mut sequenced = None;
        let mut builder = BatchBuilder::new(Offset(0));
        if chance.below(8) == 0 {
            builder = builder.compression(Codec::Lz4);
        }
        if let Some(id) = producer {
            let last = self.producers.get(&id).copied();
            let (epoch, base) = match last {
                None => (ProducerEpoch(0), Sequence(0)),
                // a producer that was restarted
                Some(last) if chance.below(20) == 0 => (ProducerEpoch(last.epoch.0 + 1), Sequence(0)),
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
        }
    }

    /// Goes by what the log says of producers, once that was checked.
    pub fn learn_producers(&mut self, rows: &[(ProducerId, ProducerEpoch, Sequence)]) {
        let known = rows
            .iter()
            .filter(|row| row.2.is_some())
            .map(|(id, epoch, last)| {
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
            self.producers.insert(producer.id, producer);
        }
        self.entries.push(entry);
    }

    pub fn append_time(&self, now: Timestamp) -> Timestamp {
        match self.config.message_timestamp_type {
            TimestampType::LogAppendTime => now,
            TimestampType::CreateTime => Timestamp::NONE,
        }
    }
}

/// What a log shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    pub start: Offset,
    pub end: Offset,
    pub batches: Vec<Bytes>,
    /// (id, epoch, last sequence), in order.
    pub producers: Vec<(ProducerId, ProducerEpoch, Sequence)>,
}

impl Dump {
    /// The same log, perhaps with more behind its end.
    pub fn continues(&self, other: &Dump) -> bool {
        let is_same = || {
            self.start == other.start
                && self.end == other.end
                && self.batches == other.batches
                && self.producers_with_records() == other.producers_with_records()
        };
        is_same()
            || self.start == other.start && self.end > other.end && self.batches.starts_with(&other.batches)
    }
}

impl Dump {
    /// Whose records are all deleted may be forgotten: only a snapshot tells of those, and not every start can use the newest.
    fn producers_with_records(&self) -> Vec<(ProducerId, ProducerEpoch, Sequence)> {
        let has_records = |id: &ProducerId| {
            let mut batches = self.batches.iter().filter_map(|bytes| Batch::only(bytes).ok());
            batches.any(|batch| batch.producer().is_some_and(|producer| producer.id == *id))
        };
        let mut rows = self.producers.clone();
        rows.retain(|(id, ..)| has_records(id));
        rows
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
