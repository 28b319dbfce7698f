//! The partitions that a shard owns. Most of them are idle most of the time, so a partition costs a slot of a few dozen bytes
//! until somebody uses it; its log is opened then, and closed again when nobody does.
//!
//! ```text
//!           first use              log is open, all who waited are in
//!   Cold ------------> Busy(gate) ------------------------------------> Open
//!    ^                  |  ^  |  cannot be opened       after a pause     |
//!    |                  |  |  +-----------------------> Offline --+       |
//!    +------------------+  +--------------------------------------+       |
//!        log is closed     ^----------------------------------------------+
//!                                    idle, or moved to another directory
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::directory::{PartitionCheckpoint, TopicPartition};
use engine::log::OpenState;
use engine::types::{LeaderEpoch, Offset};
use hashbrown::HashMap;
use net::error::ErrorCode;
use reactor::Instant;
use reactor::sync::Budget;
use uuid::Uuid;

use super::gate::{Gate, Pass};
use super::place::Place;
use super::scatter::{KeyHasher, PartitionKey};
use crate::log_dirs::{DirIndex, LogDirs};
use crate::partition::{Figures, Partition};

/// Logs opened at a time by one shard. A guess: enough to overlap reads, few enough to keep descriptors free.
pub const OPENING_AT_ONCE: usize = 32;

/// After a log could not be opened: how long requests are refused without another try.
const OFFLINE_PAUSE: Duration = Duration::from_secs(5);

/// What is known of a partition of this shard.
pub(super) enum Slot {
    /// Not open; nobody uses it.
    Cold(Place),
    /// Opening or closing. Once it is open and everybody who waited is in, it counts as [`Slot::Open`].
    Busy(Rc<Gate>),
    Open(Rc<Partition>),
    /// Its log could not be opened. Told to clients as a storage error; tried again after a pause.
    Offline {
        place: Place,
        retry_at: Instant,
    },
    /// It lies in a directory that is not there: known by its id alone.
    Lost,
}

impl Slot {
    /// A gate that is open, and that nobody stands in any more, is no gate.
    pub(super) fn settle(&mut self) {
        if let Slot::Busy(gate) = self
            && !gate.has_waiters()
            && let Some(partition) = gate.opened()
        {
            *self = Slot::Open(partition);
        }
    }

    /// Where it lies, as far as no open log says it better.
    pub(super) fn with_place<T>(&self, look: impl FnOnce(&Place) -> T) -> Option<T> {
        match self {
            Slot::Cold(place) | Slot::Offline { place, .. } => Some(look(place)),
            Slot::Busy(gate) => Some(look(&gate.place.borrow())),
            Slot::Open(_) | Slot::Lost => None,
        }
    }

    pub(super) fn opened(&self) -> Option<Rc<Partition>> {
        match self {
            Slot::Open(partition) => Some(partition.clone()),
            Slot::Busy(gate) => gate.opened(),
            Slot::Cold(_) | Slot::Offline { .. } | Slot::Lost => None,
        }
    }
}

/// What [`Partitions::enter`] found.
pub(super) enum Entry {
    Open(Rc<Partition>),
    Wait(Pass),
    /// The caller sees to it that the log is opened, or [`Partitions::opening_failed`] is told.
    Begin(Rc<Gate>, Pass),
}

type NamedFigures = (Arc<str>, Rc<Figures>);

/// See the module's documentation.
pub struct Partitions {
    pub(super) slots: RefCell<HashMap<PartitionKey, Slot, BuildHasherDefault<KeyHasher>>>,
    /// By topic, so that counts outlive the time that a log is open. Topics that were never used have none.
    figures: RefCell<BTreeMap<Uuid, NamedFigures>>,
    pub(super) opening: Budget,
    /// The broker stops: nothing is opened any more.
    is_stopping: Cell<bool>,
}

impl Default for Partitions {
    fn default() -> Partitions {
        Partitions {
            slots: RefCell::default(),
            figures: RefCell::default(),
            opening: Budget::new(OPENING_AT_ONCE),
            is_stopping: Cell::new(false),
        }
    }
}

