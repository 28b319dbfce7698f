use engine::types::Offset;

use crate::support::*;

#[test]
fn a_commit_covers_what_was_appended_before_it() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        let first = append(&log, batch(2, NOW.0, 10));
        let second = append(&log, batch(2, NOW.0, 10));
        assert_eq!(log.committed_offset(), Offset(0));
        let commit = log.commit(first.commit_offset());
        log.commit(second.commit_offset()).await.unwrap();
        assert_eq!(log.committed_offset(), Offset(4));
        commit.await.unwrap();
        log.commit(Offset(1000)).await.unwrap();
        log.close().await.unwrap();
    });
}

#[test]
fn many_waiters_and_rolls_share_syncs() {
    // Each producer waits for its own batch; none may be answered early, none may wait for ever.
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        let mut tasks = Vec::new();
        for index in 0..200 {
            let log = log.clone();
            tasks.push(reactor::spawn(async move {
                for _ in 0..index % 7 {
                    reactor::yield_now().await;
                }
                let appended = append(&log, batch(1, NOW.0 + index, 100));
                log.commit(appended.commit_offset()).await.unwrap();
                assert!(log.committed_offset() >= appended.commit_offset());
            }));
        }
        for task in tasks {
            task.await;
        }
        assert_eq!(log.committed_offset(), Offset(200));
        assert!(log.segment_count() > 5);
        log.close().await.unwrap();
    });
}

#[test]
fn flush_messages_syncs_without_being_asked() {
    run(async {
        let fixture = Fixture::new();
        let config = engine::log::LogConfig {
            flush_messages: 3,
            flush_ms: 500,
            ..small_config()
        };
        let log = fixture.open(config).await;
        append(&log, batch(1, NOW.0, 10));
        log.flush_if_due(engine::types::Timestamp(NOW.0 + 499));
        reactor::yield_now().await;
        assert_eq!(log.committed_offset(), Offset(0));
        append(&log, batch(2, NOW.0, 10));
        while log.committed_offset() < Offset(3) {
            reactor::sleep(std::time::Duration::from_millis(1)).await;
        }
        append(&log, batch(1, NOW.0, 10));
        log.flush_if_due(engine::types::Timestamp(NOW.0 + 500));
        while log.committed_offset() < Offset(4) {
            reactor::sleep(std::time::Duration::from_millis(1)).await;
        }
        log.close().await.unwrap();
    });
}

#[test]
fn a_closed_or_deleted_log_refuses_everything() {
    run(async {
        let fixture = Fixture::new();
        let log = fixture.open(small_config()).await;
        produce(&log, batch(1, NOW.0, 10)).await;
        log.close().await.unwrap();
        assert!(try_append(&log, batch(1, NOW.0, 10)).is_err());
        assert!(log.commit(Offset(1)).await.is_err());
        assert!(log.read(Offset(0), 10, Offset(1), true).is_err());

        let log = fixture.open(small_config()).await;
        let other = log.clone();
        log.delete().await.unwrap();
        assert!(other.read(Offset(0), 10, Offset(1), true).is_err());
        assert!(!fixture.dir().exists());
        let left = || std::fs::read_dir(fixture.temp.path()).unwrap().count();
        while left() > 0 {
            reactor::sleep(std::time::Duration::from_millis(1)).await;
        }
        // a new partition of that name begins anew
        let log = fixture.open(small_config()).await;
        assert_eq!(log.end_offset(), Offset(0));
        log.close().await.unwrap();
    });
}
