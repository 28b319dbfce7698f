//! Aborted transactions on a disk that fails, and loses power.

use std::path::Path;
use std::rc::Rc;

use engine::batch::ControlRecordType;
use engine::log::{Log, OpenError, OpenState};
use engine::types::Offset;
use reactor::sim::{self, Faults, Halt, Outcome, SimConfig, SimDisk};

use crate::support::*;
use crate::transactions::{Writer, all_aborted, committed, put};

/// Aborted transactions of two records, each with a marker and one plain record behind it.
const ROUNDS: usize = 24;
const END: Offset = Offset(ROUNDS as i64 * 4);

async fn open(start: OpenState) -> Result<Log, OpenError> {
    let opened = Log::open(Path::new("/topic-0"), Rc::new(small_config()), start, None).await;
    let (log, _) = opened?;
    log.set_high_watermark(log.end_offset());
    Ok(log)
}

/// Aborted transactions over some segments; all synced.
async fn fill() -> Log {
    let log = open(OpenState::default()).await.unwrap();
    let mut writer = Writer::new(1);
    for _ in 0..ROUNDS {
        writer
            .write(&log, &[("a", Some("aborted")), ("b", Some("aborted"))])
            .await;
        writer.end(&log, ControlRecordType::Abort).await;
        put(&log, "a", Some("plain")).await;
    }
    assert!(log.segment_count() > 2);
    log
}

fn shows_what_was_aborted(log: &Log) -> bool {
    committed(log)
        .iter()
        .any(|row| row.value.as_deref() == Some(b"aborted"))
}

#[test]
fn a_marker_that_cannot_be_read_strikes_nothing_out() {
    // A start took an abort marker that the disk did not give it for none, and removed the transaction from the index for good.
    let mut opened = 0;
    for seed in 0..300 {
        let disk = SimDisk::new();
        let filled = sim::run(&disk, SimConfig::new(seed), async { fill().await.end_offset() });
        assert_eq!(filled.unwrap(), Outcome::Done(END));
        let faults = disk.clone();
        let restarted = sim::run(&disk, SimConfig::new(seed), async move {
            faults.set_faults(Faults {
                read_error_ppm: 20_000,
                ..Faults::default()
            });
            let found = open(OpenState::default()).await;
            faults.set_faults(Faults::default());
            let Ok(log) = found else { return None };
            assert_eq!(log.end_offset(), END);
            Some(all_aborted(&log).len())
        });
        match restarted {
            Ok(Outcome::Done(None)) => {}
            Ok(Outcome::Done(Some(told))) => {
                assert_eq!(told, ROUNDS, "seed {seed}");
                opened += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(opened > 50, "{opened} starts got through");
}

#[test]
fn a_segment_that_power_brings_back_has_its_transaction_index() {
    // Retention had removed the segment, its index first: power brought back the log alone, and readers got what was aborted.
    for seed in 0..100 {
        let disk = SimDisk::new();
        let machine = disk.clone();
        let cut = sim::run(&disk, SimConfig::new(seed), async move {
            let log = fill().await;
            log.sync().await.unwrap();
            log.delete_records_before(Offset(log.end_offset().0 - 1)).unwrap();
            assert!(log.apply_retention(NOW).unwrap().segments_removed > 0);
            machine.halt(Halt::PowerCut);
        });
        assert!(matches!(cut, Ok(Outcome::PowerCut)), "{cut:?}");
        let start = OpenState {
            recovery_point: Some(END),
            ..OpenState::default()
        };
        let restarted = sim::run(&disk, SimConfig::new(seed), async move {
            let log = open(start).await.unwrap();
            (log.end_offset(), shows_what_was_aborted(&log))
        });
        assert_eq!(restarted.unwrap(), Outcome::Done((END, false)), "seed {seed}");
    }
}