impl Partitions {
    /// The way to the partition `key`, or Kafka's error for one that is not here (any more) or cannot be served.
    pub(super) fn enter(&self, key: &PartitionKey, dirs: &LogDirs) -> Result<Entry, ErrorCode> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(key).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        slot.settle();
        let place = match slot {
            Slot::Open(partition) if dirs.get(partition.dir()).is_online() => {
                return Ok(Entry::Open(partition.clone()));
            }
            Slot::Busy(gate) => return Ok(Entry::Wait(gate.pass())),
            Slot::Cold(place) => place,
            Slot::Offline { place, retry_at } if *retry_at <= reactor::now() => place,
            Slot::Open(_) | Slot::Offline { .. } | Slot::Lost => return Err(ErrorCode::KafkaStorageError),
        };
        if self.is_stopping.get() || !dirs.get(place.dir).is_online() {
            return Err(ErrorCode::KafkaStorageError);
        }
        let dir = place.dir;
        let gate = Gate::new(std::mem::replace(place, Place::new(dir)));
        *slot = Slot::Busy(gate.clone());
        let pass = gate.pass();
        Ok(Entry::Begin(gate, pass))
    }

    /// Lets nobody in any more for whom a log would have to be opened.
    pub(super) fn stop(&self) {
        self.is_stopping.set(true);
    }

    pub fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// The partition if its log is open; to look at, not to use.
    pub fn opened(&self, key: &PartitionKey) -> Option<Rc<Partition>> {
        self.slots.borrow().get(key).and_then(Slot::opened)
    }

    pub fn opened_keys(&self) -> Vec<PartitionKey> {
        let slots = self.slots.borrow();
        let opened = slots.iter().filter(|(_, slot)| slot.opened().is_some());
        opened.map(|(key, _)| *key).collect()
    }

    /// All partitions whose logs are open; to look at now: who keeps them keeps them from being closed.
    pub fn all_opened(&self) -> Vec<Rc<Partition>> {
        self.slots.borrow().values().filter_map(Slot::opened).collect()
    }

    /// Whether this shard has a replica of the partition.
    pub fn has(&self, key: &PartitionKey) -> bool {
        self.slots.borrow().contains_key(key)
    }

    /// Whether there may be anything in the partition's log.
    pub fn has_records(&self, key: &PartitionKey) -> bool {
        let slots = self.slots.borrow();
        let Some(slot) = slots.get(key) else { return false };
        match slot.opened() {
            Some(partition) => partition.log.end_offset() > partition.log.start_offset(),
            None => slot.with_place(|place| place.kept.is_some()).unwrap_or(true),
        }
    }

    /// Where a log ends that is not open, the epoch it ends in, and where it begins; `None`: only opening it tells.
    pub fn known_end(&self, key: &PartitionKey) -> Option<(Offset, LeaderEpoch, Offset)> {
        match self.slots.borrow().get(key)? {
            Slot::Cold(place) => match &place.kept {
                None => Some((Offset::ZERO, LeaderEpoch::NONE, Offset::ZERO)),
                Some(kept) if kept.state.clean => {
                    let (end, epoch) = kept.end?;
                    Some((end, epoch, kept.state.log_start?))
                }
                Some(_) => None,
            },
            _ => None,
        }
    }

    /// The leader says what is committed of a log that is not open.
    pub fn note_committed(&self, key: &PartitionKey, high_watermark: Offset) {
        if let Some(Slot::Cold(place)) = self.slots.borrow_mut().get_mut(key)
            && let Some(kept) = &mut place.kept
            && let Some((end, _)) = kept.end
        {
            kept.high_watermark = kept.high_watermark.max(Some(high_watermark.min(end)));
        }
    }

    pub fn count(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Partitions that cannot be served.
    pub fn offline_count(&self, dirs: &LogDirs) -> usize {
        let slots = self.slots.borrow();
        let is_offline = |slot: &&Slot| match slot {
            Slot::Lost | Slot::Offline { .. } => true,
            Slot::Open(partition) => {
                !dirs.get(partition.dir()).is_online() || partition.log.fault().is_some()
            }
            Slot::Cold(place) => !dirs.get(place.dir).is_online(),
            Slot::Busy(_) => false,
        };
        slots.values().filter(is_offline).count()
    }

    pub(super) fn keys(&self) -> Vec<PartitionKey> {
        self.slots.borrow().keys().copied().collect()
    }

    /// Where a partition lies and what the checkpoints should say of it; `None`: nothing.
    pub(super) fn checkpoint(
        &self,
        key: &PartitionKey,
        topic: &str,
    ) -> Option<(DirIndex, PartitionCheckpoint)> {
        let slots = self.slots.borrow();
        let slot = slots.get(key)?;
        if let Some(partition) = slot.opened() {
            let name = TopicPartition::new(topic, key.index);
            return Some((partition.dir(), PartitionCheckpoint::of(name, &partition.log)));
        }
        slot.with_place(|place| Some((place.dir, place.checkpoint(topic, key.index)?)))?
    }

    /// Waits for what is being opened or closed.
    pub(super) async fn await_gates(&self) {
        let gates: Vec<Rc<Gate>> = {
            let slots = self.slots.borrow();
            let gates = slots.values().filter_map(|slot| match slot {
                Slot::Busy(gate) => Some(gate.clone()),
                _ => None,
            });
            gates.collect()
        };
        for gate in gates {
            gate.finished().await;
        }
    }

    /// Directories with a partition that may need recovery: what could not be opened was not recovered, nor was what nobody has asked
    /// for since a crash.
    pub(super) fn unclean_directories(&self) -> Vec<DirIndex> {
        let mut unclean = Vec::new();
        for slot in self.slots.borrow().values() {
            let is_unclean =
                slot.with_place(|place| place.kept.as_ref().is_some_and(|kept| !kept.state.clean));
            if is_unclean == Some(true) && slot.opened().is_none() {
                unclean.extend(slot.with_place(|place| place.dir));
            }
        }
        unclean
    }

    /// Walks over the partitions that are not open, and changes what is kept of them.
    pub(super) fn for_each_cold(&self, mut each: impl FnMut(&PartitionKey, &mut Place)) {
        for (key, slot) in self.slots.borrow_mut().iter_mut() {
            match slot {
                Slot::Cold(place) | Slot::Offline { place, .. } => each(key, place),
                Slot::Busy(_) | Slot::Open(_) | Slot::Lost => {}
            }
        }
    }

    /// A log did not open: requests are refused until it is tried again.
    pub(super) fn opening_failed(&self, key: &PartitionKey, gate: &Rc<Gate>) {
        let mut place = gate.place.replace_with(|place| Place::new(place.dir));
        // How far it got is not known: there may be a directory now.
        place.kept.get_or_insert_default();
        let mut slots = self.slots.borrow_mut();
        if let Some(slot) = slots.get_mut(key).filter(|slot| slot.is_behind(gate)) {
            *slot = Slot::Offline {
                place,
                retry_at: reactor::now() + OFFLINE_PAUSE,
            };
        }
        drop(slots);
        gate.refuse(ErrorCode::KafkaStorageError);
    }

    /// Those whose pause is over.
    pub(super) fn to_be_tried_again(&self) -> Vec<PartitionKey> {
        let now = reactor::now();
        let slots = self.slots.borrow();
        let is_due = |slot: &Slot| matches!(slot, Slot::Offline { retry_at, .. } if *retry_at <= now);
        slots
            .iter()
            .filter(|(_, slot)| is_due(slot))
            .map(|(key, _)| *key)
            .collect()
    }

    /// Puts a gate before an open partition that nobody uses, to close its log or to move it.
    pub(super) fn shut(
        &self,
        key: &PartitionKey,
        may: impl FnOnce(&Partition) -> bool,
    ) -> Option<(Rc<Gate>, Rc<Partition>)> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(key)?;
        slot.settle();
        let Slot::Open(partition) = slot else { return None };
        if Rc::strong_count(partition) > 1 || !may(partition) {
            return None;
        }
        let gate = Gate::new(Place::of(partition));
        let partition = partition.clone();
        *slot = Slot::Busy(gate.clone());
        Some((gate, partition))
    }

    /// The counts of a topic, from its first use on.
    pub(super) fn figures(&self, topic_id: Uuid, name: &Arc<str>) -> Rc<Figures> {
        let mut figures = self.figures.borrow_mut();
        let entry = figures
            .entry(topic_id)
            .or_insert_with(|| (name.clone(), Rc::default()));
        entry.1.clone()
    }

    /// The counts of all topics that were used since the start.
    pub fn all_figures(&self) -> Vec<NamedFigures> {
        self.figures.borrow().values().cloned().collect()
    }

    pub(super) fn forget_figures(&self, topic_id: Uuid) {
        self.figures.borrow_mut().remove(&topic_id);
    }
}

impl Slot {
    pub(super) fn is_behind(&self, gate: &Rc<Gate>) -> bool {
        matches!(self, Slot::Busy(other) if Rc::ptr_eq(other, gate))
    }
}

/// How the last run left the partitions that were found on the disks.
pub trait LastRun: Send + 'static {
    /// Where the partition is to be served from; `None` when that is not there.
    fn place(&self, topic: &str, key: &PartitionKey, assigned: control::record::DirectoryId)
    -> Option<Place>;
}

/// When a log that the last run left like this is looked at, without anybody asking for it.
pub fn first_visit_ms(state: &OpenState, now_ms: i64, retention_check_ms: i64) -> i64 {
    if state.clean {
        now_ms.saturating_add(retention_check_ms)
    } else {
        now_ms
    }
}
