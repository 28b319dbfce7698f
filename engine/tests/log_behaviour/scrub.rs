use std::os::unix::fs::FileExt;

use engine::batch::Batches;
use engine::log::{CleanupPolicy, Log, LogConfig, OpenState, ReadError, ScrubRules, Scrubbed};
use engine::types::{Offset, Timestamp};

use crate::support::*;

const RULES: ScrubRules = ScrubRules {
    interval_ms: 1000,
    bytes_per_second: 0.0,
};

async fn scrub(log: &Log, now: i64) -> Scrubbed {
    log.scrub(Timestamp(now), RULES).await.expect("a scrub")
}

/// Some closed segments of some batches each, everything synced.
async fn filled(fixture: &Fixture, config: LogConfig) -> Log {
    let log = fixture.open(config).await;
    for index in 0..60 {
        produce(&log, batch(1 + index as usize % 3, NOW.0 + index, 100)).await;
    }
    log.roll(NOW).unwrap();
    commit_all(&log).await;
    log
}

fn segments(fixture: &Fixture) -> Vec<String> {
    let mut names = fixture.names();
    names.retain(|name| name.ends_with(".log"));
    names.sort();
    names.pop(); // the active one
    names
}

fn flip(fixture: &Fixture, name: &str, bit: u64) {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(fixture.path(name))
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, bit / 8).unwrap();
}

