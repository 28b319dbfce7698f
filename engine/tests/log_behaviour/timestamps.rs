use engine::batch::Origin;
use engine::types::{Offset, Timestamp};

use crate::support::*;

#[test]
fn lookups_by_time_agree_with_a_scan() {
    // "Begin at nine o'clock" must neither skip a record of nine o'clock nor begin a segment early.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        let mut dice = Dice(9);
        for index in 0..80i64 {
            // time goes forward, with late records in between and several of one moment
            let mut builder =
                engine::batch::BatchBuilder::new(Offset(0)).compression(codecs()[dice.roll(5) as usize]);
            for _ in 0..1 + dice.roll(4) {
                let timestamp = 1000 + index * 10 + dice.roll(60) as i64 - 30;
                builder.append(Timestamp(timestamp / 5 * 5), Some(b"k"), Some(&[b'v'; 60]));
            }
            produce(&log, builder).await;
        }
        assert!(log.segment_count() > 4);
        let all = rows(&log);
        let check = |log: &engine::log::Log, all: &[Row]| {
            for timestamp in (900..1900).step_by(3).chain([i64::MIN, 0, i64::MAX]) {
                let expected = all.iter().find(|row| row.timestamp >= timestamp);
                let found = log.offset_for_timestamp(Timestamp(timestamp)).unwrap();
                assert_eq!(
                    found.map(|found| (found.offset.0, found.timestamp.0)),
                    expected.map(|row| (row.offset, row.timestamp)),
                    "timestamp {timestamp}"
                );
            }
            let greatest = all.iter().map(|row| row.timestamp).max();
            let first = all.iter().find(|row| Some(row.timestamp) == greatest).unwrap();
            let found = log.offset_of_max_timestamp().unwrap().unwrap();
            assert_eq!(
                (found.offset.0, found.timestamp.0),
                (first.offset, first.timestamp)
            );
        };
        check(&log, &all);
        log.close().await.unwrap();
        for name in fixture
            .names()
            .iter()
            .filter(|name| name.ends_with(".timeindex"))
            .take(2)
        {
            std::fs::remove_file(fixture.path(name)).unwrap();
        }
        let clean = engine::log::OpenState {
            clean: true,
            ..Default::default()
        };
        let (log, _) = fixture.open_with(small_config(), clean).await;
        check(&log, &all);
        log.close().await.unwrap();
        assert_eq!(context().origin, Origin::Client);
    });
}

#[test]
fn an_empty_log_has_no_times() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        assert_eq!(log.offset_for_timestamp(Timestamp(0)).unwrap(), None);
        assert_eq!(log.offset_of_max_timestamp().unwrap(), None);
        log.close().await.unwrap();
    });
}
