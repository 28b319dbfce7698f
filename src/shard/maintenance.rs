//! What a shard does by the clock: rolling, retention, compaction, scrubbing, forgetting idle producers, and the mailboxes'
//! overflow.

use std::rc::Rc;
use std::time::Duration;

use engine::log::{CompactError, ReadError, ScrubRules};
use engine::types::Timestamp;

use super::{Shard, idle};
use crate::partition::Partition;

/// How often logs are rolled by time, synced by `flush.ms`, and relieved of idle files. Kafka's flush scheduler looks as often
/// as `log.flush.scheduler.interval.ms` says; its roll check is part of the append.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// How often logs are asked whether a segment is due to be verified. What it costs when none is: a look at the segments.
const SCRUB_EVERY: Duration = Duration::from_secs(60);

/// Calls of retention for one partition in a row, so that the others get their turn. A guess: 64 segments go with each.
const RETENTION_CALLS_MAX: usize = 100;

/// Starts the shard's clockwork; it ends with the shard.
pub fn start(shard: &Rc<Shard>) {
    let overflow = shard.clone();
    reactor::spawn(async move { overflow.router.drain_overflow().await }).detach();
    reactor::spawn(upkeep(shard.clone())).detach();
    reactor::spawn(retain(shard.clone())).detach();
    reactor::spawn(idle::close_idle(shard.clone())).detach();
    reactor::spawn(idle::visit_closed(shard.clone())).detach();
    if shard.node.config.log.cleaner_enabled {
        reactor::spawn(clean(shard.clone())).detach();
    }
    if let Some(rules) = scrub_rules(shard) {
        reactor::spawn(scrub(shard.clone(), rules)).detach();
    }
}

async fn upkeep(shard: Rc<Shard>) {
    loop {
        reactor::sleep(UPKEEP_EVERY).await;
        for directory in shard.directories() {
            directory.look();
        }
        for key in shard.partitions.opened_keys() {
            // One at a time: who holds a partition keeps it from being closed or moved.
            let Some(partition) = shard.partitions.opened(&key) else {
                continue;
            };
            if let Err(error) = partition.log.maintain(Timestamp(reactor::wall_ms())) {
                shard.disk_failed(&partition);
                tracing::debug!(topic = %partition.id.topic, partition = partition.id.index, %error, "upkeep");
            }
            reactor::yield_turn().await;
        }
    }
}

/// `log.retention.check.interval.ms`: deletes what is too old or too much.
async fn retain(shard: Rc<Shard>) {
    let every = Duration::from_millis(shard.node.config.log.retention_check_interval_ms);
    loop {
        reactor::sleep(every).await;
        for key in shard.partitions.opened_keys() {
            // One at a time: who holds a partition keeps it from being closed or moved.
            let Some(partition) = shard.partitions.opened(&key) else {
                continue;
            };
            let before = partition.log.start_offset();
            retain_partition(&partition).await;
            if partition.log.start_offset() != before {
                partition.wake_waiters();
            }
            reactor::yield_turn().await;
        }
    }
}

/// Calls until all is gone that may go: one call removes few segments, or only begins a new one. Were the rest left for the next
/// interval, small segments would come faster than they go.
pub(super) async fn retain_partition(partition: &Partition) {
    for _ in 0..RETENTION_CALLS_MAX {
        match partition.log.apply_retention(Timestamp(reactor::wall_ms())) {
            Ok(retained) if retained.is_pending => {
                // the next call needs the directory on the disk; a fault is told by it
                let _ = partition.log.sync().await;
                reactor::yield_turn().await;
            }
            Ok(_) => return,
            // stopped, moved or deleted meanwhile
            Err(ReadError::Offline(fault)) if fault.is_gone() => return,
            Err(error) => return report(partition, &error, "retention"),
        }
    }
}

/// `log.cleaner.backoff.ms`: compacts what is dirty enough, one partition at a time.
async fn clean(shard: Rc<Shard>) {
    loop {
        reactor::sleep(Duration::from_millis(shard.dynamic().cleaner_backoff_ms)).await;
        for key in shard.partitions.opened_keys() {
            // One at a time: who holds a partition keeps it from being closed or moved.
            let Some(partition) = shard.partitions.opened(&key) else {
                continue;
            };
            if !partition.config().cleanup_policy.compact
                || shard.moves.get(&key).is_some()
                || partition.is_worked_on()
            {
                continue;
            }
            let _at_work = partition.work_on();
            clean_partition(&shard, &partition).await;
        }
    }
}

pub(super) async fn clean_partition(shard: &Shard, partition: &Partition) {
    match partition.log.compact(Timestamp(reactor::wall_ms())).await {
        Ok(Some(compacted)) => shard.metrics.upkeep.compacted(&compacted),
        Ok(None) => {}
        Err(CompactError::Offline(fault)) if fault.is_gone() => {}
        Err(error) => report(partition, &error, "compaction"),
    }
}

/// Verifies every log once per `ringlog.scrub.interval.ms`, one after the other. Which is first is left to chance: a broker that
/// is often started again would never come to those at the end.
async fn scrub(shard: Rc<Shard>, rules: ScrubRules) {
    let mut skip = reactor::random_u64();
    loop {
        reactor::sleep(SCRUB_EVERY).await;
        let mut keys = shard.partitions.opened_keys();
        let first = usize::try_from(skip % keys.len().max(1) as u64).unwrap_or(0);
        skip = 0;
        keys.rotate_left(first);
        for key in keys {
            // One at a time: who holds a partition keeps it from being closed or moved.
            let Some(partition) = shard.partitions.opened(&key) else {
                continue;
            };
            if shard.moves.get(&key).is_none() && !partition.is_worked_on() {
                let _at_work = partition.work_on();
                scrub_partition(&shard, &partition, rules).await;
            }
            reactor::yield_turn().await;
        }
    }
}

/// How the logs of one shard are verified; `None`: not at all.
pub(super) fn scrub_rules(shard: &Shard) -> Option<ScrubRules> {
    let log = &shard.node.config.log;
    let shards = shard.router.shard_count().max(1) as f64;
    Some(ScrubRules {
        interval_ms: i64::try_from(log.scrub_interval_ms?).unwrap_or(i64::MAX),
        bytes_per_second: log.scrub_bytes_per_second as f64 / shards,
    })
}

pub(super) async fn scrub_partition(shard: &Shard, partition: &Partition, rules: ScrubRules) {
    match partition.log.scrub(Timestamp(reactor::wall_ms()), rules).await {
        Ok(scrubbed) => shard.metrics.upkeep.scrubbed(&scrubbed),
        Err(error) => {
            tracing::debug!(topic = %partition.id.topic, partition = partition.id.index, %error, "scrub")
        }
    }
}

fn report(partition: &Partition, error: &dyn std::fmt::Display, what: &'static str) {
    tracing::error!(topic = %partition.id.topic, partition = partition.id.index, %error, "{what}");
}
