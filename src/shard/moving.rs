//! Moving a partition to another directory of the broker while it is in use (AlterReplicaLogDirs).
//!
//! | step | what a crash after it leaves | what the next start does |
//! |---|---|---|
//! | closed segments are copied to `*-future` in the new directory, again and again until little is missing | a part of a copy | removes it; the partition is where it was |
//! | the partition is shut: who comes waits; its log is closed, the rest is copied and synced | a whole copy without its name | the same |
//! | the checkpoints of the new directory are told of it; the copy gets its name | both, and they are the same | serves the one that the metadata names, puts the other aside |
//! | the original is deleted | the copy | finds it there |
//! | the metadata is told where the partition lies | | finds it there |

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use control::controller::{AssignDirectories, Request};
use control::record::PartitionId as PartitionIndex;
use engine::directory::{Mirror, closed_log, future_dir_name};
use engine::log::DiskFault;
use engine::types::Timestamp;
use net::error::ErrorCode;
use uuid::Uuid;

use super::Shard;
use super::gate::Gate;
use super::idle::reopen;
use super::partitions::Slot;
use super::place::Place;
use super::scatter::PartitionKey;
use crate::coordinator::OFFSETS_TOPIC;
use crate::log_dirs::{DirIndex, DirectoryError};
use crate::partition::Partition;

/// As little as this may be left to be copied while the partition is shut: some ten milliseconds.
const REST_BYTES: u64 = 16 << 20;

/// After so many rounds the producers are quicker than the copy, and have to wait for it.
const ROUNDS_MAX: usize = 20;

/// How long requests in flight may take to let go of a partition that is shut.
const LET_GO_PATIENCE: Duration = Duration::from_secs(10);
const WORK_LOOK: Duration = Duration::from_millis(100);
const LET_GO_LOOK: Duration = Duration::from_millis(1);

/// How often a move is tried again that found no room, or a partition that was not let go.
const TRIES_MAX: usize = 3;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The moves of a shard's partitions. One at a time is copied; the others wait.
#[derive(Default)]
pub struct Moves {
    running: RefCell<HashMap<PartitionKey, Rc<Move>>>,
    turn: reactor::sync::Notify,
    is_busy: Cell<bool>,
}

/// One of them, as DescribeLogDirs shows it.
pub struct Move {
    pub to: DirIndex,
    pub copied_bytes: Cell<u64>,
    /// Everything below is copied.
    pub copied_to: Cell<i64>,
    is_cancelled: Cell<bool>,
}

