//! Following the cluster image: the one place where a running shard's set of partitions changes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use control::image::{ClusterImage, Delta, PartitionImage, TopicImage};
use control::record::{BrokerId, DirectoryId, PartitionId as PartitionIndex};
use engine::directory::closed_log;
use futures_util::StreamExt;
use futures_util::stream;

use super::Shard;
use super::new_disk;
use super::partitions::{LastRun, OPENING_AT_ONCE, Slot};
use super::place::Place;
use super::scatter::PartitionKey;
use crate::coordinator::OFFSETS_TOPIC;
use crate::log_dirs::Assigned;
use crate::replica::RoleFacts;
use crate::topic_config;

/// Takes over every partition of `image` that this shard owns, without any I/O: their logs are opened when they are used. Only the
/// coordinators that have something to load load it now.
pub async fn begin(shard: &Rc<Shard>, image: &ClusterImage, last_run: &impl LastRun) {
    let mut coordinators = Vec::new();
    let mut begun = Vec::new();
    for topic in image.topics() {
        for (index, partition) in &topic.partitions {
            let key = PartitionKey {
                topic_id: topic.id,
                index: index.0,
            };
            if shard.owner(&key) != shard.id() || !is_replica(shard, partition) {
                continue;
            }
            let mut place = last_run.place(&topic.name, &key, assigned(shard, partition));
            if place.is_none() {
                place = new_disk::begun_anew(shard.node.id, &topic.name, &key, partition, last_run);
                let dir = place
                    .as_ref()
                    .and_then(|place| shard.node.log_dirs.get(place.dir).id());
                begun.extend(dir.map(|dir| (key, dir)));
            }
            let is_led = partition.leader == Some(shard.node.id);
            if is_led
                && &*topic.name == OFFSETS_TOPIC
                && place.as_ref().is_some_and(|place| place.kept.is_some())
            {
                coordinators.push(key.index);
            }
            add(shard, key, place);
            follow_leader(shard, key, partition);
        }
    }
    new_disk::assign(shard, begun);
    stream::iter(coordinators)
        .map(|index| async move {
            if let Err(code) = shard.coordinators.host(shard, index).await {
                tracing::error!(
                    partition = index,
                    ?code,
                    "the groups of this partition are not served; they are loaded again when they are asked for"
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
    let before = shard.set_image(image.clone(), delta);
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
            change_partition(shard, &image, topic, *index).await;
        }
    }
    if !delta.brokers.is_empty() {
        brokers_changed(shard, &image, delta);
    }
    if !delta.configs.is_empty() {
        topic_config::refresh(shard, &image, &delta.configs);
    }
    shard.replication.parts.metadata_changed();
    let followers = new_followers(shard.node.id, &before, &image, delta);
    shard
        .replication
        .sessions
        .given_partitions(reactor::now(), &followers);
}

/// The other replicas of what this broker leads from now on. On every shard: a follower's connection need not be on the shard that has the
/// partition.
fn new_followers(own: BrokerId, before: &ClusterImage, image: &ClusterImage, delta: &Delta) -> BTreeSet<i32> {
    let mut followers = BTreeSet::new();
    for (id, change) in &delta.topics {
        for index in change.partitions_added.iter().chain(&change.partitions_changed) {
            let Some(partition) = image.partition(*id, *index).filter(|now| now.leader == Some(own)) else {
                continue;
            };
            let epoch_before = before.partition(*id, *index).map(|before| before.leader_epoch);
            if epoch_before != Some(partition.leader_epoch) {
                let replicas = partition.replicas.iter().filter(|replica| **replica != own);
                followers.extend(replicas.map(|replica| replica.0));
            }
        }
    }
    followers
}

fn is_replica(shard: &Shard, partition: &PartitionImage) -> bool {
    partition.replicas.contains(&shard.node.id)
}

/// Fetches from the leader, or from nobody if that is this broker, or if there is none.
fn follow_leader(shard: &Rc<Shard>, key: PartitionKey, partition: &PartitionImage) {
    let fetchers = &shard.replication.fetchers;
    match partition.leader.filter(|leader| *leader != shard.node.id) {
        Some(leader) => fetchers.follow(shard, key, leader, partition.leader_epoch),
        None => fetchers.unfollow(&key),
    }
}

/// Another leader, other replicas, another ISR.
async fn change_partition(
    shard: &Rc<Shard>,
    image: &ClusterImage,
    topic: &Arc<TopicImage>,
    index: PartitionIndex,
) {
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
    if !is_replica(shard, partition) {
        // A reassignment has taken it away.
        shard.replication.fetchers.unfollow(&key);
        if shard.partitions.has(&key) {
            delete_partitions(shard, topic, [index].into_iter()).await;
        }
        return;
    }
    if !shard.partitions.has(&key) {
        add_new(shard, topic, index);
        return;
    }
    // One that is not open learns of it when it is.
    if let Some(opened) = shard.partitions.opened(&key) {
        opened.until_uncut().await;
        let minimum = opened.config().min_insync_replicas;
        // Somebody else may have led in between, and written what this coordinator does not know.
        if partition.leader_epoch.0 > opened.leader_epoch() + 1 && &*topic.name == OFFSETS_TOPIC {
            shard.coordinators.unload(key.index);
        }
        opened.take_role(RoleFacts::of(&shard.node, image, partition, minimum));
    }
    follow_leader(shard, key, partition);
    if &*topic.name == OFFSETS_TOPIC {
        change_coordinator(shard, &key, partition);
    }
}

/// A coordinator lives where its partition is led.
fn change_coordinator(shard: &Rc<Shard>, key: &PartitionKey, partition: &PartitionImage) {
    if partition.leader != Some(shard.node.id) {
        shard.coordinators.unload(key.index);
        return;
    }
    // One that was there before in another epoch goes on: nobody else has led meanwhile.
    if shard.coordinators.get(key.index).is_none() && shard.partitions.has_records(key) {
        let (shard, index) = (shard.clone(), key.index);
        reactor::spawn(async move {
            if let Err(code) = shard.coordinators.host(&shard, index).await {
                tracing::warn!(
                    partition = index,
                    ?code,
                    "the groups of this partition are not served; they are loaded again when they are asked for"
                );
            }
        })
        .detach();
    }
}

/// Brokers were fenced, or came back: who may be in sync goes by that.
fn brokers_changed(shard: &Rc<Shard>, image: &ClusterImage, delta: &Delta) {
    shard.replication.fetchers.brokers_changed();
    for opened in shard.partitions.all_opened() {
        let key = opened.id.key();
        let Some(partition) = image.partition(key.topic_id, PartitionIndex(key.index)) else {
            continue;
        };
        let is_touched = partition.replicas.iter().any(|id| delta.brokers.contains(id));
        if is_touched && partition.leader == Some(shard.node.id) {
            let minimum = opened.config().min_insync_replicas;
            opened.take_role(RoleFacts::of(&shard.node, image, partition, minimum));
        }
    }
}

fn add_new(shard: &Rc<Shard>, topic: &TopicImage, index: PartitionIndex) {
    let key = PartitionKey {
        topic_id: topic.id,
        index: index.0,
    };
    let Some(partition) = topic.partitions.get(&index) else {
        return;
    };
    if shard.owner(&key) != shard.id() || !is_replica(shard, partition) {
        return;
    }
    let dirs = &shard.node.log_dirs;
    let dir = match dirs.assigned(assigned(shard, partition)) {
        Assigned::To(dir) => Some(dir),
        Assigned::Nowhere => dirs.emptiest(),
        Assigned::Elsewhere => None,
    };
    add(shard, key, dir.map(Place::new));
    follow_leader(shard, key, partition);
}

/// Awaited, so that a topic created under the same name finds the place empty.
async fn delete(shard: &Rc<Shard>, topic: &TopicImage) {
    delete_partitions(shard, topic, topic.partitions.keys().copied()).await;
    shard.partitions.forget_figures(topic.id);
}

async fn delete_partitions(
    shard: &Rc<Shard>,
    topic: &TopicImage,
    indexes: impl Iterator<Item = PartitionIndex>,
) {
    let mut closed = Vec::new();
    for index in indexes {
        let key = PartitionKey {
            topic_id: topic.id,
            index: index.0,
        };
        shard.replication.fetchers.unfollow(&key);
        let slot = shard.partitions.slots.borrow_mut().remove(&key);
        if &*topic.name == OFFSETS_TOPIC && slot.is_some() {
            shard.coordinators.unload(index.0);
        }
        closed.extend(delete_slot(shard, topic, index, slot).await);
    }
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
        partition.retire();
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
