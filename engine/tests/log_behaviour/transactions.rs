//! Aborted transactions: their index, and what compaction makes of them.

use std::collections::{BTreeMap, BTreeSet};

use engine::batch::{
    BatchBuilder, Batches, ControlRecordType, EndTransactionMarker, Limits, Origin, validate,
};
use engine::log::{
    AbortedTransaction, AppendContext, AppendError, Appended, CleanupPolicy, Log, LogConfig, OpenState,
};
use engine::types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::support::*;

fn compacted() -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy::COMPACT,
        min_cleanable_dirty_ratio: 0.0,
        delete_retention_ms: 1000,
        ..small_config()
    }
}

/// A transactional producer.
#[derive(Clone, Copy)]
pub struct Writer {
    id: i64,
    sequence: i32,
}

impl Writer {
    pub fn new(id: i64) -> Writer {
        Writer { id, sequence: 0 }
    }

    pub async fn write(&mut self, log: &Log, records: &[(&str, Option<&str>)]) -> Offset {
        let mut builder = BatchBuilder::new(Offset(0))
            .producer(ProducerId(self.id), ProducerEpoch(0), Sequence(self.sequence))
            .transactional();
        for (key, value) in records {
            builder.append(NOW, Some(key.as_bytes()), value.map(str::as_bytes));
        }
        self.sequence += records.len() as i32;
        produce(log, builder).await.base_offset
    }

    pub async fn end(&self, log: &Log, kind: ControlRecordType) -> Offset {
        let appended = self.try_end(log, kind).expect("a marker");
        commit_all(log).await;
        appended.base_offset
    }

    fn try_end(&self, log: &Log, kind: ControlRecordType) -> Result<Appended, AppendError> {
        let mut builder = BatchBuilder::new(Offset(0))
            .producer(ProducerId(self.id), ProducerEpoch(0), Sequence::NONE)
            .transactional()
            .control();
        let value = EndTransactionMarker { coordinator_epoch: 3 }.value();
        builder.append(NOW, Some(&kind.key()), Some(&value));
        let batch = builder.build().unwrap();
        let limits = Limits {
            origin: Origin::Coordinator,
            ..Limits::default()
        };
        let info = validate(&batch, &limits).unwrap();
        let context = AppendContext {
            origin: Origin::Coordinator,
            ..context()
        };
        log.append(batch, &info, &context)
    }
}

pub async fn put(log: &Log, key: &str, value: Option<&str>) -> Offset {
    let mut builder = BatchBuilder::new(Offset(0));
    builder.append(NOW, Some(key.as_bytes()), value.map(str::as_bytes));
    produce(log, builder).await.base_offset
}

pub fn all_aborted(log: &Log) -> Vec<AbortedTransaction> {
    log.aborted_transactions(log.start_offset(), log.end_offset())
        .unwrap()
}

/// What a consumer with read_committed gets, as Kafka's client does it.
pub fn committed(log: &Log) -> Vec<Row> {
    let stable = log.last_stable_offset();
    let mut aborted = log.aborted_transactions(log.start_offset(), stable).unwrap();
    aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
    let mut ongoing = BTreeSet::new();
    let mut rows = Vec::new();
    for batch in Batches::new(&read_all(log, 1 << 20)) {
        let batch = batch.unwrap();
        if batch.last_offset() >= stable {
            break;
        }
        while let Some(next) = aborted.pop_if(|next| next.first_offset <= batch.last_offset()) {
            ongoing.insert(next.producer_id);
        }
        let producer = batch.producer().map(|producer| producer.id);
        if batch.attributes().is_control() {
            if kind_of(&rows_of_batch(&batch)) == Some(ControlRecordType::Abort) {
                ongoing.remove(&producer.unwrap());
            }
            continue;
        }
        let is_aborted = producer.is_some_and(|id| ongoing.contains(&id));
        if !(batch.attributes().is_transactional() && is_aborted) {
            rows.extend(rows_of_batch(&batch));
        }
    }
    rows
}