#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error("reading or writing a copy: {0}")]
    Copy(#[from] io::Error),
    #[error("{0}")]
    Log(#[from] DiskFault),
    #[error("the partition cannot be used: {0}")]
    Unavailable(ErrorCode),
    #[error("requests in flight do not let go of it")]
    InUse,
    #[error("{0}")]
    Checkpoint(#[from] DirectoryError),
    #[error("called off")]
    Cancelled,
}

impl Moves {
    pub fn get(&self, key: &PartitionKey) -> Option<Rc<Move>> {
        self.running.borrow().get(key).cloned()
    }

    /// Calls a move off; what it has copied goes.
    pub fn cancel(&self, key: &PartitionKey) {
        if let Some(running) = self.running.borrow_mut().remove(key) {
            running.is_cancelled.set(true);
        }
    }

    fn ended(&self, key: &PartitionKey, moving: &Rc<Move>) {
        let mut running = self.running.borrow_mut();
        if running
            .get(key)
            .is_some_and(|current| Rc::ptr_eq(current, moving))
        {
            running.remove(key);
        }
    }
}

/// Begins to move a partition; done when it is known that it can be. A partition on its way elsewhere turns round; one that is asked to
/// be where it is stays.
pub async fn alter_directory(shard: Rc<Shard>, key: PartitionKey, to: DirIndex) -> Result<(), ErrorCode> {
    let dirs = &shard.node.log_dirs;
    let from = shard.partitions.directory_of(&key)?;
    if !dirs.get(to).is_online() || !dirs.get(from).is_online() {
        return Err(ErrorCode::KafkaStorageError);
    }
    if shard.moves.get(&key).is_some_and(|running| running.to == to) {
        return Ok(());
    }
    shard.moves.cancel(&key);
    if from == to {
        return Ok(());
    }
    let moving = Rc::new(Move {
        to,
        copied_bytes: Cell::new(0),
        copied_to: Cell::new(0),
        is_cancelled: Cell::new(false),
    });
    shard.moves.running.borrow_mut().insert(key, moving.clone());
    reactor::spawn(run(shard.clone(), key, moving)).detach();
    Ok(())
}

async fn run(shard: Rc<Shard>, key: PartitionKey, moving: Rc<Move>) {
    while shard.moves.is_busy.get() {
        shard.moves.turn.notified().await;
    }
    shard.moves.is_busy.set(true);
    let mut outcome = attempt(&shard, &key, &moving).await;
    for _ in 1..TRIES_MAX {
        match &outcome {
            Err(MoveError::InUse | MoveError::Unavailable(_)) => {}
            Err(MoveError::Copy(error)) if error.kind() == io::ErrorKind::StorageFull => {}
            _ => break,
        }
        reactor::sleep(TRY_AGAIN_AFTER).await;
        outcome = attempt(&shard, &key, &moving).await;
    }
    shard.moves.ended(&key, &moving);
    shard.moves.is_busy.set(false);
    shard.moves.turn.notify_one();
    let topic = shard
        .image()
        .topic(key.topic_id)
        .map(|topic| topic.name.clone())
        .unwrap_or_else(|| "?".into());
    let dir = shard.node.log_dirs.get(moving.to).path().display().to_string();
    match outcome {
        Ok(()) => tracing::info!(%topic, partition = key.index, dir, "moved"),
        Err(error) => tracing::error!(%topic, partition = key.index, dir, %error, "not moved"),
    }
}

async fn attempt(shard: &Rc<Shard>, key: &PartitionKey, moving: &Rc<Move>) -> Result<(), MoveError> {
    if shard
        .partitions
        .move_untouched(key, moving.to, &shard.node.log_dirs)
    {
        assign(shard, key, moving.to).await;
        return Ok(());
    }
    let partition = shard.visit(key).await.map_err(MoveError::Unavailable)?;
    let from = partition.log.dir();
    let Some(name) = from.file_name().and_then(|name| name.to_str()) else {
        return Err(MoveError::Unavailable(ErrorCode::KafkaStorageError));
    };
    let id = Uuid::from_u64_pair(reactor::random_u64(), reactor::random_u64());
    let base = shard.node.log_dirs.get(moving.to).path();
    let future = base.join(future_dir_name(name, id));
    let outcome = copy_and_swap(shard, key, moving, partition, &from, &future).await;
    if outcome.is_err() {
        let _left_for_the_next_start =
            reactor::background(move || reactor::disk::remove_dir_all(&future)).await;
    }
    outcome
}

async fn copy_and_swap(
    shard: &Rc<Shard>,
    key: &PartitionKey,
    moving: &Rc<Move>,
    partition: Rc<Partition>,
    from: &Path,
    future: &Path,
) -> Result<(), MoveError> {
    let mut mirror = {
        let (from, future) = (from.to_owned(), future.to_owned());
        reactor::background(move || Mirror::begin(&from, &future)).await?
    };
    for _ in 0..ROUNDS_MAX {
        partition.log.roll(Timestamp(reactor::wall_ms()))?;
        // What was rolled has its end here, and is complete when this is on the disk.
        let below = partition.log.end_offset();
        partition.commit(below).await?;
        let mut round_bytes = 0;
        loop {
            if moving.is_cancelled.get() {
                return Err(MoveError::Cancelled);
            }
            let copied;
            (mirror, copied) = reactor::background(move || {
                let copied = mirror.copy_next(Some(below));
                (mirror, copied)
            })
            .await;
            let Some(bytes) = copied? else { break };
            round_bytes += bytes;
            moving.copied_bytes.set(mirror.size_bytes());
            moving.copied_to.set(mirror.copied_to().0);
        }
        if round_bytes <= REST_BYTES {
            break;
        }
    }
    // Compaction, say; none is begun anew while the partition is on its way. Requests are served meanwhile.
    while partition.is_worked_on() && !moving.is_cancelled.get() {
        reactor::sleep(WORK_LOOK).await;
    }
    if moving.is_cancelled.get() {
        return Err(MoveError::Cancelled);
    }
    drop(partition);
    let (gate, partition) = shard
        .partitions
        .bar(key)
        .ok_or(MoveError::Unavailable(ErrorCode::KafkaStorageError))?;
    let outcome = swap(shard, key, moving, &gate, &partition, mirror, future).await;
    match outcome {
        Err(MoveError::InUse) => gate.open(partition),
        _ => {
            shard.disk_failed(&partition);
            drop(partition);
            reopen(shard, *key, gate);
        }
    }
    outcome?;
    assign(shard, key, moving.to).await;
    Ok(())
}

/// The part that requests wait for. When it fails, the partition is where it was.
async fn swap(
    shard: &Rc<Shard>,
    key: &PartitionKey,
    moving: &Rc<Move>,
    gate: &Rc<Gate>,
    partition: &Rc<Partition>,
    mut mirror: Mirror,
    future: &Path,
) -> Result<(), MoveError> {
    if &*partition.id.topic == OFFSETS_TOPIC {
        shard.coordinators.unload(key.index);
    }
    let give_up = reactor::now() + LET_GO_PATIENCE;
    while Rc::strong_count(partition) > 1 {
        partition.wake_waiters();
        if reactor::now() > give_up {
            return Err(MoveError::InUse);
        }
        reactor::sleep(LET_GO_LOOK).await;
    }
    partition.log.close().await?;
    *gate.place.borrow_mut() = Place::of(partition);
    if let Some(kept) = &mut gate.place.borrow_mut().kept {
        kept.state.clean = true;
        kept.visit_ms = reactor::wall_ms();
    }
    let checkpoint = gate.place.borrow().checkpoint(&partition.id.topic, key.index);
    let dirs = shard.node.log_dirs.clone();
    let (to, future) = (moving.to, future.to_owned());
    let path = shard.partition_path(to, &partition.id.topic, key.index);
    let topic_id = key.topic_id;
    reactor::background(move || -> Result<(), MoveError> {
        mirror.finish()?;
        if let Some(checkpoint) = checkpoint {
            dirs.get(to).add_checkpoint(&checkpoint, topic_id)?;
        }
        reactor::disk::rename(&future, &path)?;
        Ok(reactor::disk::sync_dir(dirs.get(to).path())?)
    })
    .await?;
    // From here on it is there.
    let dirs = &shard.node.log_dirs;
    dirs.get(partition.dir()).partition_removed();
    dirs.get(moving.to).partition_added();
    gate.place.borrow_mut().dir = moving.to;
    let original: PathBuf = shard.partition_path(partition.dir(), &partition.id.topic, key.index);
    let delay_ms = partition.log.config().file_delete_delay_ms;
    if let Err(error) = closed_log::delete(vec![original], delay_ms).await {
        tracing::warn!(topic = %partition.id.topic, partition = key.index, %error, "the original stays until the next start");
    }
    Ok(())
}

/// Tells the metadata where the partition lies now. Were it not told, the next start would still find it there.
async fn assign(shard: &Rc<Shard>, key: &PartitionKey, to: DirIndex) {
    let dirs = &shard.node.log_dirs;
    let (Some(id), Some(broker_epoch)) = (dirs.get(to).id(), shard.node.session.broker_epoch()) else {
        return;
    };
    let request = AssignDirectories {
        broker_id: shard.node.id,
        broker_epoch,
        online: dirs.online().filter_map(|(_, dir)| dir.id()).collect(),
        assignments: vec![(key.topic_id, PartitionIndex(key.index), id)],
    };
    if let Err(error) = shard.control(Request::AssignDirectories(request)).await {
        tracing::warn!(
            ?error,
            "the metadata still names the old directory of a partition"
        );
    }
}

impl super::Partitions {
    fn directory_of(&self, key: &PartitionKey) -> Result<DirIndex, ErrorCode> {
        let slots = self.slots.borrow();
        let slot = slots.get(key).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let opened = slot.opened().map(|partition| partition.dir());
        opened
            .or_else(|| slot.with_place(|place| place.dir))
            .ok_or(ErrorCode::KafkaStorageError)
    }

    /// Moves a partition that has nothing on the disk: it has to be remembered only; whether it was one.
    fn move_untouched(&self, key: &PartitionKey, to: DirIndex, dirs: &crate::log_dirs::LogDirs) -> bool {
        match self.slots.borrow_mut().get_mut(key) {
            Some(Slot::Cold(place)) if place.kept.is_none() => {
                dirs.get(place.dir).partition_removed();
                dirs.get(to).partition_added();
                place.dir = to;
                true
            }
            _ => false,
        }
    }

    /// Puts a gate before an open partition, whoever uses it.
    fn bar(&self, key: &PartitionKey) -> Option<(Rc<Gate>, Rc<Partition>)> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(key)?;
        slot.settle();
        let Slot::Open(partition) = slot else { return None };
        let gate = Gate::new(Place::of(partition));
        let partition = partition.clone();
        *slot = Slot::Busy(gate.clone());
        Some((gate, partition))
    }
}
