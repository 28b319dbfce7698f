//! A start that power ends at any of its operations, and the next start; a start whose disk does not read.

use std::path::Path;
use std::rc::Rc;

use engine::journal::{Journal, JournalConfig, Owner, Replayed, replay};
use engine::log::{Log, OpenState, partition_metadata};
use engine::types::{LeaderEpoch, Offset};
use reactor::disk;
use reactor::sim::{Faults, Halt, HaltAfter, Outcome, SimConfig, SimDisk, run};

use super::support::{batch, config, offsets, produce, small_journal, topic_id};

const LOG_DIR: &str = "/data";
const TOPIC: &str = "t";

/// Two files, used in turns, and no checkpoint but those that are asked for.
fn two_files() -> JournalConfig {
    JournalConfig {
        files_max: 2,
        checkpoint_bytes: 1 << 30,
        ..small_journal()
    }
}

/// A follower had offsets 0 to 29, cut to 20 and got two others in the next epoch; then the power went. What was cut is in the second
/// file of the journal, the reset and what came after it in the first, which was free by then.
fn after_a_cut() -> SimDisk {
    let disk = SimDisk::new();
    let machine = disk.clone();
    let outcome = run(&disk, SimConfig::new(7), async move {
        let dir = Path::new(LOG_DIR).join(format!("{TOPIC}-0"));
        disk::create_dir_all(&dir).unwrap();
        let metadata = partition_metadata::encode(topic_id(TOPIC));
        disk::write_atomic(&dir.join("partition.metadata"), metadata.as_bytes()).unwrap();
        for dir in dir.ancestors() {
            disk::sync_dir(dir).unwrap();
        }
        let journal = Journal::open(Path::new(LOG_DIR), 0, two_files()).await.unwrap();
        let (log, _) = Log::open(&dir, Rc::new(config()), OpenState::default(), Some(&journal))
            .await
            .unwrap();
        for _ in 0..16 {
            produce(&log, batch(1, 900, None)).await;
        }
        journal.checkpoint().await;
        for _ in 16..30 {
            produce(&log, batch(1, 900, None)).await;
        }
        log.truncate(Offset(20)).await.unwrap();
        log.begin_epoch(LeaderEpoch(1));
        for _ in 0..2 {
            produce(&log, batch(1, 800, None)).await;
        }
        machine.halt(Halt::PowerCut);
        std::future::pending::<()>().await;
    });
    assert!(matches!(outcome.unwrap(), Outcome::PowerCut));
    disk
}

/// `None`: the power went.
fn start(disk: &SimDisk, halt_after: Option<HaltAfter>) -> Option<Replayed> {
    let config = SimConfig {
        halt_after,
        ..SimConfig::new(8)
    };
    let outcome = run(disk, config, async {
        let owner = |_| {
            Some(Owner {
                topic: TOPIC.to_owned(),
                state: OpenState::default(),
                is_compacted: false,
            })
        };
        replay(Path::new(LOG_DIR), owner)
    });
    match outcome.unwrap() {
        Outcome::Done(replayed) => Some(replayed.unwrap()),
        _ => None,
    }
}

fn log_bytes(disk: &SimDisk) -> Vec<u8> {
    let path = Path::new(LOG_DIR).join(format!("{TOPIC}-0/00000000000000000000.log"));
    disk.cached(&path).unwrap()
}

#[test]
fn a_replay_cut_off_anywhere_brings_nothing_back_that_was_cut() {
    let crashed = after_a_cut();
    let whole = crashed.fork();
    let replayed = start(&whole, None).unwrap();
    assert_eq!(replayed.batches_without_place, 0);
    let expected = log_bytes(&whole);
    assert_eq!(offsets(&expected), (0..22).collect::<Vec<_>>());
    let mut operation = 0;
    loop {
        let disk = crashed.fork();
        let halt_after = Some(HaltAfter {
            halt: Halt::PowerCut,
            operation,
        });
        let is_cut_off = start(&disk, halt_after).is_none();
        let again = start(&disk, None).unwrap();
        assert_eq!(again.batches_without_place, 0, "cut off at operation {operation}");
        assert!(log_bytes(&disk) == expected, "cut off at operation {operation}");
        if !is_cut_off {
            break;
        }
        operation += 1;
    }
    assert!(operation > 5, "a replay is several operations: {operation}");
}

/// Taken for the end of the log, an error while the epochs are read from the batches lost those behind it (simulation seed 15285).
#[test]
fn a_start_knows_the_epochs_or_fails() {
    let whole = after_a_cut();
    start(&whole, None).unwrap();
    let mut opened = 0;
    for seed in 0..300 {
        let faults = Faults {
            read_error_ppm: 100_000,
            ..Faults::default()
        };
        let config = SimConfig {
            faults,
            ..SimConfig::new(seed)
        };
        let outcome = run(&whole.fork(), config, async {
            let dir = Path::new(LOG_DIR).join(format!("{TOPIC}-0"));
            disk::remove_file(&dir.join("leader-epoch-checkpoint")).unwrap();
            let start = OpenState {
                recovery_point: Some(Offset(22)),
                ..OpenState::default()
            };
            let (log, _) = Log::open(&dir, Rc::new(super::support::config()), start, None)
                .await
                .ok()?;
            Some((log.epoch_of(Offset(19)), log.epoch_of(Offset(21))))
        });
        if let Outcome::Done(Some(epochs)) = outcome.unwrap() {
            assert_eq!(
                epochs,
                (Some(LeaderEpoch(0)), Some(LeaderEpoch(1))),
                "seed {seed}"
            );
            opened += 1;
        }
    }
    assert!(opened > 0 && opened < 300, "{opened} starts of 300 had no error");
}
