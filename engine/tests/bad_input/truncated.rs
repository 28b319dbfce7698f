//! Files that end too early.

use crate::fixture::*;

#[test]
fn a_cut_file_is_rebuilt_or_ends_the_log_where_it_ends() {
    run(async {
        let partition = Partition::new(1).await;
        let files = partition.files();
        let mut dice = Dice(0xc07);
        for trial in 0..300 {
            let file = &files[trial % files.len()];
            let start = STARTS[dice.roll(3)];
            let mut left = 0;
            let copy = partition.with(file, |bytes| {
                left = dice.roll(bytes.len());
                bytes.truncate(left);
            });
            let what = format!("{file} cut to {left}, {start:?}");
            let log = match open(&copy.dir, start, partition.end).await {
                Ok(log) => log,
                Err(error) => {
                    assert_eq!(file, "partition.metadata", "{what}: {error}");
                    assert!(error.to_string().contains(PARTITION), "{what}: {error}");
                    continue;
                }
            };
            if file.ends_with(".log") {
                let served = partition.judge(&log, &what);
                assert_eq!(served.moved, Vec::<i64>::new(), "{what}");
                let is_at_boundary = {
                    let base: i64 = file[..20].parse().expect("an offset");
                    let sizes = partition.batches.range(base..).map(|(_, batch)| batch.len());
                    let mut ends = sizes.scan(0, |end, size| {
                        *end += size;
                        Some(*end)
                    });
                    left == 0 || ends.any(|end| end == left)
                };
                // Between two batches a cut of a closed segment looks like compaction, and only `ringlog log verify` and
                // recovery tell; anywhere else what is served ends there.
                if !(is_at_boundary && start == Start::Clean) {
                    let all = partition.batches.keys().copied();
                    let prefix: Vec<i64> = all.take(served.whole.len()).collect();
                    assert_eq!(served.whole, prefix, "{what}");
                }
            } else {
                partition.assert_sound(&log, &what);
                if file.ends_with(".timeindex") && start == Start::Clean {
                    partition.assert_times(&log, &what);
                }
                if file.ends_with(".snapshot") {
                    partition.assert_producer(&log, &what);
                }
                if file.starts_with("leader-epoch") {
                    partition.assert_epochs(&log, &what);
                }
            }
            log.close().await.expect("closed");
        }
    });
}

#[test]
fn a_partition_of_nothing_but_empty_files_is_an_empty_log() {
    run(async {
        let partition = Partition::new(1).await;
        let copy = partition.with("partition.metadata", |_| {});
        for name in partition.files() {
            if name != "partition.metadata" {
                std::fs::write(copy.dir.join(name), b"").expect("written");
            }
        }
        for start in STARTS {
            let log = open(&copy.dir, start, 0).await.expect("opened");
            let served = partition.judge(&log, &format!("{start:?}"));
            assert_eq!(
                (served.whole.len(), served.moved.len(), served.refused),
                (0, 0, 0)
            );
            log.close().await.expect("closed");
        }
    });
}
