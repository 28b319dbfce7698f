//! Following the cluster image: the one place where a running shard's set of partitions changes.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use control::image::{ClusterImage, Delta, PartitionImage, TopicImage};
use control::record::{DirectoryId, PartitionId as PartitionIndex};
use engine::directory::closed_log;
use futures_util::StreamExt;
use futures_util::stream;

use super::Shard;
use super::partitions::{LastRun, OPENING_AT_ONCE, Slot};
use super::place::Place;
use super::scatter::PartitionKey;
use crate::coordinator::OFFSETS_TOPIC;
use crate::log_dirs::Assigned;
use crate::topic_config;

/// Takes over every partition of `image` that this shard owns, without any I/O: their logs are opened when they are used. Only the
/// coordinators that have something to load load it now.
pub async fn begin(shard: &Rc<Shard>, image: &ClusterImage, last_run: &impl LastRun) {
    let mut coordinators = Vec::new();
    for topic in image.topics() {
        for (index, partition) in &topic.partitions {
            let key = PartitionKey {
                topic_id: topic.id,
                index: index.0,
            };
            if shard.owner(&key) != shard.id() {
                continue;
            }
            let place = last_run.place(&topic.name, &key, assigned(shard, partition));
            if &*topic.name == OFFSETS_TOPIC && place.as_ref().is_some_and(|place| place.kept.is_some()) {
                coordinators.push(key.index);
            }
            add(shard, key, place);
        }
    }
    stream::iter(coordinators)
        .map(|index| async move {
            if let Err(code) = shard.coordinators.host(shard, index).await {
                tracing::error!(
                    partition = index,
                    ?code,
                    "the groups of this partition are not served, for now"
                );
            }
        })
        .buffer_unordered(OPENING_AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}

/// Where the metadata says that this broker's replica lies.
fn assigned(shard: &Shard, partition: &PartitionImage) -> DirectoryId {
    let position = partition
        .replicas
        .iter()
        .position(|replica| *replica == shard.node.id);
    position
        .and_then(|position| partition.directories.get(position))
        .copied()
        .unwrap_or(DirectoryId::UNASSIGNED)
}

fn add(shard: &Shard, key: PartitionKey, place: Option<Place>) {
    if let Some(place) = &place {
        shard.node.log_dirs.get(place.dir).partition_added();
    }
    let mut slots = shard.partitions.slots.borrow_mut();
    slots.insert(key, Slot::found(place));
}

/// Follows the image by what changed. What is added waits for its first use; what is deleted is gone when this is done.
pub async fn apply(shard: &Rc<Shard>, image: Arc<ClusterImage>, delta: &Delta) {
    shard.set_image(image.clone());
    for topic in delta.topics_deleted.values() {
        delete(shard, topic).await;
    }
    if !delta.topics_deleted.is_empty() {
        let names: Vec<String> = delta
            .topics_deleted
            .values()
            .map(|topic| topic.name.to_string())
            .collect();
        shard.coordinators.topics_deleted(&names);
    }
    for (id, change) in &delta.topics {
        let Some(topic) = image.topic(*id) else { continue };
        for index in &change.partitions_added {
            add_new(shard, topic, *index);
        }
        for index in &change.partitions_changed {
            let key = PartitionKey {
                topic_id: *id,
                index: index.0,
            };
            // One that is not open learns of it when it is.
            if let (Some(partition), Some(new)) = (shard.partitions.opened(&key), topic.partitions.get(index))
            {
                partition.set_leader_epoch(new.leader_epoch.0);
            }
        }
    }
    if !delta.configs.is_empty() {
        topic_config::refresh(shard, &image, &delta.configs);
    }
}

fn add_new(shard: &Shard, topic: &TopicImage, index: PartitionIndex) {
    let key = PartitionKey {
        topic_id: topic.id,
        index: index.0,
    };
    let Some(partition) = topic.partitions.get(&index) else {
        return;
    };
    if shard.owner(&key) != shard.id() {
        return;
    }
    let dirs = &shard.node.log_dirs;
    let dir = match dirs.assigned(assigned(shard, partition)) {
        Assigned::To(dir) => Some(dir),
        Assigned::Nowhere => dirs.emptiest(),
        Assigned::Elsewhere => None,
    };
    add(shard, key, dir.map(Place::new));
}

/// Awaited, so that a topic created under the same name finds the place empty.
async fn delete(shard: &Rc<Shard>, topic: &TopicImage) {
    let mut closed = Vec::new();
    for index in topic.partitions.keys() {
        let key = PartitionKey {
            topic_id: topic.id,
            index: index.0,
        };
        let slot = shard.partitions.slots.borrow_mut().remove(&key);
        if &*topic.name == OFFSETS_TOPIC && slot.is_some() {
            shard.coordinators.unload(index.0);
        }
        closed.extend(delete_slot(shard, topic, *index, slot).await);
    }
    shard.partitions.forget_figures(topic.id);
    if closed.is_empty() {
        return;
    }
    let log_config = topic_config::log_config(
        &topic_config::resolve(shard, &shard.image(), &topic.name),
        &shard.dynamic(),
        shard.router.shard_count(),
    );
    if let Err(error) = closed_log::delete(closed, log_config.file_delete_delay_ms).await {
        tracing::warn!(topic = %topic.name, %error, "deleting the logs");
    }
}

/// The directory that is left to be deleted, if there is one.
async fn delete_slot(
    shard: &Shard,
    topic: &TopicImage,
    index: PartitionIndex,
    slot: Option<Slot>,
) -> Option<PathBuf> {
    let (partition, place) = match slot? {
        Slot::Open(partition) => (Some(partition), None),
        Slot::Busy(gate) => {
            gate.doom();
            gate.finished().await;
            let place = gate.place.replace_with(|place| Place::new(place.dir));
            (gate.opened(), Some(place))
        }
        Slot::Cold(place) | Slot::Offline { place, .. } => (None, Some(place)),
        Slot::Lost => return None,
    };
    let dirs = &shard.node.log_dirs;
    if let Some(partition) = partition {
        dirs.get(partition.dir()).partition_removed();
        partition.wake_waiters();
        if let Err(error) = partition.log.clone().delete().await {
            tracing::warn!(topic = %topic.name, partition = index.0, %error, "deleting the log");
        }
        return None;
    }
    let place = place?;
    let dir = dirs.get(place.dir);
    dir.partition_removed();
    (place.kept.is_some() && dir.is_online()).then(|| shard.partition_path(place.dir, &topic.name, index.0))
}
