//! The partitions that a shard owns: opened at start and when the cluster image says so, closed when it says so.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use control::image::{ClusterImage, Delta, TopicImage};
use control::record::PartitionId as PartitionIndex;
use engine::log::file_name::PARTITION_METADATA;
use engine::log::{DiskFault, Log, LogConfig, OpenError, OpenState, partition_metadata};
use futures_util::StreamExt;
use futures_util::stream;
use net::error::ErrorCode;
use uuid::Uuid;

use super::Shard;
use super::scatter::PartitionKey;
use crate::coordinator::OFFSETS_TOPIC;
use crate::partition::{Partition, PartitionId};
use crate::topic_config;

/// Logs opened at a time by one shard. A guess: enough to overlap reads, few enough to keep descriptors free.
const OPENING_AT_ONCE: usize = 32;

/// Why a partition is offline.
#[derive(Debug, thiserror::Error)]
enum OpenFailure {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    Disk(#[from] DiskFault),
    #[error("partition.metadata: {0}")]
    Metadata(#[from] std::io::Error),
}

/// What is known of a partition of this shard.
enum Slot {
    Led(Rc<Partition>),
    /// Its log could not be opened; told to clients as a storage error until the operator mends it.
    Offline,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Partitions {
    slots: RefCell<HashMap<PartitionKey, Slot>>,
}

impl Partitions {
    /// The partition, or Kafka's error for one that is not here (any more) or cannot be served.
    pub fn get(&self, key: &PartitionKey) -> Result<Rc<Partition>, ErrorCode> {
        match self.slots.borrow().get(key) {
            Some(Slot::Led(partition)) => Ok(partition.clone()),
            Some(Slot::Offline) => Err(ErrorCode::KafkaStorageError),
            None => Err(ErrorCode::UnknownTopicOrPartition),
        }
    }

    pub fn all(&self) -> Vec<Rc<Partition>> {
        let slots = self.slots.borrow();
        let led = slots.values().filter_map(|slot| match slot {
            Slot::Led(partition) => Some(partition.clone()),
            Slot::Offline => None,
        });
        led.collect()
    }

    pub fn offline(&self) -> usize {
        self.slots
            .borrow()
            .values()
            .filter(|slot| matches!(slot, Slot::Offline))
            .count()
    }
}

/// How a partition's log was left by the last run, as the checkpoint files tell.
pub trait LastRun: Send + 'static {
    fn state(&self, topic: &str, topic_id: Uuid, index: i32) -> OpenState;
}

/// Opens every partition of `image` that this shard owns, then loads the coordinators among them.
pub async fn open_all(shard: &Rc<Shard>, image: &ClusterImage, last_run: &impl LastRun) {
    let mut wanted = Vec::new();
    for topic in image.topics() {
        wanted.extend(topic.partitions.keys().map(|index| (topic.clone(), *index)));
    }
    open(shard, wanted, |topic, index| {
        last_run.state(&topic.name, topic.id, index.0)
    })
    .await;
}

/// Follows the image: the one place where a running shard's set of partitions changes.
pub async fn apply(shard: &Rc<Shard>, image: Arc<ClusterImage>, delta: &Delta) {
    shard.set_image(image.clone());
    for topic in delta.topics_deleted.values() {
        close_deleted(shard, topic).await;
    }
    if !delta.topics_deleted.is_empty() {
        let names: Vec<String> = delta
            .topics_deleted
            .values()
            .map(|topic| topic.name.to_string())
            .collect();
        shard.coordinators.topics_deleted(&names);
    }
    let mut added = Vec::new();
    for (id, change) in &delta.topics {
        let Some(topic) = image.topic(*id) else { continue };
        added.extend(
            change
                .partitions_added
                .iter()
                .map(|index| (topic.clone(), *index)),
        );
        for index in &change.partitions_changed {
            let key = PartitionKey {
                topic_id: *id,
                index: index.0,
            };
            if let (Ok(partition), Some(new)) = (shard.partitions.get(&key), topic.partitions.get(index)) {
                partition.set_leader_epoch(new.leader_epoch.0);
            }
        }
    }
    open(shard, added, |_, _| OpenState::default()).await;
    if !delta.configs.is_empty() {
        topic_config::refresh(shard, &image, &delta.configs);
    }
}

async fn open(
    shard: &Rc<Shard>,
    wanted: Vec<(Arc<TopicImage>, PartitionIndex)>,
    state: impl Fn(&TopicImage, PartitionIndex) -> OpenState,
) {
    let own = shard.id();
    let mine = wanted.into_iter().filter(|(topic, index)| {
        shard.owner(&PartitionKey {
            topic_id: topic.id,
            index: index.0,
        }) == own
    });
    let opened = stream::iter(mine)
        .map(|(topic, index)| {
            let state = state(&topic, index);
            async move {
                let result = open_one(shard, &topic, index, state).await;
                (topic, index, result)
            }
        })
        .buffer_unordered(OPENING_AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut coordinators = Vec::new();
    for (topic, index, result) in opened {
        let key = PartitionKey {
            topic_id: topic.id,
            index: index.0,
        };
        let slot = match result {
            Ok(partition) => {
                if &*topic.name == OFFSETS_TOPIC {
                    coordinators.push(partition.clone());
                }
                Slot::Led(partition)
            }
            Err(error) => {
                tracing::error!(topic = %topic.name, partition = index.0, %error, "the partition cannot be served");
                Slot::Offline
            }
        };
        shard.partitions.slots.borrow_mut().insert(key, slot);
    }
    let loads = coordinators.into_iter().map(|partition| async move {
        let index = partition.id.index;
        if let Err(error) = shard.coordinators.load(shard, partition).await {
            tracing::error!(partition = index, %error, "the groups of this partition cannot be served");
        }
    });
    stream::iter(loads)
        .buffer_unordered(OPENING_AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}

async fn open_one(
    shard: &Rc<Shard>,
    topic: &TopicImage,
    index: PartitionIndex,
    state: OpenState,
) -> Result<Rc<Partition>, OpenFailure> {
    let config = topic_config::resolve(shard, &shard.image(), &topic.name);
    let directory = shard.node.directory.join(format!("{}-{}", topic.name, index.0));
    let log_config = Rc::new(topic_config::log_config(&config, &shard.dynamic()));
    let log = open_log(&directory, topic.id, log_config, state).await?;
    let leader_epoch = topic
        .partitions
        .get(&index)
        .map_or(0, |partition| partition.leader_epoch.0);
    let id = PartitionId {
        topic: topic.name.clone(),
        topic_id: topic.id,
        index: index.0,
    };
    Ok(Rc::new(Partition::new(
        id,
        log,
        leader_epoch,
        config,
        shard.node.config.requests.decompressed_batch_bytes as usize,
    )))
}

/// Opens the log of this very topic. A directory of the same name may be left of a deleted one (the process ended between the
/// decision and the deletion): its records must not come back under the new topic, so it is deleted first.
async fn open_log(
    directory: &Path,
    topic_id: Uuid,
    config: Rc<LogConfig>,
    state: OpenState,
) -> Result<Log, OpenFailure> {
    name_topic(directory, topic_id).await?;
    let (mut log, mut report) = Log::open(directory, config.clone(), state, None).await?;
    if log.topic_id().is_some_and(|found| found != topic_id) {
        tracing::warn!(partition = %log.partition(), "left over from a deleted topic of this name: deleting it");
        log.delete().await?;
        name_topic(directory, topic_id).await?;
        (log, report) = Log::open(directory, config, OpenState::default(), None).await?;
    }
    if report.truncation.is_some() || report.segments_checked > 0 {
        tracing::info!(partition = %log.partition(), ?report, "recovered");
    }
    Ok(log)
}

/// Writes whose records these are, before there are any. On a helper thread: it syncs three times.
async fn name_topic(directory: &Path, topic_id: Uuid) -> Result<(), OpenFailure> {
    let directory = directory.to_owned();
    Ok(reactor::background(move || write_topic_name(&directory, topic_id)).await?)
}

/// The directory's own entry is synced as well. Timeline of the loss otherwise: the topic is made, records are synced and
/// acknowledged, power fails; the data directory does not know the partition's directory, and all of it is gone.
fn write_topic_name(directory: &Path, topic_id: Uuid) -> std::io::Result<()> {
    let path = directory.join(PARTITION_METADATA);
    if reactor::disk::exists(&path) {
        return Ok(());
    }
    reactor::disk::create_dir_all(directory)?;
    // Before the file, whose being there says that all this was done.
    directory.parent().map_or(Ok(()), reactor::disk::sync_dir)?;
    // Atomic, since half a file would keep the partition from opening.
    reactor::disk::write_atomic(&path, partition_metadata::encode(topic_id).as_bytes())
}

async fn close_deleted(shard: &Rc<Shard>, topic: &TopicImage) {
    for index in topic.partitions.keys() {
        let slot = shard.partitions.slots.borrow_mut().remove(&PartitionKey {
            topic_id: topic.id,
            index: index.0,
        });
        let Some(Slot::Led(partition)) = slot else {
            continue;
        };
        if &*topic.name == OFFSETS_TOPIC {
            shard.coordinators.unload(index.0);
        }
        partition.wake_waiters();
        // Awaited, so that a topic created under the same name finds the place empty.
        if let Err(error) = partition.log.clone().delete().await {
            tracing::warn!(topic = %partition.id.topic, partition = partition.id.index, %error, "deleting the log");
        }
    }
}
