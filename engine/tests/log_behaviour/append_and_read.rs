use engine::batch::{Batches, TimestampType};
use engine::log::{LogConfig, ReadError};
use engine::types::{LeaderEpoch, Offset, Timestamp};

use crate::support::*;

#[test]
fn every_answer_size_gives_the_same_log() {
    // A consumer must see each record once and in order, however its answers are cut and wherever segments end.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        let mut expected = 0;
        let mut dice = Dice(7);
        for index in 0..120 {
            let records = 1 + dice.roll(4) as usize;
            let appended = produce(&log, batch(records, NOW.0 + index, dice.roll(150) as usize)).await;
            assert_eq!(appended.base_offset, Offset(expected));
            expected += records as i64;
            assert_eq!(appended.last_offset, Offset(expected - 1));
        }
        assert!(log.segment_count() > 5, "{}", log.segment_count());
        let all = read_all(&log, 1 << 20);
        let offsets: Vec<i64> = rows_of(&all).iter().map(|row| row.offset).collect();
        assert_eq!(offsets, (0..expected).collect::<Vec<_>>());
        for max_bytes in [0, 1, 61, 150, 333, 1000, 1999, 2000, 5000] {
            assert_eq!(read_all(&log, max_bytes), all, "max bytes {max_bytes}");
        }
        assert!(log.open_file_count() <= 5, "{} files open", log.open_file_count());
        log.close().await.unwrap();
    });
}

#[test]
fn a_read_begins_anywhere_and_ends_below_its_bound() {
    // Records at or above the high watermark may still vanish; nobody may see them.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        for index in 0..60 {
            produce(&log, batch(3, NOW.0 + index, 40)).await;
        }
        let end = log.end_offset().0;
        let mut dice = Dice(11);
        for _ in 0..2000 {
            let from = dice.roll(end as u64 + 1) as i64;
            let below = dice.roll(end as u64 + 2) as i64;
            let max_bytes = dice.roll(3000) as u32;
            let at_least_one = dice.roll(2) == 0;
            let slice = log
                .read(Offset(from), max_bytes, Offset(below), at_least_one)
                .unwrap();
            let bytes = bytes_of(&slice.pieces);
            let batches: Vec<_> = Batches::new(&bytes).map(|batch| batch.unwrap()).collect();
            assert!(batches.len() <= 1 || bytes.len() <= max_bytes as usize);
            assert!(at_least_one || bytes.len() <= max_bytes as usize);
            match batches.first() {
                Some(first) => {
                    assert!(first.base_offset().0 <= from && first.last_offset().0 >= from);
                    assert!(batches.last().unwrap().last_offset().0 < below.min(end));
                    assert_eq!(slice.next_offset, batches.last().unwrap().next_offset());
                }
                None => {
                    let fits = from / 3 * 3 + 3 <= below.min(end);
                    assert!(
                        !fits || !at_least_one || from >= below,
                        "{from} {below} {max_bytes}"
                    );
                }
            }
        }
        log.close().await.unwrap();
    });
}

#[test]
fn offsets_outside_the_log_are_refused_with_its_bounds() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        produce(&log, batch(10, NOW.0, 10)).await;
        assert_eq!(log.delete_records_before(Offset(4)).unwrap(), Offset(4));
        assert!(log.delete_records_before(Offset(11)).is_err());
        for offset in [-1, 3, 11] {
            let Err(ReadError::OffsetOutOfRange {
                start, end, found, ..
            }) = log.read(Offset(offset), 100, Offset(10), true)
            else {
                panic!("offset {offset} is outside");
            };
            assert_eq!((start, end, found), (Offset(4), Offset(10), Offset(offset)));
        }
        assert_eq!(log.read(Offset(10), 100, Offset(10), true).unwrap().bytes, 0);
        // the batch that holds the start comes whole, as Kafka's
        let slice = log.read(Offset(4), 100_000, Offset(10), true).unwrap();
        assert_eq!(rows_of(&bytes_of(&slice.pieces)).len(), 10);
        log.close().await.unwrap();
    });
}

#[test]
fn two_readers_in_the_same_place_do_not_disturb_each_other() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        for index in 0..40 {
            produce(&log, batch(2, NOW.0 + index, 60)).await;
        }
        let all = read_all(&log, 1 << 20);
        let mut readers = vec![(Offset(0), Vec::new()); 12];
        let mut dice = Dice(3);
        while readers.iter().any(|(from, _)| *from < log.end_offset()) {
            let reader = dice.roll(readers.len() as u64) as usize;
            let (from, bytes) = &mut readers[reader];
            let slice = log
                .read(*from, 200 + dice.roll(600) as u32, log.end_offset(), true)
                .unwrap();
            bytes.extend(bytes_of(&slice.pieces));
            *from = slice.next_offset;
        }
        assert!(readers.iter().all(|(_, bytes)| *bytes == all));
        log.close().await.unwrap();
    });
}

