//! Offsets nobody has used for `offsets.retention.minutes`, and groups that have nothing left.

use std::ops::Bound;
use std::sync::Arc;

use engine::types::Timestamp;

use crate::group::appends::Then;
use crate::group::clock::MonotonicMs;
use crate::group::group::{Group, GroupState};
use crate::group::offsets::Committed;
use crate::group::outbox::Outbox;
use crate::group::record::Record;
use crate::group::shard::GroupShard;

use super::delete::{TOMBSTONES_PER_APPEND, offset_tombstone, push_group_tombstones};

/// Groups looked at in one go, so that a sweep over very many does not hold up requests. A guess: some milliseconds.
const GROUPS_PER_STEP: usize = 1_000;
/// Pause between steps of a sweep, in which requests are served.
const STEP_PAUSE_MS: i64 = 10;

/// Where the sweep over all groups is, and when it goes on.
#[derive(Default)]
pub(in crate::group) struct Sweep {
    pub(in crate::group) next: Option<MonotonicMs>,
    /// The last group looked at, in the middle of a sweep.
    after: Option<Arc<str>>,
}

impl Sweep {
    pub(in crate::group) fn starting(out: &Outbox) -> Sweep {
        Sweep {
            next: Some(next_sweep(out)),
            after: None,
        }
    }
}

fn next_sweep(out: &Outbox) -> MonotonicMs {
    MonotonicMs(
        out.now
            .monotonic
            .0
            .saturating_add(out.config.offsets_retention_check_interval_ms.max(1)),
    )
}

pub(in crate::group) fn sweep_if_due(shard: &mut GroupShard) {
    if shard.sweep.next.is_none_or(|next| next > shard.out.now.monotonic) {
        return;
    }
    let from = match shard.sweep.after.take() {
        Some(id) => Bound::Excluded(id),
        None => Bound::Unbounded,
    };
    let ids: Vec<Arc<str>> = shard
        .groups
        .range::<Arc<str>, _>((from, Bound::Unbounded))
        .take(GROUPS_PER_STEP)
        .map(|(id, _)| id.clone())
        .collect();
    for id in &ids {
        expire(shard, id);
    }
    if ids.len() == GROUPS_PER_STEP {
        shard.sweep.after = ids.into_iter().next_back();
        shard.sweep.next = Some(shard.out.deadline(STEP_PAUSE_MS));
    } else {
        shard.sweep.next = Some(next_sweep(&shard.out));
    }
}

fn expire(shard: &mut GroupShard, id: &Arc<str>) {
    let Some(group) = shard.groups.get(id) else { return };
    let mut records: Vec<Record> = Vec::new();
    let mut all_expired = true;
    let expires = rule_for(group);
    for (topic, partitions) in shard.offsets.committed().topics_of(id) {
        let kept = matches!(expires, Expires::Never) || group.is_subscribed_to(topic);
        for (&partition, committed) in partitions {
            let in_use = || {
                shard.offsets.is_in_transaction(id, topic, partition)
                    || shard.out.appends.has_offset_in_flight(id, topic, partition)
            };
            if !kept && is_expired(&expires, committed, &shard.out) && !in_use() {
                records.push(offset_tombstone(id, topic, partition));
            } else {
                all_expired = false;
            }
        }
    }
    shard.out.counters.offset_expirations += records.len() as u64;

    let ends = all_expired
        && group.state() == GroupState::Empty
        && group.pending_joins.is_empty()
        && !shard.offsets.has_open_transaction(id)
        && !shard.out.appends.has_offsets_in_flight(id);
    if ends && !group.logged {
        return shard.drop_if_unborn(id);
    }
    if ends {
        records.clear(); // the same partitions, with the group behind them
        push_group_tombstones(shard, id, &mut records);
        shard.out.append(records, Then::Nothing);
        return;
    }
    for chunk in records.chunks(TOMBSTONES_PER_APPEND) {
        shard.out.append(chunk.to_vec(), Then::Nothing);
    }
}

/// From when the retention of a group's offsets is counted.
enum Expires {
    /// Members use them, or what they use is not known.
    Never,
    SinceCommit,
    /// Since the group became empty; records too old to say when are counted from the commit.
    SinceEmpty(Option<Timestamp>),
}

fn rule_for(group: &Group) -> Expires {
    match group.state() {
        // never had members: a consumer that assigns partitions itself
        _ if group.protocol_type.is_none() => Expires::SinceCommit,
        GroupState::Empty => Expires::SinceEmpty(group.state_since),
        // topics the members no longer subscribe to
        GroupState::Stable if group.is_consumer_group() && group.knows_subscribed_topics() => {
            Expires::SinceCommit
        }
        GroupState::Stable
        | GroupState::PreparingRebalance
        | GroupState::CompletingRebalance
        | GroupState::Dead => Expires::Never,
    }
}

fn is_expired(expires: &Expires, committed: &Committed, out: &Outbox) -> bool {
    let now = out.now.wall.0;
    let since = match expires {
        Expires::Never => return false,
        Expires::SinceCommit | Expires::SinceEmpty(None) => committed.value.commit_timestamp,
        Expires::SinceEmpty(Some(since)) => *since,
    };
    match committed.value.expire_timestamp {
        // the client asked for its own retention
        Some(expires_at) => now >= expires_at.0,
        None => now.saturating_sub(since.0) >= out.config.offsets_retention_ms,
    }
}
