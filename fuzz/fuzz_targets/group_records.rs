//! What a partition of `__consumer_offsets` may hold: records are refused or decoded, and what is decoded is written as it was
//! meant; a coordinator loads them all and goes on.
//!
//! Input: records, each a byte of switches, then key and value with two bytes of length in front.

#![no_main]

use control::group::{Action, GroupConfig, GroupShard, MonotonicMs, Now, Record, TransactionResult};
use engine::types::{ProducerId, Timestamp};
use libfuzzer_sys::fuzz_target;

const TOMBSTONE: u8 = 1;
const TRANSACTIONAL: u8 = 2;
/// No record, a marker.
const MARKER: u8 = 4;
const ABORT: u8 = 8;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes;
    let mut shard = GroupShard::new(GroupConfig::default());
    while let Some((&switches, rest)) = bytes.split_first() {
        let producer = ProducerId(i64::from(switches >> 4));
        if switches & MARKER != 0 {
            let result = if switches & ABORT != 0 {
                TransactionResult::Abort
            } else {
                TransactionResult::Commit
            };
            shard.replay_end_transaction(producer, result);
            bytes = rest;
            continue;
        }
        let (key, rest) = part(rest);
        let (value, rest) = part(rest);
        bytes = rest;
        let value = (switches & TOMBSTONE == 0).then_some(value);
        if let Ok(record) = Record::decode(key, value) {
            check(&record);
            shard.replay((switches & TRANSACTIONAL != 0).then_some(producer), record);
        }
    }
    let mut now = Now {
        monotonic: MonotonicMs(1),
        wall: Timestamp(1_700_000_000_000),
    };
    shard.loaded(now);
    act(&mut shard);
    // sessions end, offsets expire
    for _ in 0..3 {
        let Some(next) = shard.next_deadline() else { break };
        now.monotonic = now.monotonic.max(next);
        now.wall = Timestamp(now.wall.0 + 86_400_000);
        shard.handle(now, control::group::Event::Tick);
        act(&mut shard);
    }
    assert!(
        shard
            .committed_offsets()
            .all(|(group, topic, partition, offset)| {
                shard
                    .committed_offset(group, topic, partition)
                    .is_some_and(|(found, _)| found == offset)
            })
    );
});

fn part(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.split_first_chunk::<2>() {
        Some((length, rest)) => rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len())),
        None => (bytes, &[]),
    }
}

fn check(record: &Record) {
    let Some(written) = record.encode() else { return };
    let again = Record::decode(&written.key, written.value.as_deref()).expect("what was written can be read");
    assert_eq!(again.encode(), Some(written));
}

/// What a loaded coordinator decides is what it could load.
fn act(shard: &mut GroupShard) {
    while let Some(action) = shard.poll_action() {
        if let Action::Append { records, .. } = action {
            for record in &records {
                Record::decode(&record.key, record.value.as_deref()).expect("what was written can be read");
            }
        }
    }
}