fn kind_of(marker: &[Row]) -> Option<ControlRecordType> {
    let key = marker.first()?.key.as_ref()?;
    ControlRecordType::parse(key).ok()
}

fn markers(log: &Log) -> usize {
    let bytes = read_all(log, 1 << 20);
    Batches::new(&bytes)
        .filter(|batch| {
            let batch = batch.as_ref().unwrap();
            batch.attributes().is_control() && batch.record_count() > 0
        })
        .count()
}

fn table(rows: &[Row]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut table = BTreeMap::new();
    for row in rows {
        match (&row.key, &row.value) {
            (Some(key), Some(value)) => table.insert(key.clone(), value.clone()),
            (Some(key), None) => table.remove(key),
            (None, _) => None,
        };
    }
    table
}

#[test]
fn aborted_transactions_are_told_from_their_segments_files() {
    // A consumer that reads only what was committed gets what was aborted, too, if one of them is missing.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        let (mut one, mut two) = (Writer::new(1), Writer::new(2));
        let mut expected = Vec::new();
        for round in 0..20 {
            let first = one.write(&log, &[("a", Some("one")), ("b", Some("one"))]).await;
            let other = two.write(&log, &[("a", Some("two"))]).await;
            one.write(&log, &[("c", Some("one"))]).await;
            let last = one.end(&log, ControlRecordType::Abort).await;
            expected.push(AbortedTransaction {
                producer_id: ProducerId(1),
                first_offset: first,
                last_offset: last,
                last_stable_offset: other,
            });
            let kind = if round % 3 == 0 {
                ControlRecordType::Abort
            } else {
                ControlRecordType::Commit
            };
            let last = two.end(&log, kind).await;
            if round % 3 == 0 {
                expected.push(AbortedTransaction {
                    producer_id: ProducerId(2),
                    first_offset: other,
                    last_offset: last,
                    last_stable_offset: last.next(),
                });
            }
        }
        assert!(log.segment_count() > 3);
        assert_eq!(all_aborted(&log), expected);
        let end = log.end_offset();
        for from in (0..end.0).step_by(7) {
            for below in [from + 1, from + 30, end.0] {
                let told = log.aborted_transactions(Offset(from), Offset(below)).unwrap();
                for aborted in &expected {
                    let touches = aborted.last_offset.0 >= from && aborted.first_offset.0 < below;
                    assert_eq!(told.contains(aborted), touches, "{from} to {below}: {aborted:?}");
                }
            }
        }
        let crashed = fixture.copy();
        log.close().await.unwrap();
        let clean = OpenState {
            clean: true,
            ..Default::default()
        };
        let (log, _) = fixture.open_with(small_config(), clean).await;
        assert_eq!(all_aborted(&log), expected);
        log.close().await.unwrap();

        // What was not synced may be torn or missing; the log tells it again.
        let files: Vec<String> = crashed
            .names()
            .into_iter()
            .filter(|name| name.ends_with(".txnindex"))
            .collect();
        assert!(files.len() > 2);
        let base = files[1][..20].parse().unwrap();
        for (at, recovery_point) in [(0, None), (1, Some(Offset(base)))] {
            let crashed = crashed.copy();
            for (number, name) in files.iter().enumerate().skip(at) {
                let path = crashed.path(name);
                match number % 3 {
                    0 => std::fs::remove_file(path).unwrap(),
                    1 => std::fs::write(path, [0; 40]).unwrap(),
                    _ => {
                        let bytes = std::fs::read(&path).unwrap();
                        std::fs::write(path, &bytes[..bytes.len() - 5]).unwrap();
                    }
                }
            }
            let start = OpenState {
                recovery_point,
                ..Default::default()
            };
            let (log, _) = crashed.open_with(small_config(), start).await;
            assert_eq!(all_aborted(&log), expected);
            log.close().await.unwrap();
        }
    });
}