/// Asks for every offset, in several sizes. What is answered must be what was written; what is not must be called damaged.
/// Returns the offsets that are.
fn check_reads(log: &Log, written: &[Row]) -> Vec<i64> {
    let mut damaged = Vec::new();
    for row in written {
        for max_bytes in [1, 500, 100_000] {
            match log.read(Offset(row.offset), max_bytes, log.end_offset(), true) {
                Ok(slice) => {
                    let bytes = bytes_of(&slice.pieces);
                    for batch in Batches::new(&bytes) {
                        batch.unwrap().verify_crc().unwrap();
                    }
                    let rows = rows_of(&bytes);
                    assert!(
                        rows.iter().any(|found| found == row),
                        "offset {} is answered",
                        row.offset
                    );
                    assert!(rows.iter().all(|row| written.contains(row)));
                    assert_eq!(slice.next_offset.0, rows.last().unwrap().offset + 1);
                }
                Err(ReadError::Damaged { offset, .. }) => {
                    assert_eq!(offset, Offset(row.offset));
                    if max_bytes == 1 {
                        damaged.push(row.offset);
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    damaged
}

/// The batch a position of a segment lies in: its position, and the position within it.
fn place(fixture: &Fixture, name: &str, position: u64) -> (u64, u64) {
    let bytes = std::fs::read(fixture.path(name)).unwrap();
    let mut start = 0;
    for batch in Batches::new(&bytes) {
        let size = batch.unwrap().size_bytes() as u64;
        if position < start + size {
            return (start, position - start);
        }
        start += size;
    }
    panic!("{position} is behind the segment")
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is_and_never_served() {
    // A consumer would get records that nobody wrote, or stop at them for ever.
    run(async {
        let fixture = Fixture::new();
        let log = filled(&fixture, small_config()).await;
        let written = rows(&log);
        log.close().await.unwrap();
        let names = segments(&fixture);
        for seed in 1..60 {
            let mut dice = Dice(seed);
            let broken = fixture.copy();
            let name = &names[dice.roll(names.len() as u64) as usize];
            let size = std::fs::metadata(broken.path(name)).unwrap().len();
            let bit = dice.roll(size * 8);
            let (_, within) = place(&broken, name, bit / 8);
            if (12..16).contains(&within) {
                continue; // the leader epoch, which nothing covers
            }
            flip(&broken, name, bit);
            let start = OpenState {
                clean: true,
                ..Default::default()
            };
            let (log, _) = broken.open_with(small_config(), start).await;
            log.set_high_watermark(log.end_offset());
            let scrubbed = scrub(&log, NOW.0).await;
            assert_eq!(scrubbed.ranges_found, 1, "seed {seed}, {name}, bit {bit}");
            assert_eq!(scrubbed.segments as usize, names.len());
            let damaged = check_reads(&log, &written);
            assert!((1..=12).contains(&damaged.len()), "seed {seed}: {damaged:?}");
            let ranges = log.bad_ranges();
            assert!(
                damaged.iter().all(|offset| {
                    ranges[0].first_offset.0 <= *offset && *offset < ranges[0].next_offset.0
                })
            );
            // by time, too, only what is good is looked at
            for row in &written {
                if let Ok(Some(found)) = log.offset_for_timestamp(Timestamp(row.timestamp)) {
                    assert!(
                        written.iter().any(|row| {
                            row.offset == found.offset.0 && row.timestamp == found.timestamp.0
                        })
                    );
                }
            }
            log.close().await.unwrap();
        }
    });
}

#[test]
fn many_bad_places_leave_the_rest_readable() {
    run(async {
        let fixture = Fixture::new();
        let log = filled(&fixture, small_config()).await;
        let written = rows(&log);
        log.close().await.unwrap();
        for seed in 1..12 {
            let mut dice = Dice(seed * 77);
            let broken = fixture.copy();
            for name in segments(&fixture) {
                for _ in 0..dice.roll(5) {
                    let size = std::fs::metadata(broken.path(&name)).unwrap().len();
                    let bit = dice.roll(size * 8);
                    if !(12..16).contains(&place(&fixture, &name, bit / 8).1) {
                        flip(&broken, &name, bit);
                    }
                }
            }
            let start = OpenState {
                clean: true,
                ..Default::default()
            };
            let (log, _) = broken.open_with(small_config(), start).await;
            log.set_high_watermark(log.end_offset());
            scrub(&log, NOW.0).await;
            let before = check_reads(&log, &written);
            let ranges = log.bad_ranges();
            assert!(ranges.iter().all(|range| range.position < range.end));
            assert_eq!(scrub(&log, NOW.0 + 2000).await.ranges_found, 0, "nothing new");
            log.close().await.unwrap();
            // A start without a recovery point checks all that is not known to be damaged, and cuts nothing off.
            let (log, report) = broken.open_with(small_config(), OpenState::default()).await;
            assert_eq!(report.truncation, None, "seed {seed}");
            log.set_high_watermark(log.end_offset());
            assert_eq!(log.bad_ranges(), ranges);
            assert_eq!(check_reads(&log, &written), before);
            log.close().await.unwrap();
        }
    });
}

#[test]
fn a_bad_place_across_two_batches_costs_these_two() {
    // A bad sector of 4096 bytes lies across some small batches; the rest of the segment, up to a gigabyte, was refused with them.
    run(async {
        let fixture = Fixture::new();
        let log = filled(&fixture, small_config()).await;
        let written = rows(&log);
        let name = segments(&fixture)[0].clone();
        let bytes = std::fs::read(fixture.path(&name)).unwrap();
        let batches: Vec<_> = Batches::new(&bytes).map(|batch| batch.unwrap()).collect();
        assert!(batches.len() > 5, "{} batches", batches.len());
        let mut expected = Vec::new();
        let mut position = 0;
        for (index, batch) in batches.iter().enumerate() {
            if (1..4).contains(&index) {
                flip(&fixture, &name, (position + 70) * 8);
                expected.extend(batch.base_offset().0..batch.next_offset().0);
            }
            position += batch.size_bytes() as u64;
        }
        scrub(&log, NOW.0).await;
        assert_eq!(check_reads(&log, &written), expected);
        let ranges = log.bad_ranges();
        let [range] = &ranges[..] else {
            panic!("one range: {ranges:?}")
        };
        assert_eq!(
            (range.first_offset, range.next_offset),
            (batches[1].base_offset(), batches[4].base_offset())
        );
        log.close().await.unwrap();
    });
}

#[test]
fn a_quarantine_is_lifted_when_the_range_is_good_again() {
    run(async {
        let fixture = Fixture::new();
        let log = filled(&fixture, small_config()).await;
        let written = rows(&log);
        let name = segments(&fixture)[1].clone();
        let quarantine = name.replace(".log", ".quarantine");
        assert_eq!(scrub(&log, NOW.0).await.ranges_found, 0);
        flip(&fixture, &name, 3000);
        assert_eq!(scrub(&log, NOW.0 + 999).await.segments, 0, "not due");
        assert_eq!(scrub(&log, NOW.0 + 1000).await.ranges_found, 1);
        assert!(fixture.names().contains(&quarantine));
        assert!(!check_reads(&log, &written).is_empty());
        flip(&fixture, &name, 3000);
        let scrubbed = scrub(&log, NOW.0 + 2000).await;
        assert_eq!((scrubbed.ranges_found, scrubbed.ranges_lifted), (0, 1));
        assert!(!fixture.names().contains(&quarantine));
        assert!(check_reads(&log, &written).is_empty());
        log.close().await.unwrap();
    });
}

#[test]
fn retention_takes_a_damaged_segment_and_its_quarantine() {
    run(async {
        let fixture = Fixture::new();
        let log = filled(&fixture, small_config()).await;
        let name = segments(&fixture)[0].clone();
        flip(&fixture, &name, 3000);
        // without its indexes nothing tells how old it is
        std::fs::remove_file(fixture.path(&name.replace(".log", ".timeindex"))).unwrap();
        scrub(&log, NOW.0).await;
        assert_eq!(log.bad_ranges().len(), 1);
        log.set_config(std::rc::Rc::new(LogConfig {
            retention_ms: 1,
            ..small_config()
        }));
        retain(&log, NOW.0 * 10).await;
        assert_eq!(log.start_offset(), log.end_offset());
        assert!(log.bad_ranges().is_empty());
        log.close().await.unwrap();
        let names = fixture.names();
        assert!(
            !names.iter().any(|name| name.ends_with(".quarantine")),
            "{names:?}"
        );
    });
}

#[test]
fn compaction_stops_before_damage_and_has_it_looked_at() {
    // A tombstone behind the damage may be all that keeps a deleted key in it from coming back.
    run(async {
        let fixture = Fixture::new();
        let config = LogConfig {
            cleanup_policy: CleanupPolicy::COMPACT,
            min_cleanable_dirty_ratio: 0.0,
            ..small_config()
        };
        let log = filled(&fixture, config.clone()).await;
        let names = segments(&fixture);
        let damaged = &names[2];
        let base = Offset(damaged[..20].parse().unwrap());
        flip(&fixture, damaged, 3000);
        let error = log.compact(NOW).await.unwrap_err();
        assert!(error.to_string().contains(&format!("segment {base}")), "{error}");
        assert_eq!(
            log.bad_ranges().len(),
            1,
            "found without waiting for the scrubber"
        );
        let compacted = log.compact(NOW).await.unwrap().expect("what lies before");
        assert_eq!(compacted.cleaned_to, base);
        assert_eq!(log.compact(NOW).await.unwrap(), None);
        flip(&fixture, damaged, 3000);
        scrub(&log, NOW.0 + 1000).await;
        let compacted = log.compact(NOW).await.unwrap().expect("all of it");
        assert_eq!(compacted.cleaned_to, log.end_offset());
        log.close().await.unwrap();
    });
}

#[test]
fn a_rate_is_kept() {
    run(async {
        let fixture = Fixture::new();
        let log = filled(&fixture, small_config()).await;
        let before = reactor::now();
        let rules = ScrubRules {
            bytes_per_second: 1e6,
            ..RULES
        };
        let scrubbed = log.scrub(NOW, rules).await.unwrap();
        // a segment's last slice is not waited for
        assert_eq!(scrubbed.segments, segments(&fixture).len() as u64);
        assert!(reactor::now() >= before);
        assert!(scrubbed.batches >= 60 && scrubbed.bytes > 10_000);
        log.close().await.unwrap();
    });
}
