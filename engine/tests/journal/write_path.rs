use std::rc::Rc;

use engine::journal::{Journal, JournalConfig};
use engine::log::{Durability, LogConfig};
use engine::types::Offset;

use super::support::*;

#[test]
fn readers_get_the_same_bytes_from_the_tail_and_from_the_file() {
    // A consumer at the end and one that starts over would otherwise see two logs.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let log = directory.log("t", config(), &journal).await;
        let mut expected = Vec::new();
        for number in 0..300 {
            let sent = batch(1 + number % 3, 40 + number, None);
            produce(&log, sent).await;
            if number % 37 == 0 {
                expected = bytes(&log);
            }
        }
        let hot = bytes(&log);
        assert!(hot.starts_with(&expected));
        assert_eq!(offsets(&hot), (0..log.end_offset().0).collect::<Vec<_>>());
        journal.checkpoint().await;
        assert_eq!(log.recovery_point(), log.end_offset());
        reactor::sleep(std::time::Duration::from_millis(700)).await; // the tail lets go
        assert_eq!(bytes(&log), hot);
        log.close().await.unwrap();
        journal.close().await.unwrap();
    });
}

#[test]
fn the_ring_is_gone_round_many_times_and_its_files_stay_few() {
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let logs = [
            directory.log("a", config(), &journal).await,
            directory.log("b", config(), &journal).await,
        ];
        for number in 0..400 {
            produce(&logs[number % 2], batch(1, 3000, None)).await;
        }
        let dir = engine::journal::shard_dir(directory.path(), 0);
        let files = std::fs::read_dir(dir).unwrap().count();
        assert!(files <= 3, "{files}");
        assert!(journal.figures().checkpoints > 5, "{:?}", journal.figures());
        assert!(journal.figures().bytes > 1_000_000);
        for log in &logs {
            assert_eq!(offsets(&bytes(log)).len(), 200);
        }
    });
}

#[test]
fn small_batches_behind_one_past_the_journal_go_through_it() {
    // With them past it, too, a log that is never quiet would sync its segment for ever, and many logs each their own.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let log = directory.log("t", config(), &journal).await;
        let entries = || journal.figures().entries;
        append(&log, batch(1, 9_000, None));
        assert_eq!(entries(), 0);
        append(&log, batch(1, 100, None));
        assert_eq!(entries(), 1);
        // unsynced as the large one is, nothing behind it counts
        assert_eq!(log.committed_offset(), Offset(0));
        log.commit(Offset(2)).await.expect("a commit");
        assert!(
            log.recovery_point() >= Offset(2),
            "not before the segment is synced"
        );
        produce(&log, batch(1, 100, None)).await;
        let crash = directory.crash();
        let replayed = crash.replay(&["t"]);
        assert_eq!(
            (replayed.ends[&(topic_id("t"), 0)], replayed.batches_without_place),
            (Offset(3), 0)
        );
    });
}

#[test]
fn a_frame_that_does_not_fit_behind_a_small_one_gets_a_file() {
    // The ring grew only when the file was half full: a large group behind a small one waited for ever.
    run(async {
        let directory = Directory::new();
        let one_at_a_time = JournalConfig {
            file_bytes: 16 << 10,
            direct_bytes: 64 << 10,
            ..small_journal()
        };
        let journal = directory.journal_with(one_at_a_time).await;
        let log = directory.log("t", config(), &journal).await;
        produce(&log, batch(1, 100, None)).await;
        let large = produce(&log, batch(1, 9_000, None));
        let appended = reactor::timeout(std::time::Duration::from_secs(20), large).await;
        assert_eq!(appended.expect("a place").commit_offset(), Offset(2));
    });
}

#[test]
fn more_than_a_file_takes_is_appended_before_anybody_waits() {
    // A follower appends all of an answer, then commits: a group grew as large as a file, found room in none, and nothing of the
    // shard was ever acknowledged again.
    run(async {
        let directory = Directory::new();
        let config = JournalConfig {
            file_bytes: 64 << 10,
            group_bytes_max: 64 << 10,
            ..small_journal()
        };
        let journal = directory.journal_with(config).await;
        let log = directory.log("t", self::config(), &journal).await;
        for _ in 0..300 {
            append(&log, batch(1, 1000, None));
        }
        let commit = log.commit(log.end_offset());
        let committed = reactor::timeout(std::time::Duration::from_secs(20), commit).await;
        committed.expect("an end").expect("a commit");
    });
}

#[test]
fn one_write_makes_many_logs_durable() {
    // One flush of the disk per partition is what the journal is there to save.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let mut logs = Vec::new();
        for number in 0..40 {
            logs.push(directory.log(&format!("t{number}"), config(), &journal).await);
        }
        let before = journal.figures().writes;
        let commits: Vec<_> = logs
            .iter()
            .map(|log| {
                let appended = append(log, batch(1, 50, None));
                log.commit(appended.commit_offset())
            })
            .collect();
        for commit in commits {
            commit.await.unwrap();
        }
        assert_eq!(journal.figures().writes - before, 1);
    });
}

#[test]
fn large_batches_and_those_behind_them_wait_for_the_segment() {
    // A journaled batch behind one that is nowhere durable could not be replayed.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let log = directory.log("t", config(), &journal).await;
        produce(&log, batch(1, 100, None)).await;
        let large = append(&log, batch(1, 10_000, None));
        let behind = append(&log, batch(1, 100, None));
        log.commit(behind.commit_offset()).await.unwrap();
        assert!(log.recovery_point() >= large.commit_offset());
        let crash = directory.crash();
        let replayed = crash.replay(&["t"]);
        assert_eq!(replayed.batches_without_place, 0);
        assert_eq!(replayed.ends[&(topic_id("t"), 0)], Offset(3));
    });
}

#[test]
fn page_cache_topics_wait_for_no_disk_and_flush_messages_makes_them() {
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let page_cache = LogConfig {
            durability: Durability::PageCache,
            ..config()
        };
        let log = directory.log("t", page_cache.clone(), &journal).await;
        produce(&log, batch(1, 100, None)).await;
        assert_eq!(
            (log.committed_offset(), log.recovery_point()),
            (Offset(1), Offset(0))
        );
        assert_eq!(journal.figures().entries, 0);
        log.set_config(Rc::new(LogConfig {
            flush_messages: 1,
            ..page_cache
        }));
        produce(&log, batch(1, 100, None)).await;
        assert_eq!(log.recovery_point(), Offset(2));
        // From the page cache to the journal: the first waits for a sync of what is below.
        log.set_config(Rc::new(config()));
        produce(&log, batch(1, 100, None)).await;
        produce(&log, batch(1, 100, None)).await;
        assert_eq!(directory.crash().replay(&["t"]).ends.len(), 1);
    });
}

#[test]
fn a_journal_that_was_not_replayed_is_not_opened() {
    // Opening it would void what was acknowledged.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let log = directory.log("t", config(), &journal).await;
        produce(&log, batch(1, 100, None)).await;
        let crash = directory.crash();
        let refused = Journal::open(crash.path(), 0, small_journal()).await;
        assert!(refused.is_err());
        crash.replay(&["t"]);
        assert!(Journal::open(crash.path(), 0, small_journal()).await.is_ok());
        log.close().await.unwrap();
        journal.close().await.unwrap();
        let clean = directory.replay(&["t"]);
        assert_eq!((clean.frames, clean.ends.len()), (0, 0));
    });
}
