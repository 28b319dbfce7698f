use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use engine::log::{Log, OpenState};
use engine::types::{LeaderEpoch, Offset};
use reactor::sim::{self, Halt, HaltAfter, Outcome, SimConfig, SimDisk};

use crate::support::*;

/// Opens a crashed copy, checks that it is a prefix of `all` that holds at least `acknowledged` records, that opening again
/// changes nothing, and that it can be written to.
async fn check_crash(fixture: &Fixture, all: &[Row], acknowledged: i64, recovery_point: Option<Offset>) {
    let start = OpenState {
        recovery_point,
        ..Default::default()
    };
    let (log, report) = fixture.open_with(small_config(), start).await;
    let found = rows(&log);
    assert_eq!(found, all[..found.len()]);
    assert!(
        found.len() as i64 >= acknowledged,
        "{} of {acknowledged}: {report:?}",
        found.len()
    );
    assert_eq!(log.committed_offset(), log.end_offset());
    drop(log);
    let (log, report) = fixture.open_with(small_config(), start).await;
    assert_eq!(report.truncation, None, "recovery is idempotent");
    assert_eq!(rows(&log), found);
    append(&log, batch(1, NOW.0, 10));
    assert_eq!(rows(&log).len(), found.len() + 1);
}

#[test]
fn a_crash_at_any_moment_keeps_what_was_acknowledged() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        let mut crashes = Vec::new();
        let mut dice = Dice(5);
        for index in 0..60 {
            append(
                &log,
                batch(1 + dice.roll(3) as usize, NOW.0 + index, dice.roll(200) as usize),
            );
            if dice.roll(3) == 0 {
                commit_all(&log).await;
            }
            if dice.roll(3) == 0 {
                crashes.push((fixture.copy(), log.committed_offset()));
            }
        }
        commit_all(&log).await;
        let all = rows(&log);
        for (crash, flushed) in crashes {
            // the checkpoint may be older than the last sync, or missing
            for recovery_point in [None, Some(Offset(flushed.0 / 2)), Some(flushed)] {
                check_crash(&crash.copy(), &all, flushed.0, recovery_point).await;
            }
        }
        log.close().await.unwrap();
    });
}

#[test]
fn every_torn_or_damaged_byte_of_the_last_batch_is_cut_off() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        for index in 0..3 {
            produce(&log, batch(2, NOW.0 + index, 20)).await;
        }
        let acknowledged = log.committed_offset();
        let position = log.size_bytes() as usize;
        append(&log, batch(2, NOW.0 + 9, 20));
        let all = rows(&log);
        let name = "00000000000000000000.log";
        let bytes = std::fs::read(fixture.path(name)).unwrap();
        let bytes = &bytes[..log.size_bytes() as usize];
        // Each byte in one way; `check` has the unit test of each in all ways.
        for at in position..bytes.len() {
            let damaged = match at % 3 {
                0 => bytes[..at].to_vec(),
                1 => [&bytes[..at], &vec![0; bytes.len() - at + 100]].concat(),
                _ => {
                    // offset and epoch are outside the CRC; see there as well
                    let at = if matches!(at - position, 0..8 | 12..16) {
                        position + 16
                    } else {
                        at
                    };
                    let mut damaged = bytes.to_vec();
                    damaged[at] ^= 0x41;
                    damaged
                }
            };
            let crash = fixture.copy();
            std::fs::write(crash.path(name), damaged).unwrap();
            check_crash(&crash, &all, acknowledged.0, Some(acknowledged)).await;
        }
        log.close().await.unwrap();
    });
}

#[test]
fn a_clean_stop_is_not_scanned_and_changes_nothing() {
    // Start-up time must not grow with the log.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        for index in 0..50 {
            produce(&log, batch(2, NOW.0 + index, 50)).await;
        }
        let all = rows(&log);
        log.close().await.unwrap();
        let files = |fixture: &Fixture| -> BTreeMap<String, Vec<u8>> {
            let names = fixture.names().into_iter();
            names
                .map(|name| (name.clone(), std::fs::read(fixture.path(&name)).unwrap()))
                .collect()
        };
        let before = files(&fixture);
        let clean = OpenState {
            clean: true,
            recovery_point: Some(Offset(100)),
            ..Default::default()
        };
        for _ in 0..2 {
            let (log, report) = fixture.open_with(small_config(), clean).await;
            assert_eq!((report.segments_checked, report.bytes_checked), (0, 0));
            assert_eq!(rows(&log), all);
            assert_eq!(log.committed_offset(), Offset(100));
            log.close().await.unwrap();
            assert_eq!(files(&fixture), before);
        }
        // and recovery builds the very same indexes
        let (log, report) = fixture.open_with(small_config(), OpenState::default()).await;
        assert!(report.segments_checked > 3 && report.truncation.is_none());
        log.close().await.unwrap();
        assert_eq!(files(&fixture), before);
        let (log, report) = fixture
            .open_with(
                small_config(),
                OpenState {
                    recovery_point: Some(Offset(100)),
                    ..Default::default()
                },
            )
            .await;
        assert_eq!(report.segments_checked, 1);
        produce(&log, batch(1, NOW.0 + 100, 50)).await;
        log.close().await.unwrap();
    });
}

