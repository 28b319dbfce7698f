use engine::batch::ControlRecordType;
use engine::log::OpenState;
use engine::types::{LeaderEpoch, Offset};

use super::support::*;

#[test]
fn what_segments_lack_after_a_kill_comes_back_from_the_journal() {
    run(async {
        let directory = Directory::new();
        let journal = directory.journal_with(lazy_journal()).await;
        let a = directory.log("a", config(), &journal).await;
        let b = directory.log("b", config(), &journal).await;
        let mut sequence = 0;
        for number in 0..120 {
            produce(&a, batch(2, 30 + number, Some((7, sequence)))).await;
            sequence += 2;
            produce(&b, batch(1, 200, None)).await;
        }
        let acknowledged = [bytes(&a), bytes(&b)];
        let crash = directory.crash();
        // Whatever has been written behind by now: the end of each is missing.
        for topic in ["a", "b"] {
            let last = last_segment(&crash.dir(topic));
            let bytes = std::fs::read(&last).unwrap();
            std::fs::write(&last, &bytes[..bytes.len() * 2 / 3]).unwrap();
        }
        let replayed = crash.replay(&["a", "b"]);
        assert!(replayed.batches_appended > 0, "{replayed:?}");
        assert_eq!(replayed.batches_without_place, 0);
        let again = crash.replay(&["a", "b"]);
        assert_eq!(again.frames, 0, "a replayed journal is void");
        let journal = crash.journal().await;
        for (topic, expected) in ["a", "b"].iter().zip(&acknowledged) {
            let start = OpenState {
                recovery_point: replayed.ends.get(&(topic_id(topic), 0)).copied(),
                ..OpenState::default()
            };
            let (log, _) = crash.log_with(topic, config(), start, &journal).await;
            log.set_high_watermark(log.end_offset());
            assert!(bytes(&log) == *expected, "{topic}");
            if *topic == "a" {
                let duplicate = append(&log, batch(2, 30 + 119, Some((7, sequence - 2))));
                assert!(duplicate.duplicate, "sequences survive");
                assert!(!append(&log, batch(2, 5, Some((7, sequence)))).duplicate);
            }
        }
    });
}

#[test]
fn a_snapshot_that_power_left_hides_no_abort_marker() {
    // The marker is in the journal, its entry in the transaction index was in the page cache only. A start that read the producers from
    // the snapshot behind it saw no reason to write the entry again.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal_with(lazy_journal()).await;
        let log = directory.log("t", config(), &journal).await;
        produce(&log, transaction(7, 0)).await;
        append_marker(&log, 7, ControlRecordType::Abort);
        log.roll(NOW).unwrap();
        produce(&log, batch(1, 100, None)).await;
        let expected = log.aborted_transactions(Offset(0), log.end_offset()).unwrap();
        assert_eq!(expected.len(), 1);
        let crash = directory.crash();
        let lost = crash.dir("t").join("00000000000000000000.txnindex");
        std::fs::write(lost, []).unwrap();
        assert!(crash.dir("t").join("00000000000000000003.snapshot").exists());
        let replayed = crash.replay(&["t"]);
        let journal = crash.journal().await;
        let start = OpenState {
            recovery_point: replayed.ends.get(&(topic_id("t"), 0)).copied(),
            ..OpenState::default()
        };
        let (log, _) = crash.log_with("t", config(), start, &journal).await;
        log.set_high_watermark(log.end_offset());
        let told = log.aborted_transactions(Offset(0), log.end_offset()).unwrap();
        assert_eq!(told, expected);
    });
}

#[test]
fn segments_and_directories_that_power_took_are_made_again() {
    // The files of a new topic exist in memory only when power fails; the journal has every record.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal_with(lazy_journal()).await;
        let log = directory.log("t", config(), &journal).await;
        for _ in 0..20 {
            produce(&log, batch(1, 100, None)).await;
        }
        let expected = bytes(&log);
        let crash = directory.crash();
        std::fs::remove_dir_all(crash.dir("t")).unwrap();
        let replayed = crash.replay(&["t"]);
        assert_eq!(replayed.batches_appended, 20);
        let journal = crash.journal().await;
        let log = crash.log("t", config(), &journal).await;
        log.set_high_watermark(log.end_offset());
        assert!(bytes(&log) == expected);
    });
}

#[test]
fn a_torn_tail_of_the_segment_is_cut_before_the_journal_fills_it() {
    run(async {
        let directory = Directory::new();
        let journal = directory.journal_with(lazy_journal()).await;
        let log = directory.log("t", config(), &journal).await;
        for _ in 0..30 {
            produce(&log, batch(1, 100, None)).await;
        }
        let expected = bytes(&log);
        settled(&directory, "t", expected.len()).await; // not checkpointed
        let crash = directory.crash();
        let segment = crash.dir("t").join("00000000000000000000.log");
        let whole = std::fs::read(&segment).unwrap();
        assert_eq!(whole.len(), expected.len());
        let mut torn = whole.clone();
        torn[1000..1512].fill(0);
        std::fs::write(&segment, &torn).unwrap();
        crash.replay(&["t"]);
        assert!(std::fs::read(&segment).unwrap() == expected);
    });
}