#[test]
fn a_full_disk_refuses_a_marker_and_nothing_else() {
    // The log went offline, and all of its disk with it, because one abort marker found no room for its entry.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        let mut writer = Writer::new(1);
        let first = writer.write(&log, &[("a", Some("aborted"))]).await;
        let index = fixture.path("00000000000000000000.txnindex");
        std::os::unix::fs::symlink("/dev/full", &index).unwrap();
        let refused = writer.try_end(&log, ControlRecordType::Abort).unwrap_err();
        assert!(matches!(refused, AppendError::DiskFull { .. }), "{refused:?}");
        assert!(log.fault().is_none());
        assert_eq!(log.end_offset(), first.next());
        put(&log, "b", Some("plain")).await;
        assert_eq!(log.last_stable_offset(), first);

        std::fs::remove_file(&index).unwrap();
        writer.end(&log, ControlRecordType::Abort).await;
        assert_eq!(all_aborted(&log).len(), 1);
        assert_eq!(table(&committed(&log)).len(), 1);
        log.close().await.unwrap();
    });
}

#[test]
fn another_segments_index_is_refused_by_name() {
    // Believed, it would show what was aborted to consumers that read only what was committed.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        let mut writer = Writer::new(1);
        while log.segment_count() < 4 {
            writer.write(&log, &[("key", Some("value"))]).await;
            writer.end(&log, ControlRecordType::Abort).await;
        }
        log.close().await.unwrap();
        let mut files = fixture.names();
        files.retain(|name| name.ends_with(".txnindex"));
        std::fs::copy(fixture.path(&files[0]), fixture.path(&files[1])).unwrap();
        let clean = OpenState {
            clean: true,
            ..Default::default()
        };
        let (log, _) = fixture.open_with(small_config(), clean).await;
        let refused = log.aborted_transactions(log.start_offset(), log.end_offset());
        let error = format!("{:?}", refused.unwrap_err());
        assert!(
            error.contains(&files[1]) && error.contains("of another segment"),
            "{error}"
        );
    });
}

#[test]
fn the_indexes_go_with_their_segments() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        let mut writer = Writer::new(1);
        for _ in 0..30 {
            writer.write(&log, &[("a", Some("value"))]).await;
            writer.end(&log, ControlRecordType::Abort).await;
        }
        log.delete_records_before(Offset(40)).unwrap();
        retain(&log, NOW.0).await;
        let all = all_aborted(&log);
        assert_eq!(all.last().map(|last| last.last_offset), Some(Offset(59)));
        assert!(all.iter().all(|aborted| aborted.last_offset >= Offset(40)));
        log.close().await.unwrap();
        let names = fixture.names();
        for name in names.iter().filter(|name| name.ends_with(".txnindex")) {
            assert!(names.contains(&name.replace(".txnindex", ".log")), "{name}");
        }
    });
}

#[test]
fn compaction_takes_what_was_aborted_and_later_its_marker() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(compacted()).await;
        let mut writer = Writer::new(1);
        put(&log, "kept", Some("committed")).await;
        writer
            .write(&log, &[("kept", Some("aborted")), ("never", Some("aborted"))])
            .await;
        writer.end(&log, ControlRecordType::Abort).await;
        writer.write(&log, &[("kept2", Some("committed"))]).await;
        writer.end(&log, ControlRecordType::Commit).await;
        // the producer's last batch is another one
        writer.write(&log, &[("last", Some("committed"))]).await;
        writer.end(&log, ControlRecordType::Commit).await;
        let expected = table(&committed(&log));
        assert_eq!(expected.len(), 3);

        let step = async |now: i64| {
            put(&log, "other", Some("value")).await;
            log.roll(NOW).unwrap();
            commit_all(&log).await;
            log.compact(Timestamp(now))
                .await
                .unwrap()
                .expect("something to do");
            let mut found = table(&committed(&log));
            found.remove(b"other".as_slice());
            assert_eq!(found, expected, "at {now}");
            (markers(&log), all_aborted(&log).len())
        };
        // The records go; the marker stays, and readers are told of it as long as there may be records.
        assert_eq!(step(NOW.0).await, (3, 1));
        assert!(
            !rows(&log)
                .iter()
                .any(|row| row.value.as_deref() == Some(b"aborted"))
        );
        // Nothing is left of the transaction: its marker's time begins.
        assert_eq!(step(NOW.0 + 5000).await, (3, 0));
        assert_eq!(step(NOW.0 + 5999).await, (3, 0));
        assert_eq!(step(NOW.0 + 6000).await, (2, 0));
        log.close().await.unwrap();
        let (log, _) = fixture.open_with(compacted(), OpenState::default()).await;
        log.set_high_watermark(log.end_offset());
        assert_eq!(table(&committed(&log)).len(), 4);
        log.close().await.unwrap();
    });
}

