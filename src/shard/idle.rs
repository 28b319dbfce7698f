//! Logs that nobody uses: closed, and looked at now and then for what time alone makes due.

use std::rc::Rc;
use std::time::Duration;

use super::Shard;
use super::gate::Gate;
use super::maintenance::{clean_partition, retain_partition, scrub_partition, scrub_rules};
use super::opening::open_behind;
use super::partitions::Slot;
use super::place::{Kept, Place};
use super::scatter::PartitionKey;
use crate::partition::Partition;

/// How often it is looked which logs are idle, and which are due for a visit.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Closed logs visited per look, one after the other. A guess: ten thousand take ten minutes, of which the shard works seconds.
const VISITS_PER_LOOK: usize = 16;

/// A compacted log may become dirty by time alone in more ways than are worth telling apart.
const COMPACTED_VISIT_MS: i64 = 60 * 60 * 1000;

/// Closes the logs that nobody has used for `ringlog.log.idle.ms`.
pub async fn close_idle(shard: Rc<Shard>) {
    let idle = Duration::from_millis(shard.node.config.log.idle_ms);
    while !shard.partitions.is_stopping() {
        reactor::sleep(LOOK_EVERY).await;
        let now = reactor::now();
        for key in shard
            .partitions
            .idle_keys(|partition| partition.idle_for(now) >= idle)
        {
            close(&shard, &key, |partition| {
                partition.idle_for(reactor::now()) >= idle
            })
            .await;
        }
    }
}

/// Opens closed logs that are due: retention and compaction go on for topics that nobody uses, and what a crash left is recovered
/// before somebody waits for it.
pub async fn visit_closed(shard: Rc<Shard>) {
    while !shard.partitions.is_stopping() {
        reactor::sleep(LOOK_EVERY).await;
        for key in shard.partitions.due_for_a_visit(reactor::wall_ms()) {
            let Ok(partition) = shard.visit(&key).await else {
                continue;
            };
            let at_work = partition.work_on();
            if partition.config().cleanup_policy.compact && shard.node.config.log.cleaner_enabled {
                clean_partition(&shard, &partition).await;
            }
            if let Some(rules) = scrub_rules(&shard) {
                scrub_partition(&shard, &partition, rules).await;
            }
            drop(at_work);
            drop(partition);
            close(&shard, &key, Partition::was_never_used).await;
        }
        for key in shard.partitions.to_be_tried_again() {
            drop(shard.visit(&key).await);
        }
    }
}

/// Closes a log if `may` says so and nobody has it in hands. Who comes meanwhile waits, and it is opened again.
async fn close(shard: &Rc<Shard>, key: &PartitionKey, may: impl Fn(&Partition) -> bool) {
    let Some(partition) = shard.partitions.opened(key) else {
        return;
    };
    retain_partition(&partition).await;
    drop(partition);
    let may = |partition: &Partition| partition.is_at_rest() && may(partition);
    let Some((gate, partition)) = shard.partitions.shut(key, may) else {
        return;
    };
    let visit_ms = next_visit_ms(shard, &partition);
    let is_closed = partition.is_as_found() || close_log(&partition).await;
    drop(partition);
    {
        let mut place = gate.place.borrow_mut();
        if let Some(kept) = &mut place.kept {
            kept.state.clean = is_closed;
            kept.visit_ms = visit_ms;
        }
    }
    reopen(shard, *key, gate);
}

async fn close_log(partition: &Partition) -> bool {
    let closed = partition.log.close().await;
    if let Err(error) = &closed {
        tracing::error!(topic = %partition.id.topic, partition = partition.id.index, %error, "closing an idle log");
    }
    closed.is_ok()
}

/// Takes the gate away again; when somebody has come meanwhile, the log is opened for them.
pub(super) fn reopen(shard: &Rc<Shard>, key: PartitionKey, gate: Rc<Gate>) {
    if gate.has_waiters() && !gate.is_doomed() {
        reactor::spawn(open_behind(shard.clone(), key, gate)).detach();
        return;
    }
    let mut slots = shard.partitions.slots.borrow_mut();
    if let Some(slot) = slots.get_mut(&key).filter(|slot| slot.is_behind(&gate)) {
        *slot = Slot::Cold(gate.place.replace_with(|place| Place::new(place.dir)));
    }
    drop(slots);
    // Nobody waits but who deletes it.
    gate.refuse(net::error::ErrorCode::UnknownTopicOrPartition);
}

fn next_visit_ms(shard: &Shard, partition: &Partition) -> i64 {
    let log = &partition.log;
    if log.size_bytes() == 0 {
        return i64::MAX;
    }
    let now = reactor::wall_ms();
    let policy = partition.config().cleanup_policy;
    let compaction = if policy.compact {
        now.saturating_add(COMPACTED_VISIT_MS)
    } else {
        i64::MAX
    };
    let check_ms = i64::try_from(shard.node.config.log.retention_check_interval_ms).unwrap_or(i64::MAX);
    let expiry = match log.next_expiry() {
        Ok(expiry) => expiry.map_or(i64::MAX, |at| at.0),
        Err(_) => now,
    };
    let scrub = match scrub_rules(shard) {
        Some(rules) if log.segment_count() > 1 => now.saturating_add(rules.interval_ms),
        _ => i64::MAX,
    };
    expiry
        .min(compaction)
        .min(scrub)
        .max(now.saturating_add(check_ms))
}

impl super::Partitions {
    fn idle_keys(&self, is_idle: impl Fn(&Partition) -> bool) -> Vec<PartitionKey> {
        let mut slots = self.slots.borrow_mut();
        let mut idle = Vec::new();
        for (key, slot) in slots.iter_mut() {
            slot.settle();
            if let Slot::Open(partition) = slot {
                partition.look();
                if is_idle(partition) && partition.is_at_rest() {
                    idle.push(*key);
                }
            }
        }
        idle
    }

    /// Closed logs of these topics are looked at as soon as it is their turn: they are kept by other rules now.
    pub fn visit_soon(&self, is_concerned: impl Fn(uuid::Uuid) -> bool) {
        self.for_each_cold(|key, place| {
            if let Some(kept) = &mut place.kept
                && is_concerned(key.topic_id)
            {
                kept.visit_ms = 0;
            }
        });
    }

    fn due_for_a_visit(&self, now_ms: i64) -> Vec<PartitionKey> {
        let slots = self.slots.borrow();
        let is_due = |kept: &Kept| kept.visit_ms <= now_ms;
        let due = slots.iter().filter(|(_, slot)| match slot {
            Slot::Cold(place) => place.kept.as_deref().is_some_and(is_due),
            _ => false,
        });
        due.map(|(key, _)| *key).take(VISITS_PER_LOOK).collect()
    }
}