#[test]
fn entries_of_deleted_topics_and_of_their_successors_are_told_apart() {
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let log = directory.log("gone", config(), &journal).await;
        produce(&log, batch(1, 100, None)).await;
        let crash = directory.crash();
        std::fs::remove_dir_all(crash.dir("gone")).unwrap();
        let replayed = crash.replay(&[]);
        assert!(replayed.ends.is_empty());
        assert!(!crash.dir("gone").exists(), "a deleted topic comes back");
    });
}

#[test]
fn a_start_after_a_checkpoint_reads_only_what_came_behind() {
    // With the whole log to check, a start takes as long as the log.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal().await;
        let log = directory.log("t", config(), &journal).await;
        for _ in 0..150 {
            produce(&log, batch(1, 200, None)).await;
        }
        journal.checkpoint().await;
        let point = log.recovery_point();
        assert_eq!(point, Offset(150));
        for _ in 0..5 {
            produce(&log, batch(1, 200, None)).await;
        }
        let size = log.size_bytes();
        let crash = directory.crash();
        let replayed = crash.replay(&["t"]);
        assert_eq!(replayed.ends[&(topic_id("t"), 0)], Offset(155));
        let journal = crash.journal().await;
        let start = OpenState {
            recovery_point: Some(point),
            ..OpenState::default()
        };
        let (log, report) = crash.log_with("t", config(), start, &journal).await;
        assert_eq!(log.end_offset(), Offset(155));
        assert!(
            report.bytes_checked > 0 && report.bytes_checked < size / 10,
            "{report:?} of {size}"
        );
    });
}

#[test]
fn a_checkpoint_of_a_small_log_makes_no_file_of_epochs_until_there_are_two() {
    // One more file for each of 1,000 new logs held their producers up; but an epoch that only the memory knows would be forgotten, and
    // followers be told a wrong end of it.
    run(async {
        let directory = Directory::new();
        let journal = directory.journal_with(lazy_journal()).await;
        let log = directory.log("t", config(), &journal).await;
        let has_file = |directory: &Directory| directory.dir("t").join("leader-epoch-checkpoint").exists();
        let epochs = async |directory: &Directory, start| {
            directory.replay(&["t"]);
            let journal = directory.journal().await;
            let (log, _) = directory.log_with("t", config(), start, &journal).await;
            [0, 1, 2].map(|epoch| log.offset_for_leader_epoch(LeaderEpoch(epoch)))
        };
        log.begin_epoch(LeaderEpoch(0));
        for _ in 0..3 {
            produce(&log, batch(1, 100, None)).await;
        }
        journal.checkpoint().await;
        assert_eq!(log.recovery_point(), Offset(3));
        assert!(!has_file(&directory));
        let start = OpenState {
            recovery_point: Some(Offset(3)),
            ..OpenState::default()
        };
        let zero = |end| Some((LeaderEpoch(0), Offset(end)));
        let found = epochs(&directory.crash(), start).await;
        assert_eq!(found, [zero(3), None, None]);

        log.begin_epoch(LeaderEpoch(2));
        produce(&log, batch(1, 100, None)).await;
        journal.checkpoint().await;
        assert!(has_file(&directory));
        let start = OpenState {
            recovery_point: Some(Offset(4)),
            ..OpenState::default()
        };
        let two = Some((LeaderEpoch(2), Offset(4)));
        let found = epochs(&directory.crash(), start).await;
        assert_eq!(found, [zero(3), zero(3), two]);
    });
}

#[test]
fn flipped_bits_in_a_journal_lose_nothing_that_segments_have() {
    run(async {
        let directory = Directory::new();
        let journal = directory.journal_with(lazy_journal()).await;
        let log = directory.log("t", config(), &journal).await;
        for _ in 0..30 {
            produce(&log, batch(1, 100, None)).await;
        }
        let expected = bytes(&log);
        settled(&directory, "t", expected.len()).await;
        let whole = directory.crash();
        let dir = engine::journal::shard_dir(whole.path(), 0);
        let name = std::fs::read_dir(dir)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .file_name();
        for position in [4096 + 100, 3 * 4096 + 10, 9 * 4096 + 60] {
            let crash = whole.crash();
            let file = engine::journal::shard_dir(crash.path(), 0).join(&name);
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[position] ^= 4;
            std::fs::write(&file, bytes).unwrap();
            crash.replay(&["t"]);
            let segment = crash.dir("t").join("00000000000000000000.log");
            assert!(
                std::fs::read(segment).unwrap() == expected,
                "flipped at {position}"
            );
        }
    });
}
