//! A shard's life: open what it owns, serve what comes, close in order.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::image::{ClusterImage, Delta};
use control::service::ControllerPort;
use engine::directory::{PartitionCheckpoint, TopicPartition};
use reactor::{DetachedSocket, oneshot};
use uuid::Uuid;

use super::partitions::{self, LastRun};
use super::router::serve_mailbox;
use super::shard::{Node, Shard};
use super::{ShardPorts, maintenance};
use crate::partition::Partition;

/// How long connections may take to get their last answers when the broker stops.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// What a shard is started with.
pub struct Setup {
    pub node: Arc<Node>,
    pub ports: ShardPorts,
    pub controller: ControllerPort,
    pub image: Arc<ClusterImage>,
}

/// Runs on the shard's own thread until [`end`]. `opened` is told when all partitions are open.
pub async fn run(setup: Setup, last_run: impl LastRun, opened: oneshot::Sender<()>) {
    let ShardPorts { router, inboxes } = setup.ports;
    let shard = Shard::new(setup.node, router, setup.controller.attach(), setup.image);
    for inbox in inboxes {
        reactor::spawn(serve_mailbox(shard.clone(), inbox)).detach();
    }
    partitions::open_all(&shard, &shard.image(), &last_run).await;
    let _main_may_be_gone = opened.send(());
    maintenance::start(&shard);
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
    partitions::apply(&shard, image, &delta).await;
}

/// The checkpoints of every partition of this shard, each with its topic's id.
pub async fn checkpoints(shard: Rc<Shard>) -> Vec<(Uuid, PartitionCheckpoint)> {
    let checkpoint = |partition: Rc<Partition>| {
        let name = TopicPartition::new(&*partition.id.topic, partition.id.index);
        (
            partition.id.topic_id,
            PartitionCheckpoint::of(name, &partition.log),
        )
    };
    shard.partitions.all().into_iter().map(checkpoint).collect()
}

/// Closes the connections after their answers in flight.
pub async fn drain(shard: Rc<Shard>) {
    if let Some(connections) = shard.connections() {
        connections.drain(DRAIN_PATIENCE).await;
    }
}

/// Closes the logs, so that the next start has nothing to recover. After every shard has drained: connections of all of them write
/// to these logs. False when a log could not be closed, or was never opened: then the shutdown is not a clean one.
pub async fn close(shard: Rc<Shard>) -> bool {
    // What could not be opened was not recovered either; a clean start would take it as it is.
    let mut clean = shard.partitions.offline() == 0;
    for partition in shard.partitions.all() {
        if let Err(error) = partition.log.close().await {
            tracing::error!(topic = %partition.id.topic, partition = partition.id.index, %error, "closing the log");
            clean = false;
        }
    }
    clean
}

/// Lets the shard's thread end.
pub async fn end(shard: Rc<Shard>) {
    shard.ended.set();
}
