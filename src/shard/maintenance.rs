//! What a shard does by the clock: rolling, retention, compaction, forgetting idle producers, and the mailboxes' overflow.

use std::rc::Rc;
use std::time::Duration;

use engine::types::Timestamp;

use super::Shard;
use crate::partition::Partition;

/// How often logs are rolled by time, synced by `flush.ms`, and relieved of idle files. Kafka's flush scheduler looks as often
/// as `log.flush.scheduler.interval.ms` says; its roll check is part of the append.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// Starts the shard's clockwork; it ends with the shard.
pub fn start(shard: &Rc<Shard>) {
    let overflow = shard.clone();
    reactor::spawn(async move { overflow.router.drain_overflow().await }).detach();
    reactor::spawn(upkeep(shard.clone())).detach();
    reactor::spawn(retain(shard.clone())).detach();
    if shard.node.config.log.cleaner_enabled {
        reactor::spawn(clean(shard.clone())).detach();
    }
}

async fn upkeep(shard: Rc<Shard>) {
    loop {
        reactor::sleep(UPKEEP_EVERY).await;
        for partition in shard.partitions.all() {
            if let Err(error) = partition.log.maintain(Timestamp(reactor::wall_ms())) {
                tracing::debug!(topic = %partition.id.topic, partition = partition.id.index, %error, "upkeep");
            }
        }
    }
}

/// `log.retention.check.interval.ms`: deletes what is too old or too much.
async fn retain(shard: Rc<Shard>) {
    let every = Duration::from_millis(shard.node.config.log.retention_check_interval_ms);
    loop {
        reactor::sleep(every).await;
        for partition in shard.partitions.all() {
            let before = partition.log.start_offset();
            if let Err(error) = partition.log.apply_retention(Timestamp(reactor::wall_ms())) {
                report(&partition, &error, "retention");
            }
            if partition.log.start_offset() != before {
                partition.wake_waiters();
            }
            reactor::yield_now().await;
        }
    }
}

/// `log.cleaner.backoff.ms`: compacts what is dirty enough, one partition at a time.
async fn clean(shard: Rc<Shard>) {
    loop {
        reactor::sleep(Duration::from_millis(shard.dynamic().cleaner_backoff_ms)).await;
        for partition in shard.partitions.all() {
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
