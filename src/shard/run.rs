//! A shard's life: open what it owns, serve what comes, close in order.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::image::{ClusterImage, Delta};
use control::service::ControllerPort;
use futures_util::StreamExt;
use futures_util::stream;
use reactor::{DetachedSocket, oneshot};

use super::partitions::LastRun;
use super::router::serve_mailbox;
use super::scatter::PartitionKey;
use super::shard::{Node, Shard};
use super::{ShardPorts, follow, maintenance};
use crate::coordinator::OFFSETS_TOPIC;
use crate::log_dirs::{Checkpoint, DirIndex};

/// Partitions whose checkpoints are gathered in one go: some 50 us.
const CHECKPOINTS_AT_ONCE: usize = 256;

/// Logs closed at a time when the broker stops: each syncs a few files.
const CLOSING_AT_ONCE: usize = 32;

/// How long connections may take to get their last answers when the broker stops.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// What a shard is started with.
pub struct Setup {
    pub node: Arc<Node>,
    pub ports: ShardPorts,
    pub controller: ControllerPort,
    pub image: Arc<ClusterImage>,
}

/// Runs on the shard's own thread until [`end`]. `opened` is told when all partitions can be used.
pub async fn run(setup: Setup, last_run: impl LastRun, opened: oneshot::Sender<()>) {
    let ShardPorts { router, inboxes } = setup.ports;
    let shard = Shard::new(setup.node, router, setup.controller.attach(), setup.image);
    for inbox in inboxes {
        reactor::spawn(serve_mailbox(shard.clone(), inbox)).detach();
    }
    follow::begin(&shard, &shard.image(), &last_run).await;
    drop(last_run);
    let _main_may_be_gone = opened.send(());
    maintenance::start(&shard);
    crate::replica::start(&shard);
    shard.ended.wait().await;
}

/// Takes over a connection that the listener accepted.
pub async fn adopt(shard: Rc<Shard>, socket: DetachedSocket, peer: SocketAddr, listener: String) {
    let Some(connections) = shard.connections() else {
        return;
    };
    if let Err(error) = connections.serve(socket, peer, &Rc::from(listener)) {
        tracing::warn!(%peer, %error, "a connection could not be taken over");
    }
}

/// Follows the cluster to a newer image; done when every partition of it can be used.
pub async fn apply(shard: Rc<Shard>, image: Arc<ClusterImage>, delta: Arc<Delta>) {
    follow::apply(&shard, image, &delta).await;
}

/// The checkpoints of every partition of this shard that has anything on a disk. Gathered in portions, between which requests are
/// served.
pub async fn checkpoints(shard: Rc<Shard>) -> Vec<Checkpoint> {
    let keys = shard.partitions.keys();
    let mut checkpoints = Vec::new();
    for keys in keys.chunks(CHECKPOINTS_AT_ONCE) {
        for key in keys {
            let checkpoint = checkpoint(&shard, key);
            // A copy may get its name at any moment; from then on its directory's checkpoints are needed.
            if let (Some(checkpoint), Some(moving)) = (&checkpoint, shard.moves.get(key)) {
                checkpoints.push(Checkpoint {
                    dir: moving.to,
                    topic_id: checkpoint.topic_id,
                    partition: checkpoint.partition.clone(),
                });
            }
            checkpoints.extend(checkpoint);
        }
        reactor::yield_turn().await;
    }
    checkpoints
}

fn checkpoint(shard: &Shard, key: &PartitionKey) -> Option<Checkpoint> {
    let image = shard.image();
    let topic = image.topic(key.topic_id)?;
    let (dir, partition) = shard.partitions.checkpoint(key, &topic.name)?;
    Some(Checkpoint {
        dir,
        topic_id: key.topic_id,
        partition,
    })
}

/// Closes the connections after their answers in flight.
pub async fn drain(shard: Rc<Shard>) {
    if let Some(connections) = shard.connections() {
        connections.drain(DRAIN_PATIENCE).await;
    }
}

/// Closes the logs, so that the next start has nothing to recover. After every shard has drained: connections of all of them write
/// to these logs. Returns the directories that are not clean: with a log that could not be closed, or that was never recovered.
pub async fn close(shard: Rc<Shard>) -> Vec<DirIndex> {
    shard.replication.fetchers.stop();
    shard.partitions.stop();
    shard.partitions.await_gates().await;
    let closing = shard.partitions.all_opened().into_iter().map(|partition| async move {
        let closed = partition.log.close().await;
        if let Err(error) = &closed {
            tracing::error!(topic = %partition.id.topic, partition = partition.id.index, %error, "closing the log");
        }
        closed.is_err().then_some(partition.dir())
    });
    let failed: Vec<_> = stream::iter(closing)
        .buffer_unordered(CLOSING_AT_ONCE)
        .collect()
        .await;
    let mut unclean: Vec<DirIndex> = failed.into_iter().flatten().collect();
    unclean.extend(shard.partitions.unclean_directories());
    for directory in shard.directories() {
        if !directory.close().await {
            unclean.push(directory.index());
        }
    }
    unclean.sort_unstable();
    unclean.dedup();
    unclean
}

/// A directory went offline: whoever waits for its partitions looks again, and is told.
pub async fn directories_failed(shard: Rc<Shard>) {
    for directory in shard.directories() {
        directory.look();
    }
    for partition in shard.partitions.all_opened() {
        if shard.node.log_dirs.get(partition.dir()).is_online() {
            continue;
        }
        partition.wake_waiters();
        if &*partition.id.topic == OFFSETS_TOPIC {
            shard.coordinators.unload(partition.id.index);
        }
    }
}

/// Lets the shard's thread end.
pub async fn end(shard: Rc<Shard>) {
    shard.ended.set();
}