#[test]
fn nothing_of_an_open_transaction_is_compacted() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(compacted()).await;
        let mut writer = Writer::new(1);
        put(&log, "a", Some("1")).await;
        put(&log, "a", Some("2")).await;
        log.roll(NOW).unwrap();
        let first = writer.write(&log, &[("a", Some("open"))]).await;
        log.roll(NOW).unwrap();
        put(&log, "a", Some("3")).await;
        log.roll(NOW).unwrap();
        commit_all(&log).await;
        let done = log.compact(NOW).await.unwrap().unwrap();
        assert_eq!(done.cleaned_to, first);
        writer.end(&log, ControlRecordType::Abort).await;
        log.roll(NOW).unwrap();
        commit_all(&log).await;
        log.compact(NOW).await.unwrap().unwrap();
        assert_eq!(table(&committed(&log))[b"a".as_slice()], b"3");
        log.close().await.unwrap();
    });
}

#[test]
fn a_crash_while_names_are_exchanged_keeps_the_new_transaction_index() {
    // With the old one, or none, readers skip records that were committed, or get those that were not.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(compacted()).await;
        let mut writer = Writer::new(1);
        for round in 0..6 {
            writer
                .write(&log, &[("a", Some("aborted")), ("b", Some("aborted"))])
                .await;
            writer.end(&log, ControlRecordType::Abort).await;
            put(&log, "a", Some(&format!("{round}"))).await;
        }
        log.roll(NOW).unwrap();
        put(&log, "end", Some("")).await;
        log.close().await.unwrap();
        let old = fixture.copy();
        let clean = OpenState {
            clean: true,
            ..Default::default()
        };
        let (log, _) = fixture.open_with(compacted(), clean).await;
        log.set_high_watermark(log.end_offset());
        let expected = table(&committed(&log));
        log.compact(NOW).await.unwrap().unwrap();
        let aborted = all_aborted(&log);
        assert_eq!(aborted.len(), 6);
        log.close().await.unwrap();
        let base = "00000000000000000000";
        let files = ["index", "timeindex", "txnindex", "log"];
        for (discarded, named) in (0..=4)
            .map(|count| (count, 0))
            .chain((0..=4).map(|count| (4, count)))
        {
            let crash = old.copy();
            for kind in &files[..discarded] {
                let live = crash.path(&format!("{base}.{kind}"));
                std::fs::rename(&live, crash.path(&format!("{base}.{kind}.deleted"))).unwrap();
            }
            for (at, kind) in files.iter().enumerate() {
                let suffix = if at < named { "" } else { ".swap" };
                let from = fixture.path(&format!("{base}.{kind}"));
                std::fs::copy(from, crash.path(&format!("{base}.{kind}{suffix}"))).unwrap();
            }
            for start in [
                clean,
                OpenState::default(),
                OpenState {
                    recovery_point: Some(Offset(18)),
                    ..Default::default()
                },
            ] {
                let crash = crash.copy();
                let (log, _) = crash.open_with(compacted(), start).await;
                log.set_high_watermark(log.end_offset());
                assert_eq!(
                    table(&committed(&log)),
                    expected,
                    "{discarded} discarded, {named} named"
                );
                log.close().await.unwrap();
                assert!(!crash.names().iter().any(|name| name.ends_with(".swap")));
            }
        }
    });
}

