//! From a request for a partition to its open log.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use control::image::TopicImage;
use control::record::PartitionId as PartitionIndex;
use engine::directory::stray_dir;
use engine::journal::Journal;
use engine::log::file_name::PARTITION_METADATA;
use engine::log::{DiskFault, Log, LogConfig, OpenError, OpenState, partition_metadata};
use engine::types::Offset;
use net::error::ErrorCode;
use uuid::Uuid;

use super::Shard;
use super::gate::Gate;
use super::partitions::{Entry, Slot};
use super::scatter::PartitionKey;
use crate::log_dirs::DirIndex;
use crate::partition::{Partition, PartitionId};
use crate::replica::RoleFacts;
use crate::topic_config;

/// Why a partition is offline.
#[derive(Debug, thiserror::Error)]
enum OpenFailure {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    Disk(#[from] DiskFault),
    #[error("partition.metadata: {0}")]
    Metadata(#[from] std::io::Error),
    #[error("the disk is too full to begin another partition")]
    NoRoom,
    #[error("the topic was deleted meanwhile")]
    Deleted,
}

impl Shard {
    /// The partition, its log open. Ready at the first poll when the log is open already; otherwise callers are let in in the order
    /// in which they were first polled, and nobody overtakes them: what a caller does before it waits again is done in that order.
    pub async fn partition(self: &Rc<Shard>, key: &PartitionKey) -> Result<Rc<Partition>, ErrorCode> {
        let partition = self.visit(key).await?;
        partition.used();
        Ok(partition)
    }

    /// The same of a partition that is led here: what the image of the asking shard says may be over.
    pub async fn led_partition(self: &Rc<Shard>, key: &PartitionKey) -> Result<Rc<Partition>, ErrorCode> {
        let partition = self.partition(key).await?;
        if partition.leads() {
            Ok(partition)
        } else {
            Err(ErrorCode::NotLeaderOrFollower)
        }
    }

    /// The same without counting as use: for housekeeping, which must not keep a log from being idle.
    pub async fn visit(self: &Rc<Shard>, key: &PartitionKey) -> Result<Rc<Partition>, ErrorCode> {
        let pass = match self.partitions.enter(key, &self.node.log_dirs)? {
            Entry::Open(partition) => return Ok(partition),
            Entry::Wait(pass) => pass,
            Entry::Begin(gate, pass) => {
                reactor::spawn(open_behind(self.clone(), *key, gate)).detach();
                pass
            }
        };
        pass.await
    }

    /// Looks whether the log of a partition has failed. Its directory is then given up, at once and with all that lies there: what else
    /// of it cannot be trusted, nobody knows. A log that merely found no room goes alone.
    pub fn disk_failed(&self, partition: &Partition) {
        let Some(fault) = partition.log.fault().filter(|fault| !fault.is_gone()) else {
            return;
        };
        if !fault.is_out_of_room() {
            self.node.log_dirs.get(partition.dir()).fail(&fault);
        }
        partition.wake_waiters();
    }

    /// Where the directory of a partition is, or would be.
    pub(super) fn partition_path(&self, dir: DirIndex, topic: &str, index: i32) -> PathBuf {
        self.node
            .log_dirs
            .get(dir)
            .path()
            .join(format!("{topic}-{index}"))
    }
}

/// Opens the log for those who wait at the gate.
pub(super) async fn open_behind(shard: Rc<Shard>, key: PartitionKey, gate: Rc<Gate>) {
    let _turn = shard.partitions.opening.reserve(1).await;
    let (dir, kept) = {
        let place = gate.place.borrow();
        let kept = place.kept.as_ref();
        (place.dir, kept.map(|kept| (kept.state, kept.high_watermark)))
    };
    match open(&shard, &key, dir, kept).await {
        Ok(partition) => gate.open(partition),
        Err(OpenFailure::Deleted) => gate.refuse(ErrorCode::UnknownTopicOrPartition),
        Err(error) => {
            let image = shard.image();
            let topic = image.topic(key.topic_id).map_or("?", |topic| &*topic.name);
            tracing::error!(topic, partition = key.index, %error, "the partition cannot be served; it is opened again when it is asked for");
            shard.partitions.opening_failed(&key, &gate);
        }
    }
}

async fn open(
    shard: &Rc<Shard>,
    key: &PartitionKey,
    dir: DirIndex,
    kept: Option<(OpenState, Option<Offset>)>,
) -> Result<Rc<Partition>, OpenFailure> {
    let is_new = kept.is_none();
    let (state, high_watermark) = kept.unwrap_or_default();
    let topic = topic_of(shard, key)?;
    if is_new && shard.node.log_dirs.get(dir).is_full() {
        return Err(OpenFailure::NoRoom);
    }
    let path = shard.partition_path(dir, &topic.name, key.index);
    let config = topic_config::resolve(shard, &shard.image(), &topic.name);
    let log_config = Rc::new(topic_config::log_config(
        &config,
        &shard.dynamic(),
        shard.router.shard_count(),
    ));
    let journal = shard.directory(dir).journal().await;
    let log = open_log(&path, topic.id, log_config, state, journal.as_ref()).await?;
    // The cluster may have gone on: what counts is what is so now, for from here on the partition is told of changes.
    let topic = topic_of(shard, key)?;
    let config = topic_config::resolve(shard, &shard.image(), &topic.name);
    log.set_config(Rc::new(topic_config::log_config(
        &config,
        &shard.dynamic(),
        shard.router.shard_count(),
    )));
    let image = shard.image();
    let facts = topic
        .partitions
        .get(&PartitionIndex(key.index))
        .map(|partition| RoleFacts::of(&shard.node, &image, partition, config.min_insync_replicas))
        .ok_or(OpenFailure::Deleted)?;
    // A new epoch is written when the log is closed.
    let knew_epoch = !facts.leads || log.latest_epoch() >= Some(facts.state.leader_epoch);
    let id = PartitionId {
        topic: topic.name.clone(),
        topic_id: topic.id,
        index: key.index,
    };
    let figures = shard.partitions.figures(topic.id, &topic.name);
    let max_decompressed_bytes = shard.node.config.requests.decompressed_batch_bytes as usize;
    let partition = Partition::in_no_role(id, log, config, max_decompressed_bytes)
        .in_directory(dir)
        .counted_in(figures)
        .committed_before(high_watermark)
        .asking_through(shard.replication.isr_changes.clone());
    partition.take_role(facts);
    let partition = partition.left_clean(state.clean && knew_epoch);
    shard.replication.parts.attach(&partition);
    Ok(Rc::new(partition))
}

fn topic_of(shard: &Shard, key: &PartitionKey) -> Result<std::sync::Arc<TopicImage>, OpenFailure> {
    shard
        .image()
        .topic(key.topic_id)
        .cloned()
        .ok_or(OpenFailure::Deleted)
}

/// Opens the log of this very topic. A directory of the same name may be left of a deleted one (the process ended between the
/// decision and the deletion): its records must not come back under the new topic, so it is put aside first. Not deleted: were it
/// the id that is damaged, they would be all there is.
async fn open_log(
    directory: &Path,
    topic_id: Uuid,
    config: Rc<LogConfig>,
    state: OpenState,
    journal: Option<&Journal>,
) -> Result<Log, OpenFailure> {
    name_topic(directory, topic_id).await?;
    let (log, report) = Log::open(directory, config, state, journal).await?;
    if report.truncation.is_some() || report.segments_checked > 0 {
        tracing::debug!(partition = %log.partition(), ?report, "recovered");
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
        // One that cannot be read keeps the log from opening, and says why.
        let found = partition_metadata::parse(&reactor::disk::read(&path)?);
        if found.map_or(true, |found| found == topic_id) {
            return Ok(());
        }
        let stray = stray_dir(directory);
        tracing::warn!(dir = %directory.display(), stray = %stray.display(), "of another topic of this name: put aside");
        reactor::disk::rename(directory, &stray)?;
    }
    if let Some(parent) = directory.parent()
        && !reactor::disk::exists(parent)
    {
        // A disk that was taken away: the mount point must not be filled in its place.
        return Err(std::io::ErrorKind::NotFound.into());
    }
    reactor::disk::create_dir_all(directory)?;
    // Before the file, whose being there says that all this was done.
    directory.parent().map_or(Ok(()), reactor::disk::sync_dir)?;
    // Atomic, since half a file would keep the partition from opening.
    reactor::disk::write_atomic(&path, partition_metadata::encode(topic_id).as_bytes())
}

impl Slot {
    /// A partition nobody has used yet.
    pub(super) fn found(place: Option<super::place::Place>) -> Slot {
        place.map_or(Slot::Lost, Slot::Cold)
    }
}
