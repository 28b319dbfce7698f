//! What clients were told, and what follows from it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use reactor::sim::seeds::Violation;

use crate::invariants::{ACKNOWLEDGED, COMMITTED, EXACTLY_ONCE, HIGH_WATERMARK, ONE_LEADER};

/// Whoever sent it, and its number among what was sent to that partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub producer: u32,
    pub number: u64,
}

impl Record {
    /// As a record's value, with some bytes after it that depend on the record alone.
    pub fn to_value(self) -> Vec<u8> {
        let mut value = Vec::with_capacity(64);
        value.extend_from_slice(&self.producer.to_be_bytes());
        value.extend_from_slice(&self.number.to_be_bytes());
        let len = (self.number * 37 + u64::from(self.producer)) % 200;
        value.extend((0..len).map(|n| (n as u8) ^ (self.number as u8)));
        value
    }

    /// None for bytes that nobody sent.
    pub fn from_value(value: &[u8]) -> Option<Record> {
        let producer = u32::from_be_bytes(*value.first_chunk::<4>()?);
        let number = u64::from_be_bytes(*value.get(4..)?.first_chunk::<8>()?);
        let record = Record { producer, number };
        (record.to_value() == value).then_some(record)
    }
}

/// What a seed tried, to see that it tried something.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub seeds: u64,
    pub polls: u64,
    pub acknowledged: u64,
    pub retried: u64,
    pub read: u64,
    pub leaders: u64,
    pub faults: BTreeMap<&'static str, u64>,
    pub starts: u64,
    pub simulated_ms: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Figures) {
        self.seeds += 1;
        self.polls += other.polls;
        self.acknowledged += other.acknowledged;
        self.retried += other.retried;
        self.read += other.read;
        self.leaders += other.leaders;
        self.starts += other.starts;
        self.simulated_ms += other.simulated_ms;
        for (fault, count) in &other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
    }

    pub fn print(&self) {
        println!(
            "{} s simulated, {} polls, {} starts of brokers, {} leaders",
            self.simulated_ms / 1000,
            self.polls,
            self.starts,
            self.leaders
        );
        println!(
            "{} records acknowledged, {} requests tried again, {} records read",
            self.acknowledged, self.retried, self.read
        );
        let faults = self
            .faults
            .iter()
            .map(|(fault, count)| format!("{fault} {count}"));
        println!("{}", faults.collect::<Vec<_>>().join(", "));
    }
}

#[derive(Default)]
struct Partition {
    /// With acks=all.
    acknowledged: BTreeMap<i64, Record>,
    sent: BTreeSet<Record>,
    /// What readers were given.
    read: BTreeMap<i64, Record>,
}

pub struct State {
    partitions: Vec<Partition>,
    leaders: BTreeMap<(usize, i32), i32>,
    /// By reader, partition and leader epoch.
    high_watermarks: BTreeMap<(u32, usize, i32), i64>,
    /// Producers whose records are stored at most once.
    idempotent: BTreeSet<u32>,
    violation: Option<Violation>,
    pub figures: Figures,
}

/// Shared by the clients of a world and its tester.
#[derive(Clone)]
pub struct Model(Rc<RefCell<State>>);

impl Model {
    pub fn new(partition_count: usize) -> Model {
        Model(Rc::new(RefCell::new(State {
            partitions: (0..partition_count).map(|_| Partition::default()).collect(),
            leaders: BTreeMap::new(),
            high_watermarks: BTreeMap::new(),
            idempotent: BTreeSet::new(),
            violation: None,
            figures: Figures::default(),
        })))
    }

    pub fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.borrow_mut())
    }

    pub fn violation(&self) -> Option<Violation> {
        self.0.borrow().violation.clone()
    }

    pub fn violate(&self, invariant: &'static str, text: String) {
        self.with(|state| state.violate(invariant, text));
    }
}

impl State {
    /// The first one counts.
    fn violate(&mut self, invariant: &'static str, text: String) {
        reactor::sim::trace_line(&format!("VIOLATED: {invariant}: {text}"));
        self.violation.get_or_insert(Violation { invariant, text });
    }

    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    pub fn is_idempotent(&mut self, producer: u32) {
        self.idempotent.insert(producer);
    }

    /// Before it is sent for the first time.
    pub fn sent(&mut self, partition: usize, records: &[Record]) {
        self.partitions[partition].sent.extend(records);
    }

    /// With acks=all.
    pub fn acknowledged(&mut self, partition: usize, base_offset: i64, records: &[Record]) {
        self.figures.acknowledged += records.len() as u64;
        reactor::sim::trace_line(&format!(
            "acknowledged: partition {partition} from {base_offset}: {records:?}"
        ));
        for (offset, record) in (base_offset..).zip(records) {
            let entry = &mut self.partitions[partition];
            let old = entry.acknowledged.insert(offset, *record);
            let read = entry.read.get(&offset).copied();
            for other in [old, read].into_iter().flatten() {
                if other != *record {
                    self.violate(
                        ACKNOWLEDGED,
                        format!(
                            "partition {partition}, offset {offset}: {record:?} was acknowledged, {other:?} is there"
                        ),
                    );
                }
            }
        }
    }