#[test]
fn appending_goes_on_with_the_index_as_if_nothing_had_been() {
    run(async {
        let restarted = Fixture::new();
        let whole = Fixture::new();
        let straight = whole.open(small_config()).await;
        for index in 0..40 {
            let clean = OpenState {
                clean: true,
                ..Default::default()
            };
            let (log, _) = restarted.open_with(small_config(), clean).await;
            for log in [&log, &straight] {
                produce(log, batch(1, NOW.0 + index, 70)).await;
            }
            log.close().await.unwrap();
        }
        straight.close().await.unwrap();
        for name in whole.names().iter().filter(|name| name.ends_with("index")) {
            let (a, b) = (
                std::fs::read(whole.path(name)).unwrap(),
                std::fs::read(restarted.path(name)).unwrap(),
            );
            if name.ends_with(".index") {
                assert_eq!(a, b, "{name}");
            } else {
                // each clean stop adds the greatest timestamp, as Kafka does
                assert!(
                    a.chunks(12).all(|entry| b.chunks(12).any(|other| other == entry)),
                    "{name}"
                );
            }
        }
    });
}

#[test]
fn damage_before_the_recovery_point_is_told_and_kept() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        for index in 0..40 {
            produce(&log, batch(2, NOW.0 + index, 80)).await;
        }
        let all = rows(&log);
        log.close().await.unwrap();
        let logs: Vec<String> = fixture
            .names()
            .into_iter()
            .filter(|name| name.ends_with(".log"))
            .collect();
        let victim = &logs[logs.len() - 2];
        let mut bytes = std::fs::read(fixture.path(victim)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(fixture.path(victim), &bytes).unwrap();
        let start = OpenState {
            recovery_point: Some(Offset(0)),
            ..Default::default()
        };
        let unsynced = fixture.copy();
        let (log, report) = unsynced.open_with(small_config(), start).await;
        let truncation = report.truncation.unwrap();
        assert!(!truncation.below_recovery_point && report.segments_removed == 1);
        let found = rows(&log);
        assert_eq!(found, all[..found.len()]);
        log.close().await.unwrap();

        let victim_base: i64 = victim[..20].parse().unwrap();
        let (log, report) = fixture
            .open_with(
                small_config(),
                OpenState {
                    recovery_point: Some(Offset(victim_base + 100)),
                    ..Default::default()
                },
            )
            .await;
        // the recovery point lies in the last segment: older ones are not looked at
        assert!(report.truncation.is_none() || report.truncation.unwrap().below_recovery_point);
        drop(log);
        let copy = fixture.copy();
        let last = copy.path(&logs[logs.len() - 1]);
        // What lies before the recovery point is not read at a start, but that it is missing is seen.
        let bytes = std::fs::read(&last).unwrap();
        std::fs::write(&last, &bytes[..70]).unwrap();
        let (log, report) = copy
            .open_with(
                small_config(),
                OpenState {
                    recovery_point: Some(Offset(80)),
                    ..Default::default()
                },
            )
            .await;
        assert!(report.truncation.unwrap().below_recovery_point);
        assert!(
            copy.names().iter().any(|name| name.ends_with(".damaged")),
            "{:?}",
            copy.names()
        );
        log.close().await.unwrap();
    });
}

