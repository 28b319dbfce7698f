//! Replicas whose directory is gone for good: the broker has come back with a new disk.
//!
//! Such a replica begins anew, empty, as a follower that nobody counts. One that is in sync, or eligible, or leads, is not begun:
//! what this broker has acknowledged would be missing, and who leads from it would cut it off everywhere else.

use std::rc::Rc;
use std::time::Duration;

use control::controller::{AssignDirectories, Request};
use control::image::PartitionImage;
use control::record::{BrokerId, DirectoryId, PartitionId as PartitionIndex};

use super::Shard;
use super::partitions::LastRun;
use super::place::Place;
use super::scatter::PartitionKey;

/// Between two looks whether the broker is registered, and between two tries to tell the controller.
const PAUSE: Duration = Duration::from_millis(200);

/// Where it begins anew, if it may.
pub(super) fn begun_anew(
    own: BrokerId,
    topic: &str,
    key: &PartitionKey,
    partition: &PartitionImage,
    last_run: &impl LastRun,
) -> Option<Place> {
    let is_counted = partition.leader == Some(own)
        || partition.isr.contains(&own)
        || partition.eligible_leader_replicas.contains(&own)
        || partition.last_known_elr.contains(&own);
    if is_counted {
        return None;
    }
    // as one that was never anywhere; not while a directory is away, in which it may lie
    last_run.place(topic, key, DirectoryId::UNASSIGNED)
}

/// Tells the metadata where they lie now, once the broker is registered: until then none of them can be elected.
pub(super) fn assign(shard: &Rc<Shard>, begun: Vec<(PartitionKey, DirectoryId)>) {
    if begun.is_empty() {
        return;
    }
    tracing::warn!(
        partitions = begun.len(),
        "replicas of a directory that is gone for good begin anew"
    );
    let shard = shard.clone();
    reactor::spawn(async move {
        loop {
            reactor::sleep(PAUSE).await;
            let Some(broker_epoch) = shard.node.session.broker_epoch() else {
                continue;
            };
            let dirs = &shard.node.log_dirs;
            let request = AssignDirectories {
                broker_id: shard.node.id,
                broker_epoch,
                online: dirs.online().filter_map(|(_, dir)| dir.id()).collect(),
                assignments: begun
                    .iter()
                    .map(|(key, id)| (key.topic_id, PartitionIndex(key.index), *id))
                    .collect(),
            };
            match shard.control(Request::AssignDirectories(request)).await {
                Ok(_) => return,
                Err(error) => tracing::debug!(?error, "the metadata is not told yet where replicas lie"),
            }
        }
    })
    .detach();
}
