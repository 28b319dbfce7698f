//! The log's handle, what a member knows of it, and reading.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use engine::types::Offset;
use reactor::Task;
use reactor::sync::Notify;

use super::entry;
use super::keys::Keys;
use super::position::PositionFile;
use super::value::{Epochs, Head, SnapshotHead};
use crate::record::ControllerEpoch;
use crate::store::batch::LogBatch;
use crate::store::error::{LogFault, OpenError, ReadError};
use crate::store::kv::{KeyValue, LeaseId, Order, Store, StoreError, Version};
use crate::store::meta_log::{Leadership, Member};

/// Entries read at once: each may have nearly a megabyte.
const ENTRIES_PER_RANGE: usize = 32;
/// Latest entries that are kept for followers within this process; older ones are read from the store.
const CACHE_BYTES_MAX: u64 = 16 << 20;

/// Handle of the log; belongs to the reactor it was opened on. The member is registered as long as one lives.
#[derive(Clone)]
pub struct StoreMetaLog(Rc<Membership>);

/// Ends with the last handle.
struct Membership {
    shared: Rc<Shared>,
    tasks: Vec<Task<()>>,
    /// Where it is noted how far the log was followed.
    position: Option<PositionFile>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.store.revoke(self.shared.state.borrow().lease);
        if let Some(position) = &self.position {
            position.write_last(&self.shared);
        }
    }
}

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) keys: Keys,
    pub(super) member: Member,
    pub(super) lease_ttl: Duration,
    pub(super) state: RefCell<State>,
    /// Something of `state` is different.
    pub(super) changed: Notify,
    /// The lease is gone, as somebody has found out.
    pub(super) renew: Notify,
    /// Somebody writes.
    writing: Cell<bool>,
    written: Notify,
}

/// Holds: `cached` is without gaps and ends at `end_offset`, or is empty; everything below `end_offset` is in the log.
pub(super) struct State {
    pub(super) end_offset: Offset,
    /// [`Head::cost`] at `end_offset`, or a little less.
    pub(super) end_cost: u64,
    pub(super) log_id: uuid::Uuid,
    pub(super) cached: VecDeque<(Rc<LogBatch>, u64)>,
    pub(super) cached_bytes: u64,
    pub(super) epochs: Epochs,
    pub(super) controller: Option<(Leadership, Version)>,
    /// While we are the controller.
    pub(super) leads: Option<Leading>,
    pub(super) snapshot: Option<(SnapshotHead, Version)>,
    pub(super) lease: LeaseId,
    pub(super) fault: Option<LogFault>,
    /// Rises with every change of who leads that we made ourselves: what was read before is old.
    pub(super) generation: u64,
}

/// What the next append expects.
#[derive(Copy, Clone, Debug)]
pub(super) struct Leading {
    pub(super) epoch: ControllerEpoch,
    pub(super) epoch_version: Version,
    pub(super) head: Head,
    pub(super) head_version: Version,
}

/// What became of an entry that was shown to [`State::accept`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    Next,
    Known,
    /// Entries are missing before it.
    Gap,
}

impl State {
    /// Adds what follows the end.
    pub(super) fn accept(&mut self, batch: LogBatch, value_bytes: usize) -> Accepted {
        if batch.base_offset < self.end_offset {
            return Accepted::Known;
        }
        if batch.base_offset > self.end_offset {
            return Accepted::Gap;
        }
        let cost = entry::cost(value_bytes);
        self.end_offset = batch.last_offset.next();
        self.end_cost += cost;
        self.cached.push_back((Rc::new(batch), cost));
        self.cached_bytes += cost;
        while self.cached_bytes > CACHE_BYTES_MAX && self.cached.len() > 1 {
            if let Some((_, cost)) = self.cached.pop_front() {
                self.cached_bytes -= cost;
            }
        }
        Accepted::Next
    }

    /// The log is known to reach up to `head`, past what has been read of it.
    pub(super) fn jump(&mut self, head: &Head) {
        if head.offset > self.end_offset {
            self.end_offset = head.offset;
            self.end_cost = head.cost;
            self.cached.clear();
            self.cached_bytes = 0;
        }
    }

    pub(super) fn log_start(&self) -> Offset {
        self.snapshot
            .as_ref()
            .map_or(Offset::ZERO, |(head, _)| head.log_start)
    }

    /// Takes what was read of `controller_epoch`. A greater epoch than ours ends ours.
    pub(super) fn saw_epochs(&mut self, epochs: Epochs) {
        if epochs.current() < self.epochs.current() {
            return;
        }
        if self.leads.is_some_and(|own| own.epoch < epochs.current()) {
            tracing::warn!(
                epoch = epochs.current().0,
                "another member has become the controller"
            );
            self.leads = None;
        }
        self.epochs = epochs;
    }

