use std::collections::BTreeMap;

use engine::batch::{BatchBuilder, Batches};
use engine::log::{CleanupPolicy, Compacted, Log, LogConfig, OpenState};
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

async fn compact(log: &Log, now: i64) -> Option<Compacted> {
    log.compact(Timestamp(now)).await.expect("compaction")
}

/// Last value of each key, as a consumer that reads from the start ends up with it.
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

/// Random updates and deletions of a few keys.
async fn churn(log: &Log, dice: &mut Dice, batches: i64, keys: u64) {
    for _ in 0..batches {
        let mut builder = BatchBuilder::new(Offset(0)).compression(codecs()[dice.roll(5) as usize]);
        for _ in 0..1 + dice.roll(4) {
            let key = format!("key-{}", dice.roll(keys));
            let value = (dice.roll(5) > 0).then(|| format!("value-{}", dice.roll(1_000_000)).into_bytes());
            builder.append(NOW, Some(key.as_bytes()), value.as_deref());
        }
        produce(log, builder).await;
    }
}

#[test]
fn readers_end_up_with_the_same_table() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(compacted()).await;
        let mut dice = Dice(21);
        let mut now = NOW.0;
        for round in 0..6 {
            churn(&log, &mut dice, 60, 30).await;
            let before = rows(&log);
            let size = log.size_bytes();
            let done = compact(&log, now).await.expect("there is something to do");
            assert!(
                done.segments_after <= done.segments_before && log.size_bytes() < size,
                "{done:?}"
            );
            let after = rows(&log);
            assert_eq!(table(&after), table(&before), "round {round}");
            // what is left keeps its offset
            assert!(after.iter().all(|row| before.contains(row)));
            let closed: Vec<_> = after
                .iter()
                .filter(|row| row.offset < done.cleaned_to.0)
                .collect();
            let mut seen = std::collections::HashSet::new();
            assert!(
                closed.iter().all(|row| seen.insert(row.key.clone())),
                "one record a key"
            );
            for max_bytes in [100, 700] {
                assert_eq!(rows_of(&read_all(&log, max_bytes)), after);
            }
            for row in &before {
                assert!(log.read(Offset(row.offset), 100, log.end_offset(), true).is_ok());
            }
            assert_eq!(log.cleaned_offset(), Some(done.cleaned_to));
            now += 2000;
        }
        assert_eq!(compact(&log, now).await, None, "nothing new");
        let all = rows(&log);
        log.close().await.unwrap();
        for clean in [true, false] {
            let copy = fixture.copy();
            let (log, _) = copy
                .open_with(
                    compacted(),
                    OpenState {
                        clean,
                        ..Default::default()
                    },
                )
                .await;
            assert_eq!(rows(&log), all);
            log.close().await.unwrap();
        }
    });
}

#[test]
fn tombstones_stay_for_their_time_and_then_go() {
    // A consumer that is slower than the cleaner must still learn of a deletion.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(compacted()).await;
        let tombstones = |log: &Log| rows(log).iter().filter(|row| row.value.is_none()).count();
        let put = |key: &str, value: Option<&[u8]>| {
            let mut builder = BatchBuilder::new(Offset(0));
            builder.append(NOW, Some(key.as_bytes()), value);
            builder
        };
        produce(&log, put("gone", Some(b"value"))).await;
        produce(&log, put("gone", None)).await;
        log.roll(NOW).unwrap();
        compact(&log, NOW.0).await.unwrap();
        assert_eq!((rows(&log).len(), tombstones(&log)), (1, 1));
        for (round, now) in [(0, NOW.0 + 999), (1, NOW.0 + 1000)] {
            produce(&log, put("other", Some(b"value"))).await;
            log.roll(NOW).unwrap();
            compact(&log, now).await.unwrap();
            assert_eq!(tombstones(&log), 1 - round, "at {now}");
        }
        assert_eq!(table(&rows(&log)).len(), 1);
        log.close().await.unwrap();
    });
}

#[test]
fn little_memory_takes_several_rounds() {
    run(async {
        let fixture = Fixture::new();
        let config = LogConfig {
            cleaner_dedupe_buffer_bytes: 1,
            segment_bytes: 20_000,
            ..compacted()
        };
        let log = fixture.open(config).await;
        for pass in 0..3 {
            for index in 0..60 {
                let mut builder = BatchBuilder::new(Offset(0));
                for key in 0..20 {
                    builder.append(
                        NOW,
                        Some(format!("{}", index * 20 + key).as_bytes()),
                        Some(&[pass; 10]),
                    );
                }
                produce(&log, builder).await;
            }
        }
        log.roll(NOW).unwrap();
        let before = table(&rows(&log));
        let done = compact(&log, NOW.0).await.unwrap();
        assert!(done.rounds > 2, "{done:?}");
        let after = rows(&log);
        assert_eq!(table(&after), before);
        assert_eq!(after.len(), 1200);
        log.close().await.unwrap();
    });
}

