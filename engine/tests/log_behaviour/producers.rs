use engine::log::{AppendError, OpenState, ProducerError};
use engine::types::Offset;

use crate::support::*;

fn producer(sequence: i32) -> Producer {
    Producer {
        id: 77,
        epoch: 0,
        sequence,
    }
}

#[test]
fn retries_are_answered_with_the_first_offset() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        produce(&log, batch(5, NOW.0, 10)).await;
        let first = produce(&log, from_producer(producer(0), 3)).await;
        let second = produce(&log, from_producer(producer(3), 2)).await;
        for (sequence, records, original) in [(0, 3, first), (3, 2, second)] {
            let again = append(&log, from_producer(producer(sequence), records));
            assert!(again.duplicate);
            assert_eq!(
                (again.base_offset, again.last_offset),
                (original.base_offset, original.last_offset)
            );
        }
        assert_eq!(log.end_offset(), Offset(10));
        let error = try_append(&log, from_producer(producer(9), 1)).unwrap_err();
        assert!(matches!(
            error,
            AppendError::Producer {
                source: ProducerError::OutOfOrderSequence { .. },
                ..
            }
        ));
        assert!(
            error.to_string().contains("topic-with-dashes-0 at offset 10"),
            "{error}"
        );
        log.close().await.unwrap();
    });
}

#[test]
fn sequences_survive_clean_stops_and_crashes() {
    // An idempotent producer goes on after a broker restart: neither refused nor stored twice.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        let mut sequence = 0;
        for _ in 0..40 {
            produce(&log, from_producer(producer(sequence), 3)).await;
            sequence += 3;
        }
        produce(
            &log,
            from_producer(
                Producer {
                    id: 5,
                    epoch: 2,
                    sequence: 0,
                },
                1,
            ),
        )
        .await;
        assert!(log.segment_count() > 2);
        let end = log.end_offset();
        let crashed = fixture.copy();
        log.close().await.unwrap();
        let no_snapshots = fixture.copy();
        for name in no_snapshots.names() {
            if name.ends_with(".snapshot") {
                std::fs::remove_file(no_snapshots.path(&name)).unwrap();
            }
        }
        let torn = fixture.copy();
        for name in torn.names() {
            if name.ends_with(".snapshot") {
                let bytes = std::fs::read(torn.path(&name)).unwrap();
                std::fs::write(torn.path(&name), &bytes[..bytes.len() / 2]).unwrap();
            }
        }
        let torn_after_all = torn.copy();
        for (fixture, clean) in [
            (&fixture, true),
            (&crashed, false),
            (&no_snapshots, false),
            (&torn, false),
            (&torn_after_all, true),
        ] {
            let start = OpenState {
                clean,
                recovery_point: Some(end),
                ..Default::default()
            };
            let (log, _) = fixture.open_with(small_config(), start).await;
            assert_eq!(log.end_offset(), end);
            let again = append(&log, from_producer(producer(sequence - 3), 3));
            assert!(again.duplicate && again.last_offset < end);
            assert!(try_append(&log, from_producer(producer(sequence + 1), 1)).is_err());
            let next = append(&log, from_producer(producer(sequence), 3));
            assert!(!next.duplicate);
            let ids: Vec<i64> = log.producers().iter().map(|row| row.producer_id.0).collect();
            assert!(ids.contains(&77) && ids.contains(&5), "{ids:?}");
            log.close().await.unwrap();
        }
    });
}

#[test]
fn a_stop_that_cannot_write_the_producers_is_not_a_clean_one() {
    // The next start would read no headers, know no producer, and store the retries of acknowledged batches twice.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        produce(&log, from_producer(producer(0), 3)).await;
        std::fs::create_dir(fixture.path("00000000000000000003.snapshot")).unwrap();
        assert!(log.close().await.is_err());
    });
}