/// One random history: what was committed, in the order of the log.
struct Model {
    records: Vec<(i64, String, Option<String>, Fate)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Committed,
    Open(i64),
    Aborted,
}

impl Model {
    fn end(&mut self, writer: i64, fate: Fate) {
        for record in &mut self.records {
            if record.3 == Fate::Open(writer) {
                record.3 = fate;
            }
        }
    }

    /// What a consumer from the start ends up with that reads up to `below`.
    fn table(&self, below: Offset) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut table = BTreeMap::new();
        for (offset, key, value, fate) in &self.records {
            if *offset >= below.0 || *fate != Fate::Committed {
                continue;
            }
            match value {
                Some(value) => table.insert(key.clone().into_bytes(), value.clone().into_bytes()),
                None => table.remove(key.as_bytes()),
            };
        }
        table
    }
}

#[test]
fn no_last_value_is_lost_and_none_comes_back() {
    // Random writers, transactions, deletions, rolls, compactions, crashes and memory sizes, against a table in memory.
    run(async {
        for seed in 1..9u64 {
            let mut dice = Dice(seed * 0x9e37_79b9);
            let mut fixture = Fixture::new();
            let config = LogConfig {
                cleaner_dedupe_buffer_bytes: [1, 2000, 1 << 20][dice.roll(3) as usize],
                segment_bytes: 1000 + dice.roll(4000) as u32,
                ..compacted()
            };
            let mut log = fixture.open(config.clone()).await;
            let mut writers: Vec<(Writer, bool)> = (1..4).map(|id| (Writer::new(id), false)).collect();
            let mut model = Model { records: Vec::new() };
            let mut now = NOW.0;
            for step in 0..250 {
                now += dice.roll(200) as i64;
                let key = format!("key-{}", dice.roll(12));
                let value = (dice.roll(4) > 0).then(|| format!("value-{step}"));
                match dice.roll(20) {
                    0..6 => {
                        let offset = put(&log, &key, value.as_deref()).await;
                        model.records.push((offset.0, key, value, Fate::Committed));
                    }
                    6..12 => {
                        let (writer, is_open) = &mut writers[dice.roll(3) as usize];
                        let offset = writer.write(&log, &[(&key, value.as_deref())]).await;
                        *is_open = true;
                        model.records.push((offset.0, key, value, Fate::Open(writer.id)));
                    }
                    12..16 => {
                        let (writer, is_open) = &mut writers[dice.roll(3) as usize];
                        let (kind, fate) = if dice.roll(2) == 0 {
                            (ControlRecordType::Abort, Fate::Aborted)
                        } else {
                            (ControlRecordType::Commit, Fate::Committed)
                        };
                        if std::mem::take(is_open) {
                            writer.end(&log, kind).await;
                            model.end(writer.id, fate);
                        }
                    }
                    16 => {
                        log.roll(Timestamp(now)).unwrap();
                        commit_all(&log).await;
                    }
                    17 => {
                        let crashed = fixture.copy();
                        log.close().await.unwrap();
                        fixture = crashed;
                        let start = OpenState {
                            recovery_point: (dice.roll(2) == 0).then_some(log.end_offset()),
                            cleaned: log.cleaned_offset().filter(|_| dice.roll(2) == 0),
                            ..Default::default()
                        };
                        log = fixture.open_with(config.clone(), start).await.0;
                        log.set_high_watermark(log.end_offset());
                    }
                    _ => {
                        log.compact(Timestamp(now)).await.unwrap();
                    }
                }
                let found = committed(&log);
                assert_eq!(
                    table(&found),
                    model.table(log.last_stable_offset()),
                    "seed {seed}, step {step}"
                );
            }
            log.close().await.unwrap();
        }
    });
}