#[test]
fn a_producers_last_sequence_outlives_its_records() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(compacted()).await;
        let mine = |sequence: i32| {
            let mut builder =
                BatchBuilder::new(Offset(0)).producer(ProducerId(7), ProducerEpoch(1), Sequence(sequence));
            builder.append(NOW, Some(b"a"), Some(b"mine"));
            builder.append(NOW, Some(b"b"), Some(b"mine"));
            builder
        };
        produce(&log, mine(0)).await;
        produce(&log, mine(2)).await;
        let mut over = BatchBuilder::new(Offset(0));
        over.append(NOW, Some(b"a"), Some(b"theirs"));
        over.append(NOW, Some(b"b"), Some(b"theirs"));
        produce(&log, over).await;
        log.roll(NOW).unwrap();
        compact(&log, NOW.0).await.unwrap();
        let bytes = read_all(&log, 1 << 20);
        let batches: Vec<_> = Batches::new(&bytes).map(|batch| batch.unwrap()).collect();
        assert_eq!(batches.len(), 2);
        assert_eq!(
            (batches[0].record_count(), batches[0].last_offset()),
            (0, Offset(3))
        );
        log.close().await.unwrap();
        for name in fixture.names().iter().filter(|name| name.ends_with(".snapshot")) {
            std::fs::remove_file(fixture.path(name)).unwrap();
        }
        let log = fixture.open(compacted()).await;
        log.set_high_watermark(log.end_offset());
        assert!(append(&log, mine(2)).duplicate);
        assert!(!append(&log, mine(4)).duplicate);
        log.close().await.unwrap();
    });
}

#[test]
fn a_producers_last_batch_is_on_the_disk_before_the_one_before_it_goes() {
    // Else power takes the last, compaction has taken the one before, and a retry of that is stored twice.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(compacted()).await;
        let mine = |sequence: i32| {
            let mut builder =
                BatchBuilder::new(Offset(0)).producer(ProducerId(7), ProducerEpoch(1), Sequence(sequence));
            builder.append(NOW, Some(b"a"), Some(b"mine"));
            builder
        };
        produce(&log, mine(0)).await;
        let mut over = BatchBuilder::new(Offset(0));
        over.append(NOW, Some(b"a"), Some(b"theirs"));
        produce(&log, over).await;
        log.roll(NOW).unwrap();
        let last = append(&log, mine(1));
        assert!(log.recovery_point() <= last.base_offset);
        compact(&log, NOW.0).await.unwrap();
        let bytes = read_all(&log, 1 << 20);
        let first = Batches::new(&bytes).next().unwrap().unwrap();
        assert_eq!(
            first.base_offset(),
            Offset(1),
            "the producer's first batch is gone"
        );
        assert!(log.recovery_point() > last.last_offset);
        log.close().await.unwrap();
    });
}

#[test]
fn readers_and_retention_go_on_beside_the_cleaner() {
    run(async {
        let fixture = Fixture::new();
        let config = LogConfig {
            cleanup_policy: CleanupPolicy::COMPACT_DELETE,
            ..compacted()
        };
        let log = fixture.open(config).await;
        churn(&log, &mut Dice(4), 200, 20).await;
        let slice = log.read(Offset(0), 1900, log.end_offset(), true).unwrap();
        let before = bytes_of(&slice.pieces);
        let task = reactor::spawn({
            let log = log.clone();
            async move { compact(&log, NOW.0).await }
        });
        reactor::yield_now().await;
        assert_eq!(compact(&log, NOW.0).await, None, "one at a time");
        log.delete_records_before(Offset(50)).unwrap();
        for index in 0..20 {
            produce(&log, batch(1, NOW.0 + index, 10)).await;
            log.apply_retention(NOW).unwrap();
            assert!(!rows(&log).is_empty());
        }
        task.await;
        assert_eq!(bytes_of(&slice.pieces), before);
        let after = rows(&log);
        assert!(after.iter().any(|row| row.offset >= 50));
        log.close().await.unwrap();
        let (log, _) = fixture
            .open_with(
                compacted(),
                OpenState {
                    log_start: Some(Offset(50)),
                    ..Default::default()
                },
            )
            .await;
        assert_eq!(rows(&log), after);
        log.close().await.unwrap();
    });
}