    /// A reader was given this at an offset below the high watermark.
    pub fn read(&mut self, partition: usize, offset: i64, value: &[u8]) {
        self.figures.read += 1;
        let Some(record) = Record::from_value(value) else {
            let text = format!(
                "partition {partition}, offset {offset}: {} bytes nobody sent",
                value.len()
            );
            return self.violate(EXACTLY_ONCE, text);
        };
        let entry = &mut self.partitions[partition];
        let is_sent = entry.sent.contains(&record);
        let old = entry.read.insert(offset, record).filter(|old| *old != record);
        let acknowledged = entry
            .acknowledged
            .get(&offset)
            .copied()
            .filter(|old| *old != record);
        let place = format!("partition {partition}, offset {offset}");
        if !is_sent {
            self.violate(EXACTLY_ONCE, format!("{place}: {record:?} was never sent there"));
        }
        if let Some(old) = acknowledged {
            self.violate(
                ACKNOWLEDGED,
                format!("{place}: {old:?} was acknowledged, {record:?} is read"),
            );
        }
        if let Some(old) = old {
            self.violate(COMMITTED, format!("{place}: was {old:?}, is {record:?}"));
        }
    }

    /// A reader got from one offset to the next: nothing between them is there.
    pub fn skipped(&mut self, partition: usize, from: i64, to: i64) {
        let lost = self.partitions[partition]
            .acknowledged
            .range(from..to)
            .next()
            .map(|(offset, record)| (*offset, *record));
        if let Some((offset, record)) = lost {
            self.violate(
                ACKNOWLEDGED,
                format!(
                    "partition {partition}, offset {offset}: {record:?} was acknowledged and is not there"
                ),
            );
        }
    }

    pub fn high_watermark(&mut self, reader: u32, partition: usize, epoch: i32, high_watermark: i64) {
        let old = self
            .high_watermarks
            .insert((reader, partition, epoch), high_watermark)
            .unwrap_or(0);
        if high_watermark < old {
            self.violate(
                HIGH_WATERMARK,
                format!("partition {partition}, epoch {epoch}: {old}, then {high_watermark}"),
            );
        }
    }

    /// What some broker says of who leads.
    pub fn leader(&mut self, partition: usize, epoch: i32, leader: i32) {
        if leader < 0 || epoch < 0 {
            return;
        }
        let known = *self.leaders.entry((partition, epoch)).or_insert_with(|| {
            self.figures.leaders += 1;
            leader
        });
        if known != leader {
            self.violate(
                ONE_LEADER,
                format!("partition {partition}, epoch {epoch}: {known} and {leader}"),
            );
        }
    }

    /// The latest that any client was told of.
    pub fn latest_epoch(&self, partition: usize) -> i32 {
        let of_it = self.leaders.range((partition, i32::MIN)..=(partition, i32::MAX));
        of_it.last().map_or(-1, |((_, epoch), _)| *epoch)
    }

    /// Behind the last record that a reader was given.
    pub fn end_of(&self, partition: usize) -> i64 {
        let last = self.partitions[partition].read.last_key_value();
        last.map_or(0, |(offset, _)| offset + 1)
    }

    /// Behind the last record that was acknowledged with acks=all.
    pub fn acknowledged_end(&self, partition: usize) -> i64 {
        let last = self.partitions[partition].acknowledged.last_key_value();
        last.map_or(0, |(offset, _)| offset + 1)
    }

    /// The whole partition, as the last reader found it, up to the high watermark.
    pub fn check_whole(&mut self, partition: usize, end: i64) {
        self.skipped_in_read(partition, end);
        let mut found = Vec::new();
        let entry = &self.partitions[partition];
        let mut seen = BTreeMap::new();
        let mut last = BTreeMap::new();
        for (offset, record) in &entry.read {
            if !self.idempotent.contains(&record.producer) {
                continue;
            }
            if let Some(first) = seen.insert(*record, *offset) {
                found.push(format!(
                    "partition {partition}: {record:?} at {first} and {offset}"
                ));
            }
            if let Some(before) = last.insert(record.producer, record.number)
                && before >= record.number
            {
                found.push(format!(
                    "partition {partition}, offset {offset}: {record:?} after number {before}"
                ));
            }
        }
        for text in found {
            self.violate(EXACTLY_ONCE, text);
        }
    }

    fn skipped_in_read(&mut self, partition: usize, end: i64) {
        let entry = &self.partitions[partition];
        let lost = entry
            .acknowledged
            .iter()
            .find(|(offset, _)| **offset >= end || !entry.read.contains_key(offset))
            .map(|(offset, record)| (*offset, *record));
        if let Some((offset, record)) = lost {
            self.violate(
                ACKNOWLEDGED,
                format!("partition {partition}, offset {offset}: {record:?} was acknowledged; the log ends at {end}"),
            );
        }
    }
}
