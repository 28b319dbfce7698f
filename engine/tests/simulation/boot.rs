//! One life of the process: start, recover, work, and perhaps a clean stop.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use engine::directory::{DataDirectory, DirectoryError, PartitionCheckpoint, TopicPartition};
use engine::journal::{Journal, Owner, Replayed, replay};
use engine::log::{Log, OpenError, OpenState, RecoveryReport};
use engine::types::LeaderEpoch;
use reactor::background;
use reactor::sim::Faults;
use uuid::Uuid;

use crate::invariants::{self, LIVENESS, TYPED_ERRORS};
use crate::model::{Dump, LogModel};
use crate::workload;
use crate::world::World;

pub const DATA: &str = "/data";
const TOPIC_ID: Uuid = Uuid::from_u128(7);

/// What one life is to be.
#[derive(Clone, Copy, Debug)]
pub struct BootPlan {
    /// From when on the disk fails: before the logs are opened, or after they were checked.
    pub faults: Faults,
    pub faults_from_start: bool,
    pub steps: u32,
    pub stop_cleanly: bool,
    /// Every log must take an append.
    pub must_live: bool,
}

impl BootPlan {
    pub fn healthy(steps: u32) -> BootPlan {
        BootPlan {
            faults: Faults::default(),
            faults_from_start: false,
            steps,
            stop_cleanly: true,
            must_live: true,
        }
    }
}

/// The process.
pub struct Boot {
    pub world: Rc<World>,
    pub logs: Vec<Option<Log>>,
    journal: Option<Journal>,
    directory: RefCell<Option<DataDirectory>>,
    pub steps_left: Cell<u32>,
}

/// Makes the data directory, as an administrator does.
pub fn prepare() -> std::io::Result<()> {
    reactor::disk::create_dir_all(Path::new(DATA))?;
    reactor::disk::sync_dir(Path::new("/"))
}

impl Boot {
    /// Opens everything. None if the disk did not let it, which is checked to be its right.
    pub async fn start(world: &Rc<World>) -> Option<Boot> {
        world.count(|figures| figures.boots += 1);
        let (mut directory, journal, replayed) = match open_directory(world).await {
            Ok(opened) => opened,
            Err(text) => {
                refused(world, &text);
                return None;
            }
        };
        world.count(|figures| figures.replayed += replayed.batches_appended);
        let mut logs = Vec::new();
        for cell in &world.logs {
            let (partition, exists) = {
                let model = cell.borrow();
                (model.partition.clone(), model.exists)
            };
            let dir = directory.partition_dir(&partition);
            if !reactor::disk::exists(&dir) {
                world.require(!exists, invariants::ACKED_SURVIVES, || {
                    format!("the directory of {partition} is gone")
                });
                let (moved, made);
                (moved, made) = background(move || {
                    let made = directory.create_partition(&partition, TOPIC_ID);
                    (directory, made)
                })
                .await;
                directory = moved;
                match made {
                    Ok(_) => cell.borrow_mut().exists = true,
                    Err(error) => {
                        refused(world, &error.to_string());
                        logs.push(None);
                        continue;
                    }
                }
            }
            logs.push(open_log(world, &directory, &replayed, journal.as_ref(), cell).await);
        }
        Some(Boot {
            world: world.clone(),
            logs,
            journal,
            directory: RefCell::new(Some(directory)),
            steps_left: Cell::new(0),
        })
    }