#[test]
fn a_crash_between_any_two_renames_loses_nothing() {
    run(async {
        let fixture = Fixture::new();
        let config = LogConfig {
            segment_bytes: 4000,
            ..compacted()
        };
        let log = fixture.open(config.clone()).await;
        churn(&log, &mut Dice(8), 150, 15).await;
        log.close().await.unwrap();
        let old = fixture.copy();
        let clean = OpenState {
            clean: true,
            ..Default::default()
        };
        // larger segments now, so that several become one
        let config = LogConfig {
            segment_bytes: 12_000,
            ..config
        };
        let (log, _) = fixture.open_with(config.clone(), clean).await;
        log.set_high_watermark(log.end_offset());
        let expected = table(&rows(&log));
        compact(&log, NOW.0).await.unwrap();
        let after = rows(&log);
        log.close().await.unwrap();
        assert_eq!(table(&after), expected);

        // All results of the compaction, as they looked before each rename.
        let segments: Vec<String> = fixture
            .names()
            .into_iter()
            .filter(|name| name.ends_with(".log"))
            .filter(|name| {
                let old_bytes = std::fs::read(old.path(name)).unwrap_or_default();
                std::fs::read(fixture.path(name)).unwrap() != old_bytes
            })
            .map(|name| name[..20].to_owned())
            .collect();
        assert!(!segments.is_empty());
        let first = &segments[0];
        let files = ["index", "timeindex", "log"];
        let place = |crash: &Fixture, extension: &str, suffix: &str| {
            let from = fixture.path(&format!("{first}.{extension}"));
            std::fs::copy(from, crash.path(&format!("{first}.{extension}{suffix}"))).unwrap();
        };
        let mut crashes = Vec::new();
        for renamed in 0..=3 {
            // .cleaned -> .swap
            let crash = old.copy();
            for (at, extension) in files.iter().enumerate() {
                place(&crash, extension, if at < renamed { ".swap" } else { ".cleaned" });
            }
            crashes.push(crash);
        }
        let covered: Vec<String> = {
            let next = fixture
                .names()
                .into_iter()
                .filter(|name| name.ends_with(".log") && name[..20] > first[..])
                .min()
                .unwrap();
            let names = old.names().into_iter();
            names
                .filter(|name| name.ends_with("index") || name.ends_with(".log"))
                .filter(|name| name[..20] >= first[..] && name[..20] < next[..20])
                .collect()
        };
        assert!(covered.len() > 3);
        for discarded in 1..=covered.len() {
            // old -> .deleted
            let crash = old.copy();
            for extension in files {
                place(&crash, extension, ".swap");
            }
            for name in &covered[..discarded] {
                std::fs::rename(crash.path(name), crash.path(&format!("{name}.deleted"))).unwrap();
            }
            crashes.push(crash);
        }
        for renamed in 1..=3 {
            // .swap -> live
            let crash = old.copy();
            for name in &covered {
                std::fs::remove_file(crash.path(name)).unwrap();
            }
            for (at, extension) in files.iter().enumerate() {
                place(&crash, extension, if at < renamed { "" } else { ".swap" });
            }
            crashes.push(crash);
        }
        for (at, crash) in crashes.iter().enumerate() {
            for clean in [true, false] {
                let crash = crash.copy();
                let start = OpenState {
                    clean,
                    ..Default::default()
                };
                let (log, _) = crash.open_with(config.clone(), start).await;
                assert_eq!(table(&rows(&log)), expected, "crash {at}");
                assert_eq!(log.end_offset(), Offset(after.last().unwrap().offset + 1));
                log.set_high_watermark(log.end_offset());
                compact(&log, NOW.0 + 1).await;
                assert_eq!(table(&rows(&log)), expected, "crash {at}, compacted again");
                log.close().await.unwrap();
                let names = crash.names();
                assert!(
                    !names
                        .iter()
                        .any(|name| name.ends_with(".swap") || name.ends_with(".cleaned"))
                );
            }
        }
    });
}

#[test]
fn what_is_young_active_or_not_due_is_left_alone() {
    run(async {
        let fixture = Fixture::new();
        let config = LogConfig {
            min_cleanable_dirty_ratio: 0.5,
            ..compacted()
        };
        let log = fixture.open(config.clone()).await;
        produce(&log, batch(3, NOW.0, 10)).await;
        assert_eq!(compact(&log, NOW.0).await, None, "only an active segment");
        churn(&log, &mut Dice(2), 80, 10).await;
        log.set_config(std::rc::Rc::new(LogConfig {
            min_compaction_lag_ms: 5000,
            ..config.clone()
        }));
        assert_eq!(compact(&log, NOW.0 + 4999).await, None, "too young");
        log.set_config(std::rc::Rc::new(config.clone()));
        assert!(compact(&log, NOW.0 + 5001).await.is_some());
        log.roll(NOW).unwrap();
        produce(&log, batch(1, NOW.0, 10)).await;
        log.roll(NOW).unwrap();
        log.set_config(std::rc::Rc::new(LogConfig {
            min_cleanable_dirty_ratio: 0.99,
            ..config.clone()
        }));
        assert_eq!(compact(&log, NOW.0).await, None, "not dirty enough");
        log.set_config(std::rc::Rc::new(LogConfig {
            min_cleanable_dirty_ratio: 0.99,
            max_compaction_lag_ms: 100,
            ..config
        }));
        assert!(compact(&log, NOW.0 + 101).await.is_some(), "overdue");
        log.close().await.unwrap();
    });
}
