//! One scrape: every shard tells its figures, the sums are rendered.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use control::image::PartitionImage;
use control::record::PartitionId;
use engine::journal::Figures;
use futures_util::future::join_all;

use super::{cluster, lag};
use crate::metrics::{Snapshot, render};
use crate::shard::{Node, PartitionKey, Router, Shard, ShardGone, ShardId};

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    #[error("{0}")]
    Shard(#[from] ShardGone),
    #[error("the figures cannot be written: {0}")]
    Render(#[from] std::fmt::Error),
}

pub async fn scrape(node: &Node, main: &Router) -> Result<String, ScrapeError> {
    let mut all = Snapshot::default();
    let backend = node.backend.to_string();
    all.gauge(
        "io_backend",
        "1 for the way to the kernel that is in use.",
        &[("backend", &backend)],
        1.0,
    );
    all.gauge(
        "offline_log_directories",
        "Directories of log.dirs that cannot be used.",
        &[],
        node.log_dirs.offline_count() as f64,
    );
    all.gauge("shards", "Shards of this broker.", &[], main.shard_count() as f64);
    // what all shards know alike is asked of one
    let asked = main.send(
        ShardId(0),
        |shard: Rc<Shard>| async move { cluster::collect(&shard) },
    );
    all.merge(asked.await?);
    for part in join_all(everywhere(main, collect)).await {
        all.merge(part?);
    }
    lag::collect(main, &mut all).await?;
    Ok(render(all)?)
}

pub async fn offline_partitions(main: &Router) -> Result<usize, ShardGone> {
    let counts = join_all(everywhere(main, |shard: Rc<Shard>| async move {
        shard.partitions.offline_count(&shard.node.log_dirs)
    }));
    counts.await.into_iter().sum()
}

/// Asks every shard from a thread that is none.
pub(super) fn everywhere<T, F, Fut>(
    main: &Router,
    work: F,
) -> Vec<impl Future<Output = Result<T, ShardGone>> + use<T, F, Fut>>
where
    T: Send + 'static,
    F: FnOnce(Rc<Shard>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    let asked = (0..main.shard_count()).map(|index| main.send(ShardId(index), work.clone()));
    asked.collect()
}

/// The figures of one shard, on its own thread.
async fn collect(shard: Rc<Shard>) -> Snapshot {
    let mut out = Snapshot::default();
    shard.metrics.collect(&mut out);
    connections(&shard, &mut out);
    journals(&shard, &mut out);
    topics(&shard, &mut out).await;
    let name = shard.id().0.to_string();
    let label = [("shard", name.as_str())];
    out.gauge(
        "mailbox_overflow",
        "Calls to other shards that wait for room in a mailbox.",
        &label,
        shard.router.overflow_depth() as f64,
    );
    out.gauge(
        "fetch_sessions",
        "Incremental fetch sessions.",
        &label,
        shard.fetch_sessions.borrow().len() as f64,
    );
    let reactor = reactor::metrics();
    out.counter("reactor_polls", "Task polls.", &label, reactor.polls);
    out.counter(
        "reactor_sleeps",
        "Times the reactor had nothing to do and slept.",
        &label,
        reactor.sleeps,
    );
    out.counter(
        "reactor_wakes_sent",
        "Other threads woken.",
        &label,
        reactor.wakes_sent,
    );
    out.gauge("reactor_tasks", "Live tasks.", &label, reactor.tasks_live as f64);
    out.gauge(
        "reactor_buffers_free",
        "Receive buffers that are free.",
        &label,
        reactor.buffers_free as f64,
    );
    out
}

/// Of all directories together; what fails in one is told by its own metrics.
fn journals(shard: &Shard, out: &mut Snapshot) {
    let name = shard.id().0.to_string();
    let label = [("shard", name.as_str())];
    let mut sum = Figures::default();
    for figures in shard.journal_figures() {
        sum.writes += figures.writes;
        sum.entries += figures.entries;
        sum.bytes += figures.bytes;
        sum.checkpoints += figures.checkpoints;
        sum.unwritten_bytes += figures.unwritten_bytes;
    }
    out.counter("journal_writes", "Synced writes of journals.", &label, sum.writes);
    out.counter(
        "journal_batches",
        "Batches made durable by journals.",
        &label,
        sum.entries,
    );
    out.counter("journal_bytes", "Bytes written to journals.", &label, sum.bytes);
    out.counter(
        "journal_checkpoints",
        "Times the segments behind a journal were synced.",
        &label,
        sum.checkpoints,
    );
    out.gauge(
        "journal_unwritten_bytes",
        "Durable bytes that segment files do not have yet.",
        &label,
        sum.unwritten_bytes as f64,
    );
}

fn connections(shard: &Shard, out: &mut Snapshot) {
    let Some(connections) = shard.connections() else {
        return;
    };
    let counters = connections.counters();
    out.gauge(
        "connections",
        "Open client connections.",
        &[],
        counters.connections_open.get() as f64,
    );
    out.counter(
        "connections_accepted",
        "Connections accepted.",
        &[],
        counters.connections_opened.get(),
    );
    out.counter(
        "network_bytes_in",
        "Bytes received from clients.",
        &[],
        counters.bytes_in.get(),
    );
    out.counter(
        "network_bytes_out",
        "Bytes sent to clients.",
        &[],
        counters.bytes_out.get(),
    );
    out.gauge(
        "requests_in_flight",
        "Requests being handled.",
        &[],
        counters.requests_in_flight.get() as f64,
    );
    for (reason, count) in counters.closed() {
        out.counter(
            "connections_closed",
            "Connections closed, by reason.",
            &[("reason", reason)],
            count,
        );
    }
}

/// Of the partitions of this shard that this broker leads.
fn replication(shard: &Shard, out: &mut Snapshot) {
    let image = shard.image();
    let is_led = |topic_id, (index, partition): (&PartitionId, &Arc<PartitionImage>)| {
        let key = PartitionKey {
            topic_id,
            index: index.0,
        };
        partition.leader == Some(shard.node.id) && shard.owner(&key) == shard.id()
    };
    let led: usize = image
        .topics()
        .map(|topic| {
            topic
                .partitions
                .iter()
                .filter(|entry| is_led(topic.id, *entry))
                .count()
        })
        .sum();
    out.gauge(
        "partitions_led",
        "Partitions that this broker leads.",
        &[],
        led as f64,
    );
    let opened = shard.partitions.all_opened();
    let under_min_isr = opened
        .iter()
        .filter(|partition| partition.check_in_sync().is_err());
    out.gauge(
        "partitions_under_min_isr",
        "Partitions in use, led here, with fewer replicas in sync than min.insync.replicas: acks=all is refused.",
        &[],
        under_min_isr.count() as f64,
    );
}

/// Topics that nobody has used since the start and that have no records are left out: there may be very many.
async fn topics(shard: &Rc<Shard>, out: &mut Snapshot) {
    let partitions = &shard.partitions;
    out.gauge(
        "partitions",
        "Partitions that this broker has a replica of.",
        &[],
        partitions.count() as f64,
    );
    replication(shard, out);
    out.gauge(
        "partitions_open",
        "Partitions whose log is open, because they are or were lately used.",
        &[],
        partitions.all_opened().len() as f64,
    );
    out.gauge(
        "partitions_offline",
        "Partitions whose log cannot be used.",
        &[],
        partitions.offline_count(&shard.node.log_dirs) as f64,
    );
    let bad_ranges: usize = partitions
        .all_opened()
        .iter()
        .map(|partition| partition.log.bad_ranges().len())
        .sum();
    out.gauge(
        "log_bad_ranges",
        "Ranges of log that are quarantined: reads of them fail.",
        &[],
        bad_ranges as f64,
    );
    let mut sums: BTreeMap<Arc<str>, [u64; 5]> = BTreeMap::new();
    for (topic, figures) in partitions.all_figures() {
        let values = [
            figures.bytes_in.get(),
            figures.messages_in.get(),
            figures.bytes_out.get(),
            figures.messages_out.get(),
            0,
        ];
        sums.insert(topic, values);
    }
    for partition in shard.measured().await {
        if partition.bytes > 0 {
            sums.entry(partition.topic).or_default()[4] += partition.bytes;
        }
    }
    for (topic, [bytes_in, messages_in, bytes_out, messages_out, size]) in sums {
        let label = [("topic", &*topic)];
        out.counter("topic_bytes_in", "Bytes of batches appended.", &label, bytes_in);
        out.counter("topic_messages_in", "Records appended.", &label, messages_in);
        out.counter(
            "topic_bytes_out",
            "Bytes of batches read by fetches.",
            &label,
            bytes_out,
        );
        out.counter(
            "topic_messages_out",
            "Records read by fetches.",
            &label,
            messages_out,
        );
        out.gauge("topic_size_bytes", "Bytes of log on disk.", &label, size as f64);
    }
}
