//! A partition with what the others do not have: the index of a transaction that was aborted, and the quarantine of a segment that
//! the disk damaged.

use std::path::Path;

use engine::batch::{BatchBuilder, ControlRecordType, EndTransactionMarker, Origin};
use engine::log::scrub::BadRange;
use engine::log::{AbortedTransaction, Log, OpenState, ReadError, ScrubRules};
use engine::types::{Offset, ProducerEpoch, ProducerId, Sequence};

use crate::partition::{NOW, append, copy, is_as_ever, make, open, records, run};
use crate::store;

/// Directory of the golden, and the partition's name.
const PARTITION: &str = "partition-2/orders-0";
const SEGMENT: &str = "00000000000000000000.log";
/// A byte of the second batch, behind its header.
const BAD_BYTE: usize = 170;
const RULES: ScrubRules = ScrubRules {
    interval_ms: 0,
    bytes_per_second: 0.0,
};

/// A transaction that is aborted, between plain batches; two segments.
async fn fill(log: &Log) {
    let plain = || BatchBuilder::new(Offset(0));
    for first in [0, 3] {
        append(log, records(plain(), first, 3), 0, Origin::Client);
    }
    let transaction = plain()
        .producer(ProducerId(5), ProducerEpoch(1), Sequence(0))
        .transactional();
    append(log, records(transaction, 6, 2), 0, Origin::Client);
    append(log, records(plain(), 8, 1), 0, Origin::Client);
    let mut marker = plain()
        .producer(ProducerId(5), ProducerEpoch(1), Sequence::NONE)
        .transactional()
        .control();
    let content = EndTransactionMarker { coordinator_epoch: 4 };
    marker.append(NOW, Some(&ControlRecordType::Abort.key()), Some(&content.value()));
    append(log, marker, 0, Origin::Coordinator);
    log.roll(NOW).expect("a segment");
    append(log, records(plain(), 10, 2), 0, Origin::Client);
    log.commit(log.end_offset()).await.expect("a commit");
}

fn stopped_cleanly() -> OpenState {
    OpenState {
        clean: true,
        recovery_point: Some(Offset(12)),
        ..OpenState::default()
    }
}

fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).expect("readable");
    bytes[BAD_BYTE] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn a_damaged_partition_is_written_as_ever() {
    let (_temp, dir) = make();
    run(async {
        let log = open(&dir, OpenState::default()).await;
        fill(&log).await;
        log.close().await.expect("closed");
        damage(&dir.join(SEGMENT));
        let log = open(&dir, stopped_cleanly()).await;
        let scrubbed = log.scrub(NOW, RULES).await.expect("a scrub");
        assert_eq!(scrubbed.ranges_found, 1);
        log.close().await.expect("closed");
    });
    is_as_ever(PARTITION, &dir, &["txnindex", "quarantine"]);
}

#[test]
fn a_damaged_partition_is_read_as_ever() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("orders-0");
    copy(&store::path(PARTITION), &dir);
    let aborted = AbortedTransaction {
        producer_id: ProducerId(5),
        first_offset: Offset(6),
        last_offset: Offset(9),
        last_stable_offset: Offset(10),
    };
    run(async {
        let log = open(&dir, stopped_cleanly()).await;
        log.set_high_watermark(Offset(12));
        let found = log.aborted_transactions(Offset(0), Offset(12)).expect("readable");
        assert_eq!(found, [aborted]);
        let bad = BadRange {
            position: 100,
            end: 200,
            first_offset: Offset(3),
            next_offset: Offset(6),
        };
        assert_eq!(log.bad_ranges(), [bad]);
        for offset in 0..12 {
            let read = log.read(Offset(offset), 1, log.end_offset(), true);
            let is_refused = matches!(read, Err(ReadError::Damaged { .. }));
            assert_eq!(is_refused, (3..6).contains(&offset), "offset {offset}");
        }
        log.close().await.expect("closed");
    });
}
