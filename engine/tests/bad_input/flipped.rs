//! One flipped bit in one file.

use engine::log::OpenError;

use crate::fixture::*;

/// What a bit of a file decides.
fn is_derived(name: &str) -> bool {
    [".index", ".timeindex", ".snapshot"]
        .iter()
        .any(|end| name.ends_with(end))
}

#[test]
fn a_flipped_bit_in_any_file_never_makes_a_wrong_record() {
    run(async {
        let partition = Partition::new(1).await;
        let files = partition.files();
        let mut dice = Dice(0x5eed);
        for trial in 0..300 {
            let file = &files[trial % files.len()];
            let start = STARTS[dice.roll(3)];
            let mut place = (0, 0);
            let copy = partition.with(file, |bytes| {
                place = (dice.roll(bytes.len()), dice.roll(8));
                bytes[place.0] ^= 1 << place.1;
            });
            let what = format!("{file}, byte {}, bit {}, {start:?}", place.0, place.1);
            let log = match open(&copy.dir, start, partition.end).await {
                Ok(log) => log,
                Err(error) => {
                    assert!(!is_derived(file), "{what}: {error}");
                    assert!(error.to_string().contains(PARTITION), "{what}: {error}");
                    continue;
                }
            };
            let served = partition.judge(&log, &what);
            if is_derived(file) {
                partition.assert_sound(&log, &what);
                partition.assert_producer(&log, &what);
            } else if file.ends_with(".log") {
                assert!(served.moved.len() <= 1, "{what}: {served:?}");
            } else {
                partition.assert_sound(&log, &what);
            }
            log.close().await.expect("closed");
        }
    });
}

/// Indexes are rebuilt where the log does not confirm them; each bit of each of them.
#[test]
fn no_flipped_bit_of_an_offset_index_hides_a_record() {
    run(async {
        let partition = Partition::new(1).await;
        let name = "00000000000000000000.index";
        let bits = std::fs::read(partition.dir.join(name)).expect("readable").len() * 8;
        for bit in 0..bits {
            let copy = partition.with(name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            let what = format!("bit {bit}");
            let log = open(&copy.dir, Start::Clean, partition.end)
                .await
                .expect("opened");
            partition.assert_sound(&log, &what);
            log.close().await.expect("closed");
        }
    });
}

#[test]
fn no_flipped_bit_of_a_time_index_moves_a_timestamp() {
    // A consumer that starts by time would skip records, or read a day again.
    run(async {
        let partition = Partition::new(1).await;
        for name in partition
            .files()
            .iter()
            .filter(|name| name.ends_with(".timeindex"))
        {
            let bits = std::fs::read(partition.dir.join(name)).expect("readable").len() * 8;
            for bit in (0..bits).step_by(5) {
                let copy = partition.with(name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
                let what = format!("{name}, bit {bit}");
                let log = open(&copy.dir, Start::Clean, partition.end)
                    .await
                    .expect("opened");
                partition.assert_times(&log, &what);
                log.close().await.expect("closed");
            }
        }
    });
}

#[test]
fn a_flipped_bit_in_a_batch_is_told_by_its_checksum_or_cut_off() {
    run(async {
        let partition = Partition::new(1).await;
        let name = "00000000000000000000.log";
        let first = partition.batches[&0].len();
        for byte in (16..first).step_by(3) {
            let copy = partition.with(name, |bytes| bytes[byte] ^= 4);
            for start in STARTS {
                let what = format!("byte {byte}, {start:?}");
                let log = match open(&copy.dir, start, partition.end).await {
                    Ok(log) => log,
                    Err(error) => panic!("{what}: {error}"),
                };
                let served = partition.judge(&log, &what);
                assert!(!served.whole.contains(&0), "{what}");
                assert_eq!(served.moved, Vec::<i64>::new(), "{what}");
                log.close().await.expect("closed");
            }
        }
    });
}

#[test]
fn a_topic_id_that_cannot_be_read_is_an_error_with_file_expected_and_found() {
    run(async {
        let partition = Partition::new(1).await;
        let copy = partition.with("partition.metadata", |bytes| bytes[9] ^= 1);
        let Err(error) = open(&copy.dir, Start::Clean, partition.end).await else {
            panic!("opened without knowing whose records these are");
        };
        assert!(matches!(error, OpenError::Metadata { .. }));
        assert_eq!(
            error.to_string(),
            "orders-0: partition.metadata: version \"1\", expected 0"
        );
    });
}
