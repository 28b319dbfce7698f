use engine::log::{Log, LogConfig, OpenState};
use engine::types::{Offset, Timestamp};

use crate::support::*;

async fn filled(fixture: &Fixture, config: LogConfig) -> Log {
    let log = fixture.open(config).await;
    for index in 0..60 {
        produce(&log, batch(1, NOW.0 + index, 150)).await;
    }
    assert!(log.segment_count() > 4);
    log
}

#[test]
fn size_keeps_at_least_what_was_asked_for() {
    run(async {
        let fixture = Fixture::new();
        let log = filled(
            &fixture,
            LogConfig {
                retention_bytes: 5000,
                ..small_config()
            },
        )
        .await;
        let all = rows(&log);
        assert!(retain(&log, NOW.0).await > 0);
        assert!((5000..7000).contains(&log.size_bytes()), "{}", log.size_bytes());
        let left = rows(&log);
        assert_eq!(left, all[all.len() - left.len()..]);
        assert_eq!(log.start_offset().0, left[0].offset);
        assert_eq!(retain(&log, NOW.0).await, 0);
        while fixture.names().iter().any(|name| name.ends_with(".deleted")) {
            reactor::sleep(std::time::Duration::from_millis(1)).await;
        }
        log.close().await.unwrap();
        let (log, _) = fixture.open_with(small_config(), OpenState::default()).await;
        assert_eq!(rows(&log), left);
        log.close().await.unwrap();
    });
}

#[test]
fn time_goes_by_records_and_takes_the_active_segment_too() {
    run(async {
        let fixture = Fixture::new();
        let log = filled(
            &fixture,
            LogConfig {
                retention_ms: 1000,
                ..small_config()
            },
        )
        .await;
        assert_eq!(retain(&log, NOW.0 + 1000).await, 0);
        assert!(retain(&log, NOW.0 + 1030).await > 0);
        let left = rows(&log);
        assert!(
            left.len() < 60 && left.iter().all(|row| row.offset >= 20),
            "{}",
            left[0].offset
        );
        retain(&log, NOW.0 + 5000).await;
        assert_eq!(
            (log.start_offset(), log.end_offset(), log.segment_count()),
            (Offset(60), Offset(60), 1)
        );
        produce(&log, batch(1, NOW.0 + 5000, 10)).await;
        log.close().await.unwrap();
        // offsets are never given out twice
        let (log, _) = fixture.open_with(small_config(), OpenState::default()).await;
        assert_eq!((log.start_offset(), log.end_offset()), (Offset(60), Offset(61)));
        log.close().await.unwrap();
    });
}

#[test]
fn nothing_above_the_high_watermark_goes() {
    run(async {
        let fixture = Fixture::new();
        let log = filled(
            &fixture,
            LogConfig {
                retention_ms: 1,
                ..small_config()
            },
        )
        .await;
        log.set_high_watermark(Offset(15));
        retain(&log, NOW.0 + 100_000).await;
        assert!(log.start_offset() > Offset(0) && log.start_offset() <= Offset(15));
        log.set_high_watermark(log.end_offset());
        log.close().await.unwrap();
    });
}

#[test]
fn deleted_records_go_with_their_segments_whatever_the_policy() {
    run(async {
        let fixture = Fixture::new();
        let config = LogConfig {
            cleanup_policy: engine::log::CleanupPolicy::COMPACT,
            ..small_config()
        };
        let log = filled(&fixture, config).await;
        log.delete_records_before(Offset(31)).unwrap();
        assert!(retain(&log, NOW.0).await > 0);
        assert_eq!(log.start_offset(), Offset(31));
        let slice = log.read(Offset(31), 1000, log.end_offset(), true).unwrap();
        assert_eq!(rows_of(&bytes_of(&slice.pieces))[0].offset, 31);
        assert!(log.offset_for_timestamp(Timestamp(0)).unwrap().unwrap().offset == Offset(31));
        log.close().await.unwrap();
        // the checkpoint brings log start back
        let start = OpenState {
            clean: true,
            log_start: Some(Offset(31)),
            ..Default::default()
        };
        let (log, _) = fixture.open_with(small_config(), start).await;
        assert_eq!(log.start_offset(), Offset(31));
        log.close().await.unwrap();
    });
}

#[test]
fn a_reader_finishes_what_retention_removed() {
    run(async {
        let fixture = Fixture::new();
        let log = filled(
            &fixture,
            LogConfig {
                retention_bytes: 1,
                ..small_config()
            },
        )
        .await;
        let slice = log.read(Offset(0), 1500, log.end_offset(), true).unwrap();
        let before = bytes_of(&slice.pieces);
        assert!(retain(&log, NOW.0).await > 0);
        while fixture.names().iter().any(|name| name.ends_with(".deleted")) {
            reactor::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(bytes_of(&slice.pieces), before);
        log.close().await.unwrap();
    });
}

#[test]
fn size_takes_a_segment_only_if_enough_is_left_without_it() {
    run(async {
        let fixture = Fixture::new();
        let log = filled(&fixture, small_config()).await;
        let mut names = fixture.names();
        names.retain(|name| name.ends_with(".log"));
        let first = std::fs::metadata(fixture.path(&names[0])).unwrap().len();
        let left = (log.size_bytes() - first) as i64;
        for (retention_bytes, removed) in [(left + 1, 0), (left, 1)] {
            log.set_config(std::rc::Rc::new(LogConfig {
                retention_bytes,
                ..small_config()
            }));
            assert_eq!(retain(&log, NOW.0).await, removed, "{retention_bytes}");
        }
        assert_eq!(log.size_bytes() as i64, left);
        log.close().await.unwrap();
    });
}

#[test]
fn records_without_timestamps_are_as_old_as_their_file() {
    // By the start of the process they would never expire on a broker that is often started again.
    run(async {
        let fixture = Fixture::new();
        let config = LogConfig {
            retention_ms: 1000,
            ..small_config()
        };
        let log = fixture.open(config.clone()).await;
        for _ in 0..30 {
            produce(&log, batch(1, -1, 150)).await;
        }
        log.close().await.unwrap();
        let changed = std::time::UNIX_EPOCH + std::time::Duration::from_millis(NOW.0 as u64);
        for name in fixture.names().iter().filter(|name| name.ends_with(".log")) {
            let file = std::fs::File::options()
                .write(true)
                .open(fixture.path(name))
                .unwrap();
            file.set_modified(changed).unwrap();
        }
        let clean = OpenState {
            clean: true,
            ..Default::default()
        };
        let (log, _) = fixture.open_with(config, clean).await;
        log.set_high_watermark(log.end_offset());
        assert_eq!(retain(&log, NOW.0 + 1000).await, 0);
        retain(&log, NOW.0 + 1001).await;
        assert_eq!(log.start_offset(), log.end_offset());
        log.close().await.unwrap();
    });
}

#[test]
fn a_record_from_the_future_keeps_its_segment_until_then() {
    run(async {
        let fixture = Fixture::new();
        let config = LogConfig {
            retention_ms: 1000,
            ..small_config()
        };
        let log = fixture.open(config).await;
        produce(&log, batch(1, NOW.0 + 50_000, 10)).await;
        for _ in 0..20 {
            produce(&log, batch(1, NOW.0, 150)).await;
        }
        assert_eq!(retain(&log, NOW.0 + 49_000).await, 0, "also nothing behind it");
        retain(&log, NOW.0 + 51_001).await;
        assert_eq!(log.start_offset(), log.end_offset());
        log.close().await.unwrap();
    });
}