#[test]
fn a_lost_or_wrong_index_is_rebuilt_when_it_is_asked() {
    // An index that points into the middle of a batch would make consumers skip records.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        for index in 0..60 {
            produce(&log, batch(2, NOW.0 + index, 60)).await;
        }
        let all = rows(&log);
        log.close().await.unwrap();
        let indexes: Vec<String> = fixture
            .names()
            .into_iter()
            .filter(|name| name.ends_with(".index"))
            .collect();
        let good: Vec<Vec<u8>> = indexes
            .iter()
            .map(|name| std::fs::read(fixture.path(name)).unwrap())
            .collect();
        let clean = engine::log::OpenState {
            clean: true,
            ..Default::default()
        };
        for damage in 0..4 {
            for (name, good) in indexes.iter().zip(&good) {
                let bytes = match damage {
                    0 => None,
                    1 => Some(good[..good.len() - 3].to_vec()),
                    2 => Some(vec![0; good.len()]),
                    _ => Some(good.iter().map(|byte| byte.wrapping_add(1) & 0x0f).collect()),
                };
                match bytes {
                    Some(bytes) => std::fs::write(fixture.path(name), bytes).unwrap(),
                    None => std::fs::remove_file(fixture.path(name)).unwrap(),
                }
            }
            let (log, _) = fixture.open_with(small_config(), clean).await;
            for row in &all {
                let slice = log.read(Offset(row.offset), 300, log.end_offset(), true).unwrap();
                let first = rows_of(&bytes_of(&slice.pieces)).remove(0).offset;
                assert!(first <= row.offset && row.offset < first + 2, "damage {damage}");
            }
            log.close().await.unwrap();
        }
        for (name, good) in indexes.iter().zip(&good) {
            assert_eq!(&std::fs::read(fixture.path(name)).unwrap(), good, "{name}");
        }
    });
}

#[test]
fn segments_roll_by_size_time_index_and_clock() {
    run(async {
        let fixture = Fixture::new();
        let config = LogConfig {
            segment_bytes: 1 << 20,
            segment_ms: 1000,
            ..small_config()
        };
        let log = fixture.open(config.clone()).await;
        produce(&log, batch(1, NOW.0, 10)).await;
        produce(&log, batch(1, NOW.0 + 1000, 10)).await;
        assert_eq!(log.segment_count(), 1);
        // record time decides, not when it came
        produce(&log, batch(1, NOW.0 + 1001, 10)).await;
        assert_eq!(log.segment_count(), 2);
        assert!(!log.roll_if_due(Timestamp(NOW.0 + 1000)).unwrap());
        assert!(log.roll_if_due(Timestamp(NOW.0 + 1001)).unwrap());
        assert!(
            !log.roll_if_due(Timestamp(NOW.0 + 5000)).unwrap(),
            "an empty segment does not roll"
        );
        log.set_config(std::rc::Rc::new(LogConfig {
            segment_index_bytes: 24,
            segment_ms: i64::MAX,
            ..config
        }));
        let before = log.segment_count();
        for index in 0..12 {
            produce(&log, batch(1, NOW.0 + 5000 + index, 300)).await;
        }
        assert!(log.segment_count() > before + 2);
        assert_eq!(rows(&log).len(), 15);
        log.close().await.unwrap();
    });
}

#[test]
fn append_time_and_epochs_are_the_brokers() {
    run(async {
        let fixture = Fixture::new();
        let config = LogConfig {
            message_timestamp_type: TimestampType::LogAppendTime,
            ..small_config()
        };
        let log = fixture.open(config).await;
        let (bytes, info) = validated(batch(2, 5, 10));
        let mut at = context();
        at.leader_epoch = LeaderEpoch(4);
        let appended = log.append(bytes, &info, &at).unwrap();
        assert_eq!(appended.log_append_time, NOW);
        at.leader_epoch = LeaderEpoch(3);
        let (bytes, info) = validated(batch(1, 5, 10));
        assert!(log.append(bytes.clone(), &info, &at).is_err(), "epochs only grow");
        log.begin_epoch(LeaderEpoch(6));
        at.leader_epoch = LeaderEpoch(6);
        log.append(bytes, &info, &at).unwrap();
        commit_all(&log).await;
        assert!(rows(&log).iter().all(|row| row.timestamp == NOW.0));
        assert_eq!(
            log.offset_for_leader_epoch(LeaderEpoch(5)),
            Some((LeaderEpoch(4), Offset(2)))
        );
        assert_eq!(
            log.offset_for_leader_epoch(LeaderEpoch(6)),
            Some((LeaderEpoch(6), Offset(3)))
        );
        log.close().await.unwrap();
        assert_eq!(
            std::fs::read(fixture.path("leader-epoch-checkpoint")).unwrap(),
            b"0\n2\n4 0\n6 2\n"
        );
    });
}

#[test]
fn a_batch_larger_than_a_segment_is_refused() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        assert!(matches!(
            try_append(&log, batch(1, NOW.0, 3000)),
            Err(engine::log::AppendError::LargerThanSegment {
                size_bytes: 3000..,
                segment_bytes: 2000,
                ..
            })
        ));
        assert_eq!(log.end_offset(), Offset(0));
        log.close().await.unwrap();
    });
}
