use engine::log::OpenState;
use engine::types::Offset;

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
