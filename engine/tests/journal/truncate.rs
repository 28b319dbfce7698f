use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use engine::batch::{Limits, Origin, validate};
use engine::journal::Journal;
use engine::log::{AppendContext, Log, OpenState, partition_metadata};
use engine::types::{LeaderEpoch, Offset};
use reactor::sim::{self, Outcome, SimConfig, SimDisk};

use super::support::*;

#[test]
fn a_truncated_log_stays_truncated_and_goes_on() {
    // A follower whose cut came back at a restart would differ from its leader for ever.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let log = directory.log("t", config(), &journal).await;
        for number in 0..400 {
            produce(&log, batch(1, 100 + number % 7, None)).await;
        }
        let before = bytes(&log);
        let waiting = {
            let appended = append(&log, batch(1, 10, None));
            log.commit(appended.commit_offset())
        };
        let end = log.truncate(Offset(123)).await.unwrap();
        assert_eq!((end, log.end_offset()), (Offset(123), Offset(123)));
        let _durable_before_the_cut_or_refused = waiting.await;
        assert_eq!(log.recovery_point(), Offset(123));
        let kept = bytes(&log);
        assert!(before.starts_with(&kept));
        for _ in 0..10 {
            produce(&log, batch(1, 77, None)).await;
        }
        let after = bytes(&log);
        assert_eq!(offsets(&after), (0..133).collect::<Vec<_>>());
        let crash = directory.crash();
        let replayed = crash.replay(&["t"]);
        assert_eq!(replayed.batches_without_place, 0);
        assert_eq!(replayed.ends[&(topic_id("t"), 0)], Offset(133));
        let journal = crash.journal().await;
        let (log, _) = crash
            .log_with("t", config(), OpenState::default(), &journal)
            .await;
        log.set_high_watermark(log.end_offset());
        assert!(bytes(&log) == after);
    });
}

#[test]
fn an_epoch_that_was_led_in_without_a_record_does_not_come_back() {
    // Its file had it still when the process was killed: the log's records were said to be of that epoch, and where power took some of
    // them, too, the journal's had no place behind it.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal_with(lazy_journal()).await;
        let log = directory.log("t", config(), &journal).await;
        let mut size_bytes = Vec::new();
        for number in 0..20 {
            if number == 10 {
                log.begin_epoch(LeaderEpoch(1));
                log.sync().await.unwrap();
                // The next leader never heard of it, and has more of epoch 0.
                assert_eq!(log.truncate(Offset(10)).await.unwrap(), Offset(10));
            }
            produce(&log, batch(1, 100, None)).await;
            size_bytes.push(bytes(&log).len() as u64);
        }
        let whole = bytes(&log);
        for lost in [0, 1, 5, 10] {
            let crash = directory.crash();
            let segment = crash.dir("t").join("00000000000000000000.log");
            let file = std::fs::OpenOptions::new().write(true).open(segment).unwrap();
            file.set_len(size_bytes[19 - lost]).unwrap();
            let replayed = crash.replay(&["t"]);
            assert_eq!(replayed.batches_without_place, 0, "{lost} lost");
            let journal = crash.journal().await;
            let (log, _) = crash
                .log_with("t", config(), OpenState::default(), &journal)
                .await;
            log.set_high_watermark(log.end_offset());
            assert!(bytes(&log) == whole, "{lost} lost");
            assert_eq!(log.epoch_of(Offset(12)), Some(LeaderEpoch(0)), "{lost} lost");
            assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)), "{lost} lost");
        }
    });
}

#[test]
fn a_cut_within_a_batch_takes_all_of_it() {
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let log = directory.log("t", config(), &journal).await;
        for _ in 0..10 {
            produce(&log, batch(5, 50, None)).await;
        }
        assert_eq!(
            log.truncate(Offset(99)).await.unwrap(),
            Offset(50),
            "nothing to cut"
        );
        assert_eq!(log.truncate(Offset(23)).await.unwrap(), Offset(20));
        assert_eq!(log.truncate(Offset(20)).await.unwrap(), Offset(20));
        assert_eq!(log.truncate(Offset(0)).await.unwrap(), Offset(0));
        produce(&log, batch(5, 50, None)).await;
        assert_eq!(offsets(&bytes(&log)), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_journal_that_fails_during_a_cut_takes_the_log_offline() {
    // The cut read the log's files again and forgot that the log had failed: it went on without a journal, which had not been told to forget.
    let mut failed_within = 0;
    for delay in 0..300 {
        let disk = SimDisk::new();
        let cut = sim::run(&disk, SimConfig::new(delay), async move {
            let dir = Path::new("/data/t-0");
            reactor::disk::create_dir_all(dir).unwrap();
            let metadata = partition_metadata::encode(topic_id("t"));
            reactor::disk::write_atomic(&dir.join("partition.metadata"), metadata.as_bytes()).unwrap();
            let journal = Journal::open(Path::new("/data"), 0, lazy_journal())
                .await
                .unwrap();
            let opened = Log::open(dir, Rc::new(config()), OpenState::default(), Some(&journal)).await;
            let log = opened.unwrap().0;
            for _ in 0..4 {
                produce(&log, batch(1, 100, None)).await;
            }
            log.sync().await.unwrap();
            // somebody waits for the journal, and tells the log that it failed
            let waiting = append(&log, batch(1, 100, None)).commit_offset();
            reactor::spawn(log.commit(waiting)).detach();
            let cutting = reactor::spawn({
                let log = log.clone();
                async move { log.truncate(Offset(2)).await.is_ok() }
            });
            reactor::sleep(Duration::from_micros(delay * 5)).await;
            journal.fail("away");
            let is_cut = cutting.outcome().await.is_ok_and(|is_cut| is_cut);
            let batch = batch(1, 10, None);
            let info = validate(&batch, &Limits::default()).unwrap();
            let context = AppendContext {
                leader_epoch: LeaderEpoch(0),
                origin: Origin::Client,
                now: NOW,
            };
            reactor::sleep(Duration::from_millis(50)).await;
            (is_cut, log.append(batch, &info, &context).is_err())
        });
        let Ok(Outcome::Done((is_cut, is_offline))) = cut else {
            panic!("{cut:?}");
        };
        assert!(is_offline, "failed after {delay} steps");
        failed_within += u32::from(!is_cut);
    }
    assert!(failed_within > 20, "{failed_within} cuts were met");
}
