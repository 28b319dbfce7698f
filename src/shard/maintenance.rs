//! What a shard does by the clock: rolling, retention, compaction, forgetting idle producers, and the mailboxes' overflow.

use std::rc::Rc;
use std::time::Duration;

use engine::types::Timestamp;

use super::{Shard, idle};
use crate::partition::Partition;

/// How often logs are rolled by time, synced by `flush.ms`, and relieved of idle files. Kafka's flush scheduler looks as often
/// as `log.flush.scheduler.interval.ms` says; its roll check is part of the append.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

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
            reactor::yield_now().await;
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
            reactor::yield_now().await;
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
                let _ = partition.commit(partition.log.end_offset()).await;
                reactor::yield_now().await;
            }
            Ok(_) => return,
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
            if !partition.config().cleanup_policy.compact {
                continue;
            }
            if let Err(error) = partition.log.compact(Timestamp(reactor::wall_ms())).await {
                report(&partition, &error, "compaction");
            }
        }
    }
}

fn report(partition: &Partition, error: &dyn std::fmt::Display, what: &'static str) {
    tracing::error!(topic = %partition.id.topic, partition = partition.id.index, %error, "{what}");
}