    /// From the cache, if it reaches back to `from`.
    fn cached_from(&self, from: Offset, max_bytes: usize) -> Option<Vec<LogBatch>> {
        let first = self.cached.partition_point(|(batch, _)| batch.last_offset < from);
        let holds = self
            .cached
            .get(first)
            .is_some_and(|(batch, _)| batch.base_offset <= from);
        if !holds {
            return None;
        }
        let mut batches = Vec::new();
        let mut left = max_bytes as u64;
        for (batch, cost) in self.cached.range(first..) {
            batches.push(LogBatch::clone(batch));
            left = left.saturating_sub(*cost);
            if left == 0 {
                break;
            }
        }
        Some(batches)
    }
}

impl StoreMetaLog {
    pub(super) fn new(
        shared: Rc<Shared>,
        tasks: Vec<Task<()>>,
        position: Option<PositionFile>,
    ) -> StoreMetaLog {
        StoreMetaLog(Rc::new(Membership {
            shared,
            tasks,
            position,
        }))
    }

    pub(super) fn shared(&self) -> &Rc<Shared> {
        &self.0.shared
    }

    pub fn controller(&self) -> Option<Leadership> {
        let state = self.shared().state.borrow();
        state
            .controller
            .as_ref()
            .map(|(leadership, _)| leadership.clone())
    }

    pub async fn controller_changed(&self, seen: Option<&Leadership>) -> Option<Leadership> {
        loop {
            let changed = self.shared().changed.notified();
            let controller = self.controller();
            if controller.as_ref() != seen {
                return controller;
            }
            changed.await;
        }
    }

    /// The store's name for people.
    pub fn store_name(&self) -> &'static str {
        self.shared().store.name()
    }

    pub async fn read(&self, from: Offset, max_bytes: usize) -> Result<Vec<LogBatch>, ReadError> {
        let shared = self.shared();
        {
            let state = shared.state.borrow();
            if from > state.end_offset {
                return Err(ReadError::PastEnd {
                    from,
                    end: state.end_offset,
                });
            }
            let log_start = state.log_start();
            if from < log_start {
                return Err(ReadError::BehindLog { from, log_start });
            }
            if from == state.end_offset {
                return Ok(Vec::new());
            }
            if let Some(batches) = state.cached_from(from, max_bytes) {
                return Ok(batches);
            }
        }
        shared.read_store(from, max_bytes).await
    }

    pub fn bytes_since_snapshot(&self) -> u64 {
        let state = self.shared().state.borrow();
        let snapshot = state.snapshot.as_ref().map_or(0, |(head, _)| head.cost);
        state.end_cost.saturating_sub(snapshot)
    }

    pub fn start_offset(&self) -> Offset {
        self.shared().state.borrow().log_start()
    }

    pub fn end_offset(&self) -> Offset {
        self.shared().state.borrow().end_offset
    }

    pub async fn wait_past(&self, offset: Offset) -> Result<Offset, LogFault> {
        loop {
            let changed = self.shared().changed.notified();
            {
                let state = self.shared().state.borrow();
                if state.end_offset > offset {
                    return Ok(state.end_offset);
                }
                if let Some(fault) = &state.fault {
                    return Err(fault.clone());
                }
            }
            changed.await;
        }
    }
}

impl Shared {
    pub(super) fn new(store: Store, keys: Keys, member: Member, lease_ttl: Duration, state: State) -> Shared {
        Shared {
            store,
            keys,
            member,
            lease_ttl,
            state: RefCell::new(state),
            changed: Notify::new(),
            renew: Notify::new(),
            writing: Cell::new(false),
            written: Notify::new(),
        }
    }

    async fn read_store(&self, from: Offset, max_bytes: usize) -> Result<Vec<LogBatch>, ReadError> {
        let mut batches: Vec<LogBatch> = Vec::new();
        let mut left = max_bytes as u64;
        let mut next = from;
        loop {
            let end = self.state.borrow().end_offset;
            let range = self.keys.entries(next, end);
            let mut found = self.range(&range, Order::Ascending, ENTRIES_PER_RANGE).await;
            let begins_at = found.first().and_then(|first| self.keys.entry_offset(&first.key));
            if batches.is_empty() && begins_at != Some(from) {
                // `from` lies within an entry, or its entry is gone
                let before = self.keys.entries(Offset::ZERO, from);
                let mut whole = self.range(&before, Order::Descending, 1).await;
                whole.append(&mut found);
                found = whole;
            }
            let is_empty = found.is_empty();
            for found in found {
                let (batch, bytes) = self.decode_entry(&found)?;
                let follows = match batches.last() {
                    Some(last) => batch.base_offset == last.last_offset.next(),
                    None => batch.base_offset <= from && batch.last_offset >= from,
                };
                if !follows {
                    if batches.is_empty() && batch.last_offset < from {
                        continue; // whole before what is asked for
                    }
                    break;
                }
                next = batch.last_offset.next();
                left = left.saturating_sub(bytes as u64);
                batches.push(batch);
                if left == 0 {
                    return Ok(batches);
                }
            }
            if batches.is_empty() {
                return Err(self.missing(from).await);
            }
            if is_empty || next >= end {
                return Ok(batches);
            }
        }
    }