    /// Writes the checkpoints, as the broker does every minute.
    pub async fn checkpoint(&self) -> Result<(), DirectoryError> {
        let Some(directory) = self.directory.borrow_mut().take() else {
            return Ok(()); // another task is at it
        };
        let mut told = Vec::new();
        for (cell, log) in self.world.logs.iter().zip(&self.logs) {
            let partition = cell.borrow().partition.clone();
            match log {
                Some(log) => told.push(PartitionCheckpoint::of(partition, log)),
                None => {
                    // not open in this life: what was known stays
                    let state = directory.open_state(&partition);
                    told.push(PartitionCheckpoint {
                        recovery_point: state.recovery_point,
                        log_start: state.log_start,
                        high_watermark: directory.high_watermark(&partition),
                        cleaned: state.cleaned,
                        partition,
                    });
                }
            }
        }
        let mut directory = directory;
        let (directory, told, written) = background(move || {
            let written = directory.write_checkpoints(&told);
            (directory, told, written)
        })
        .await;
        *self.directory.borrow_mut() = Some(directory);
        written?;
        self.world.count(|figures| figures.checkpoints += 1);
        for (cell, log) in self.world.logs.iter().zip(&self.logs) {
            let mut model = cell.borrow_mut();
            let row = told.iter().find(|row| row.partition == model.partition);
            if let Some(row) = row.filter(|_| log.is_some()) {
                model.start_durable = model.start_durable.max(row.log_start.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// As the broker stops: logs, checkpoints, marker.
    pub async fn stop(&self) {
        for (cell, log) in self.world.logs.iter().zip(&self.logs) {
            let Some(log) = log else { return };
            if let Err(fault) = log.close().await {
                self.world.disk.note(&format!("no clean stop: {fault}"));
                self.check_fault(&fault.to_string());
                return;
            }
            let mut model = cell.borrow_mut();
            let end = model.end();
            model.acked = end;
            model.acked_cached = end;
            model.flushed = end;
        }
        if let Some(journal) = &self.journal
            && let Err(error) = journal.close().await
        {
            return self.check_fault(&error.to_string());
        }
        if let Err(error) = self.checkpoint().await {
            return self.check_fault(&error.to_string());
        }
        let Some(directory) = self.directory.borrow_mut().take() else {
            return;
        };
        let (marked, _directory) = background(move || (directory.mark_clean(1), directory)).await;
        match marked {
            Ok(()) => self.world.count(|figures| figures.clean_stops += 1),
            Err(error) => self.check_fault(&error.to_string()),
        }
    }

    /// An error of the disk where the disk is healthy is a bug.
    pub fn check_fault(&self, text: &str) {
        let may = self.world.may_fail.get() || self.world.may_be_full.get();
        self.world.require(may, TYPED_ERRORS, || text.to_owned());
    }

    pub fn any_unopened(&self) -> bool {
        self.logs.iter().any(Option::is_none)
    }
}

/// Locks the directory, replays its journals and opens one for this life.
async fn open_directory(world: &Rc<World>) -> Result<(DataDirectory, Option<Journal>, Replayed), String> {
    let path = Path::new(DATA);
    let directory = background(|| DataDirectory::open(Path::new(DATA)))
        .await
        .map_err(|error| error.to_string())?;
    let Some(config) = world.journal.clone() else {
        return Ok((directory, None, Replayed::default()));
    };
    let owners: HashMap<i32, Owner> = world
        .logs
        .iter()
        .map(|cell| {
            let model = cell.borrow();
            let owner = Owner {
                topic: model.partition.topic.clone(),
                state: directory.open_state(&model.partition),
                is_compacted: model.is_compacted(),
            };
            (model.partition.partition, owner)
        })
        .collect();
    let replayed =
        background(move || replay(Path::new(DATA), |(_, partition)| owners.get(&partition).cloned()))
            .await
            .map_err(|error| error.to_string())?;
    let journal = Journal::open(path, 0, config)
        .await
        .map_err(|error| error.to_string())?;
    Ok((directory, Some(journal), replayed))
}

/// What the log is told of itself: what was replayed is synced.
fn start_of(directory: &DataDirectory, replayed: &Replayed, partition: &TopicPartition) -> OpenState {
    let mut state = directory.open_state(partition);
    if let Some(end) = replayed.ends.get(&(TOPIC_ID, partition.partition)) {
        state.clean = false;
        state.recovery_point = Some(*end);
    }
    state
}

fn refused(world: &World, error: &str) {
    world.count(|figures| figures.refused_starts += 1);
    world.disk.note(&format!("no start: {error}"));
    world.require(
        world.may_fail.get() || world.may_be_full.get() || !world.is_whole(),
        TYPED_ERRORS,
        || error.to_owned(),
    );
}

/// Opens a log and holds it against its model.
async fn open_log(
    world: &Rc<World>,
    directory: &DataDirectory,
    replayed: &Replayed,
    journal: Option<&Journal>,
    cell: &RefCell<LogModel>,
) -> Option<Log> {
    let (partition, config, rotted) = {
        let model = cell.borrow();
        (model.partition.clone(), model.config.clone(), model.rotted)
    };
    let state = start_of(directory, replayed, &partition);
    let dir = directory.partition_dir(&partition);
    let opened: Result<(Log, RecoveryReport), OpenError> = Log::open(&dir, config, state, journal).await;
    match opened {
        Ok((log, report)) => {
            // what is checked here is the log and not the disk
            world.disk.set_faults(Faults::default());
            invariants::check_recovered(world, &mut cell.borrow_mut(), &log, &report);
            world.disk.set_faults(world.faults.get());
            let mut model = cell.borrow_mut();
            // where bits were flipped the log may believe in later epochs than there were
            let believed = log.latest_epoch().filter(|_| model.rotted).unwrap_or_default();
            model.epoch = LeaderEpoch(model.epoch.max(believed).0 + 1);
            log.begin_epoch(model.epoch);
            log.set_high_watermark(log.end_offset());
            Some(log)
        }
        Err(error) => {
            world.count(|figures| figures.refused_starts += 1);
            world.disk.note(&format!("{partition} does not open: {error}"));
            let may = world.may_fail.get() || world.may_be_full.get() || rotted;
            world.require(may, TYPED_ERRORS, || error.to_string());
            None
        }
    }
}

/// Runs one life. Whether it came to its end by itself.
pub async fn live(world: Rc<World>, plan: BootPlan) {
    if plan.faults_from_start {
        set_faults(&world, plan.faults);
    } else {
        set_faults(&world, Faults::default());
    }
    let Some(boot) = Boot::start(&world).await else {
        return;
    };
    set_faults(&world, plan.faults);
    if world.is_violated() {
        return;
    }
    // (Finding 11: a recovery point from before a cut would be believed when the log has grown past it again.)
    if world.logs.iter().any(|log| log.borrow().cuts > 0)
        && let Err(error) = boot.checkpoint().await
    {
        return boot.check_fault(&error.to_string());
    }
    boot.steps_left.set(plan.steps);
    let boot = Rc::new(boot);
    workload::run(&boot).await;
    if plan.must_live {
        world.require(
            !boot.any_unopened() || world.logs.iter().any(|log| log.borrow().rotted),
            LIVENESS,
            || "a log does not open on a healthy disk".to_owned(),
        );
        workload::prove_life(&boot).await;
    }
    if plan.stop_cleanly && !world.is_violated() {
        boot.stop().await;
    }
}

/// Starts, dumps all logs, and ends.
pub async fn dump_all(world: Rc<World>) -> Option<Vec<Option<Dump>>> {
    set_faults(&world, Faults::default());
    let (directory, journal, replayed) = open_directory(&world).await.ok()?;
    let mut dumps = Vec::new();
    for cell in &world.logs {
        let (partition, config) = {
            let model = cell.borrow();
            (model.partition.clone(), model.config.clone())
        };
        let dir = directory.partition_dir(&partition);
        if !reactor::disk::exists(&dir) {
            dumps.push(None);
            continue;
        }
        let state = start_of(&directory, &replayed, &partition);
        let opened = Log::open(&dir, config, state, journal.as_ref()).await;
        let dumped = opened.ok().and_then(|(log, _)| {
            let model = cell.borrow();
            invariants::dump(&world, &model, &log).ok()
        });
        dumps.push(dumped);
    }
    Some(dumps)
}

fn set_faults(world: &World, faults: Faults) {
    world.may_fail.set(faults != Faults::default());
    world.faults.set(faults);
    world.disk.set_faults(faults);
}