#[test]
fn leftovers_and_strays_are_dealt_with() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        for index in 0..30 {
            produce(&log, batch(2, NOW.0 + index, 80)).await;
        }
        let all = rows(&log);
        drop(log);
        for name in [
            "00000000000000000000.log.deleted",
            "00000000000000000000.log.cleaned",
            "00000000000000000000.index.cleaned",
            "00000000000000000000.timeindex.swap",
            "00000000000000000777.index",
            "00000000000000000003.snapshot",
            "00000000000000009999.snapshot",
            "leader-epoch-checkpoint.tmp",
        ] {
            std::fs::write(fixture.path(name), b"rubbish").unwrap();
        }
        std::fs::write(fixture.path("leader-epoch-checkpoint"), b"rubbish").unwrap();
        let (log, report) = fixture.open_with(small_config(), OpenState::default()).await;
        assert_eq!(report.leftovers.removed, 5);
        assert_eq!(report.orphans_removed, 2);
        assert!(report.epochs_rebuilt);
        assert_eq!(rows(&log), all);
        assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)));
        assert!(!fixture.names().iter().any(|name| {
            name.contains("777") || name.contains("9999") || name.ends_with(".tmp") || name.ends_with("ed")
        }));
        log.close().await.unwrap();
    });
}

#[test]
fn what_a_failed_write_left_behind_a_segment_is_not_served() {
    // Simulation seed 9442: the truncation after the failed write was not on the disk when the log went on in the next segment.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        while log.segment_count() < 3 {
            append(&log, batch(1, NOW.0, 100));
        }
        commit_all(&log).await;
        let all = rows(&log);
        let mut segments = fixture.names();
        segments.retain(|name| name.ends_with(".log"));
        let next: i64 = segments[2][..20].parse().unwrap();
        let whole = std::fs::read(fixture.path(&segments[1])).unwrap();
        let mut batch_there = batch(1, NOW.0, 50).build().unwrap().to_vec();
        batch_there[..8].copy_from_slice(&next.to_be_bytes());
        for left_bytes in [1, 61, 80, batch_there.len()] {
            let crashed = fixture.copy();
            let left = [&whole[..], &batch_there[..left_bytes]].concat();
            std::fs::write(crashed.path(&segments[1]), left).unwrap();
            let start = OpenState {
                recovery_point: Some(Offset(next)),
                ..Default::default()
            };
            let (log, report) = crashed.open_with(small_config(), start).await;
            assert_eq!(rows(&log), all, "{left_bytes} bytes left: {report:?}");
            assert_eq!(std::fs::read(crashed.path(&segments[1])).unwrap(), whole);
        }
    });
}

#[test]
fn a_cut_below_the_log_start_gives_no_offset_out_twice() {
    // The log start divides a batch that is cut off, and only this process knew of it: interrupted, the next start began anew at offset 0.
    async fn open(start: OpenState) -> Log {
        let opened = Log::open(Path::new("/topic-0"), Rc::new(small_config()), start, None).await;
        opened.expect("the log opens").0
    }
    for operation in 0..60 {
        let disk = SimDisk::new();
        let filled = sim::run(&disk, SimConfig::new(operation), async {
            let log = open(OpenState::default()).await;
            for _ in 0..20 {
                produce(&log, batch(3, NOW.0, 150)).await;
            }
            assert!(log.segment_count() > 2);
            log.end_offset()
        });
        let Ok(Outcome::Done(end)) = filled else {
            panic!("{filled:?}");
        };
        let written_down = OpenState {
            recovery_point: Some(end),
            ..OpenState::default()
        };
        let config = SimConfig {
            halt_after: Some(HaltAfter {
                halt: Halt::PowerCut,
                operation,
            }),
            ..SimConfig::new(operation)
        };
        let _cut = sim::run(&disk, config, async move {
            let log = open(written_down).await;
            log.set_high_watermark(end);
            log.delete_records_before(Offset(end.0 - 1)).unwrap();
            log.truncate(Offset(end.0 - 1)).await
        });
        let restarted = sim::run(&disk, SimConfig::new(operation), async move {
            open(written_down).await.end_offset()
        });
        let Ok(Outcome::Done(found)) = restarted else {
            panic!("{restarted:?}");
        };
        assert!(
            found >= Offset(end.0 - 3),
            "cut at {operation}: ends at {found} of {end}"
        );
    }
}

#[test]
fn a_log_start_behind_the_end_begins_anew_there() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        produce(&log, batch(2, NOW.0, 80)).await;
        log.close().await.unwrap();
        let start = OpenState {
            log_start: Some(Offset(500)),
            ..Default::default()
        };
        let (log, _) = fixture.open_with(small_config(), start).await;
        assert_eq!((log.start_offset(), log.end_offset()), (Offset(500), Offset(500)));
        // the checkpoint that says so may be wrong
        assert!(fixture.names().iter().any(|name| name.ends_with(".damaged")));
        log.set_high_watermark(Offset(500));
        assert_eq!(produce(&log, batch(1, NOW.0, 80)).await.base_offset, Offset(500));
        log.close().await.unwrap();
    });
}