    /// Why the log has no entry that holds `from`.
    async fn missing(&self, from: Offset) -> ReadError {
        if let Err(error) = self.read_snapshot_head().await {
            tracing::warn!(%error, "the snapshot's description cannot be read");
        }
        let log_start = self.state.borrow().log_start();
        if from < log_start {
            return ReadError::BehindLog { from, log_start };
        }
        ReadError::Missing { offset: from }
    }

    pub(super) fn decode_entry(&self, found: &KeyValue) -> Result<(LogBatch, usize), ReadError> {
        let base = self.keys.entry_offset(&found.key).unwrap_or(Offset(-1));
        let batch = entry::decode(base, &found.value).map_err(|what| ReadError::Damaged {
            path: found.key.clone().into(),
            offset: base,
            what,
        })?;
        Ok((batch, found.value.len()))
    }

    /// Reads `snap_head` anew.
    pub(super) async fn read_snapshot_head(&self) -> Result<(), OpenError> {
        let key = self.keys.snapshot_head();
        let found = self.get(&key).await;
        let found = found
            .map(|found| SnapshotHead::decode(&found.value).map(|head| (head, found.version)))
            .transpose()
            .map_err(|what| OpenError::Value { key, what })?;
        let mut state = self.state.borrow_mut();
        let end = |snapshot: &Option<(SnapshotHead, Version)>| snapshot.as_ref().map(|(head, _)| head.id);
        if end(&found) >= end(&state.snapshot) {
            state.snapshot = found;
        }
        Ok(())
    }

    /// However long the store is away.
    pub(super) async fn get(&self, key: &str) -> Option<KeyValue> {
        let mut patience = Patience::default();
        loop {
            match self.store.get(key).await {
                Ok(found) => return found,
                Err(error) => patience.wait(&error).await,
            }
        }
    }

    /// However long the store is away.
    pub(super) async fn range(
        &self,
        range: &crate::store::kv::KeyRange,
        order: Order,
        limit: usize,
    ) -> Vec<KeyValue> {
        let mut patience = Patience::default();
        loop {
            match self.store.range(range, order, limit).await {
                Ok(found) => return found.entries,
                Err(error) => patience.wait(&error).await,
            }
        }
    }

    /// The log can no longer be followed or written.
    pub(super) fn fail(&self, operation: &'static str, key: &str, cause: &str) -> LogFault {
        let fault = LogFault {
            operation,
            path: Path::new(key).into(),
            cause: cause.into(),
        };
        tracing::error!(%fault, "the metadata log is given up");
        let fault = {
            let mut state = self.state.borrow_mut();
            state.leads = None;
            state.fault.get_or_insert(fault).clone()
        };
        self.changed.notify_waiters();
        fault
    }

    /// Waits until nobody writes, and keeps others waiting until it is dropped.
    pub(super) async fn turn(self: &Rc<Self>) -> Turn {
        loop {
            let written = self.written.notified();
            if !self.writing.replace(true) {
                return Turn(Rc::clone(self));
            }
            written.await;
        }
    }
}

/// The right to write.
pub(super) struct Turn(Rc<Shared>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.writing.set(false);
        self.0.written.notify_waiters();
    }
}

/// How long to wait for a store that does not answer: soon again at first, as most absences are a new leader's election.
#[derive(Default)]
pub(super) struct Patience {
    tries: u32,
}

impl Patience {
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_millis(500);
    /// Of the waits, the one that is worth a line in the log, and then every so many.
    const SAY_EVERY: u32 = 20;

    pub(super) async fn wait(&mut self, why: &StoreError) {
        self.pause(&why.to_string()).await;
    }

    pub(super) async fn pause(&mut self, why: &str) {
        let doublings = self.tries.min(10);
        self.tries = self.tries.saturating_add(1);
        if self.tries.is_multiple_of(Self::SAY_EVERY) {
            tracing::warn!(tries = self.tries, why, "waiting for the store");
        }
        let longest = (Self::FIRST * 2u32.pow(doublings)).min(Self::LONGEST);
        // Different for every member, so that they do not all come back at once.
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(1).max(2);
        let half = nanos / 2;
        reactor::sleep(Duration::from_nanos(half + reactor::random_u64() % half.max(1))).await;
    }
}
