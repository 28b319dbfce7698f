//! Which partitions this shard follows, and of whom: one fetcher per leading broker.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use control::record::BrokerId;
use engine::replica::{FetchPosition, Follower, FollowerState};
use engine::types::{LeaderEpoch, Offset};
use net::fetch::ReplicaFetchPartition;
use reactor::Instant;
use reactor::sync::Notify;
use uuid::Uuid;

use super::fetcher;
use crate::shard::{PartitionKey, Shard};

/// The fetchers of a shard.
#[derive(Default)]
pub struct Fetchers {
    by_leader: RefCell<BTreeMap<BrokerId, Rc<Fetcher>>>,
    leader_of: RefCell<HashMap<PartitionKey, BrokerId>>,
    is_stopped: Cell<bool>,
}

impl Fetchers {
    /// Follows `leader` in a partition from now on, and nobody else.
    pub fn follow(&self, shard: &Rc<Shard>, key: PartitionKey, leader: BrokerId, epoch: LeaderEpoch) {
        if self.is_stopped.get() {
            return;
        }
        let before = self.leader_of.borrow_mut().insert(key, leader);
        if let Some(before) = before.filter(|before| *before != leader) {
            self.forget(&key, before);
        }
        let fetcher = {
            let mut by_leader = self.by_leader.borrow_mut();
            let fetcher = by_leader.entry(leader).or_insert_with(|| {
                let fetcher = Rc::new(Fetcher::new(leader));
                reactor::spawn(fetcher::run(shard.clone(), fetcher.clone())).detach();
                fetcher
            });
            fetcher.clone()
        };
        if fetcher.set_epoch(&key, epoch) {
            return;
        }
        match shard.follow_position(&key) {
            Some(position) => fetcher.add(shard, key, epoch, position),
            None => reactor::spawn(open_and_add(shard.clone(), fetcher, key, epoch)).detach(),
        }
    }

    /// Follows nobody in a partition any more: it is led here, or nowhere, or not here.
    pub fn unfollow(&self, key: &PartitionKey) {
        let before = self.leader_of.borrow_mut().remove(key);
        if let Some(before) = before {
            self.forget(key, before);
        }
    }

    fn forget(&self, key: &PartitionKey, leader: BrokerId) {
        let fetcher = self.by_leader.borrow().get(&leader).cloned();
        if let Some(fetcher) = fetcher {
            fetcher.remove(key);
        }
    }

    fn is_followed(&self, key: &PartitionKey, leader: BrokerId) -> bool {
        self.leader_of.borrow().get(key) == Some(&leader)
    }

    /// Brokers have come, gone, or come back: whoever waits for one of them looks whether it is still the same.
    pub fn brokers_changed(&self) {
        for fetcher in self.by_leader.borrow().values() {
            fetcher.wake.notify_one();
        }
    }

    /// The broker stops: nothing is fetched any more.
    pub fn stop(&self) {
        self.is_stopped.set(true);
        for fetcher in self.by_leader.borrow().values() {
            fetcher.is_stopped.set(true);
            fetcher.wake.notify_one();
        }
    }
}

/// Pause before a log is tried again that could not be opened.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Where a log ends is known when it is open. It is closed again when nothing comes.
async fn open_and_add(shard: Rc<Shard>, fetcher: Rc<Fetcher>, key: PartitionKey, mut epoch: LeaderEpoch) {
    loop {
        match shard.visit(&key).await {
            Ok(partition) => {
                epoch = epoch.max(LeaderEpoch(partition.leader_epoch()));
                let is_wanted = shard.replication.fetchers.is_followed(&key, fetcher.leader);
                if is_wanted && !partition.leads() {
                    fetcher.add(&shard, key, epoch, FetchPosition::of(&partition.log));
                }
                return;
            }
            Err(code) => tracing::debug!(partition = key.index, ?code, "a follower's log does not open"),
        }
        reactor::sleep(OPEN_AGAIN_AFTER).await;
        let fetchers = &shard.replication.fetchers;
        if fetchers.is_stopped.get() || !fetchers.is_followed(&key, fetcher.leader) {
            return;
        }
    }
}

/// One leading broker's partitions that this shard follows.
pub struct Fetcher {
    pub(super) leader: BrokerId,
    entries: RefCell<HashMap<PartitionKey, Entry>>,
    /// To be looked at before the next fetch; each at most once.
    listed: RefCell<Vec<PartitionKey>>,
    forgotten: RefCell<Vec<(Uuid, i32)>>,
    paused: RefCell<Vec<PartitionKey>>,
    /// Entries that the leader's session knows.
    session_count: Cell<usize>,
    /// Logs that are cut now.
    cutting: Cell<usize>,
    pub(super) wake: Notify,
    is_stopped: Cell<bool>,
}

struct Entry {
    follower: Follower,
    /// What the leader's session has of it.
    told: Option<(LeaderEpoch, FetchPosition)>,
    is_listed: bool,
    /// Its pause, if it has one, is the throttle's.
    is_throttled: bool,
}

impl Fetcher {
    fn new(leader: BrokerId) -> Fetcher {
        Fetcher {
            leader,
            entries: RefCell::default(),
            listed: RefCell::default(),
            forgotten: RefCell::default(),
            paused: RefCell::default(),
            session_count: Cell::new(0),
            cutting: Cell::new(0),
            wake: Notify::new(),
            is_stopped: Cell::new(false),
        }
    }

    fn add(&self, shard: &Shard, key: PartitionKey, epoch: LeaderEpoch, position: FetchPosition) {
        let pause = Duration::from_millis(shard.node.config.replication.fetch_backoff_ms.into());
        let entry = Entry {
            follower: Follower::new(epoch, pause, position),
            told: None,
            is_listed: false,
            is_throttled: false,
        };
        let before = self.entries.borrow_mut().insert(key, entry);
        if before.is_some_and(|before| before.told.is_some()) {
            self.session_count.set(self.session_count.get() - 1);
        }
        self.list(&key);
        self.wake.notify_one();
    }

    /// Whether it is followed already; then the new epoch is told with the next fetch.
    fn set_epoch(&self, key: &PartitionKey, epoch: LeaderEpoch) -> bool {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(key) else {
            return false;
        };
        if epoch > entry.follower.leader_epoch() {
            entry.follower.handle_epoch(epoch);
            drop(entries);
            self.list(key);
            self.wake.notify_one();
        }
        true
    }

    fn remove(&self, key: &PartitionKey) {
        let removed = self.entries.borrow_mut().remove(key);
        if removed.is_some_and(|entry| entry.told.is_some()) {
            self.session_count.set(self.session_count.get() - 1);
            self.forgotten.borrow_mut().push((key.topic_id, key.index));
            self.wake.notify_one();
        }
    }

    pub(super) fn list(&self, key: &PartitionKey) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(key)
            && !std::mem::replace(&mut entry.is_listed, true)
        {
            self.listed.borrow_mut().push(*key);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.get()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// Whether something is to be named soon that cannot be named yet.
    pub(super) fn is_cutting(&self) -> bool {
        self.cutting.get() > 0
    }

    pub(super) fn cut_begins(&self) {
        self.cutting.set(self.cutting.get() + 1);
    }

    pub(super) fn cut_ends(&self) {
        self.cutting.set(self.cutting.get() - 1);
    }

    pub(super) fn has_session_partitions(&self) -> bool {
        self.session_count.get() > 0
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.listed.borrow().is_empty() || !self.forgotten.borrow().is_empty()
    }

    /// The leader knows nothing yet.
    pub(super) fn begin_session(&self) {
        self.forgotten.borrow_mut().clear();
        self.session_count.set(0);
        let keys: Vec<PartitionKey> = {
            let mut entries = self.entries.borrow_mut();
            entries.values_mut().for_each(|entry| entry.told = None);
            entries.keys().copied().collect()
        };
        keys.iter().for_each(|key| self.list(key));
    }

    /// What the next fetch says: partitions that have moved or are new, and those that are not fetched any more. `closed_until` asks
    /// the throttle again where a pause of its has ended.
    pub(super) fn changes(
        &self,
        now: Instant,
        max_bytes: i32,
        closed_until: impl Fn(&PartitionKey) -> Option<Instant>,
    ) -> (Vec<ReplicaFetchPartition>, Vec<(Uuid, i32)>) {
        let listed = std::mem::take(&mut *self.listed.borrow_mut());
        let mut forgotten = std::mem::take(&mut *self.forgotten.borrow_mut());
        let mut named = Vec::with_capacity(listed.len());
        let mut entries = self.entries.borrow_mut();
        for key in listed {
            let Some(entry) = entries.get_mut(&key) else {
                continue;
            };
            entry.is_listed = false;
            entry.follower.handle_timer(now);
            if entry.is_throttled && entry.follower.state() == FollowerState::Fetching {
                match closed_until(&key) {
                    Some(until) => entry.follower.handle_throttled(until),
                    None => entry.is_throttled = false,
                }
            }
            let epoch = entry.follower.leader_epoch();
            let Some(position) = entry.follower.to_fetch() else {
                if entry.told.take().is_some() {
                    self.session_count.set(self.session_count.get() - 1);
                    forgotten.push((key.topic_id, key.index));
                }
                if let FollowerState::Paused { .. } = entry.follower.state() {
                    self.paused.borrow_mut().push(key);
                }
                continue;
            };
            if entry.told == Some((epoch, position)) {
                continue;
            }
            if entry.told.replace((epoch, position)).is_none() {
                self.session_count.set(self.session_count.get() + 1);
            }
            named.push(ReplicaFetchPartition {
                topic_id: key.topic_id,
                index: key.index,
                leader_epoch: epoch.0,
                fetch_offset: position.offset.0,
                last_fetched_epoch: position.last_epoch.0,
                log_start_offset: position.log_start.0,
                max_bytes,
            });
        }
        // One that is forgotten and then named again must not be forgotten: it was removed and added since the last fetch.
        if !forgotten.is_empty() && !named.is_empty() {
            forgotten.retain(|(topic_id, index)| {
                !named
                    .iter()
                    .any(|partition| partition.topic_id == *topic_id && partition.index == *index)
            });
        }
        named.sort_unstable_by_key(|partition| (partition.topic_id, partition.index));
        forgotten.sort_unstable();
        (named, forgotten)
    }

    /// When a pause ends. Those whose has ended are listed.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        if self.paused.borrow().is_empty() {
            return None;
        }
        let mut earliest: Option<Instant> = None;
        let mut due = Vec::new();
        {
            let entries = self.entries.borrow();
            self.paused.borrow_mut().retain(|key| {
                match entries.get(key).and_then(|entry| entry.follower.next_deadline()) {
                    Some(at) if at > now => {
                        earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
                        true
                    }
                    Some(_) => {
                        due.push(*key);
                        false
                    }
                    None => false,
                }
            });
        }
        due.iter().for_each(|key| self.list(key));
        if due.is_empty() { earliest } else { Some(now) }
    }

    /// Tells the partition's rules something, if the leader's answer is to what they asked last.
    pub(super) fn with_asked<T>(
        &self,
        key: &PartitionKey,
        tell: impl FnOnce(&mut Follower) -> T,
    ) -> Option<T> {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get_mut(key)?;
        let asked = (entry.follower.leader_epoch(), entry.follower.position());
        let is_fetching = entry.follower.state() == FollowerState::Fetching;
        (is_fetching && entry.told == Some(asked)).then(|| tell(&mut entry.follower))
    }

    /// The partition's next fetch waits for the throttle.
    pub(super) fn throttle(&self, key: &PartitionKey, until: Instant) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(key) {
            entry.follower.handle_throttled(until);
            entry.is_throttled = true;
        }
        self.list(key);
    }

    /// Tells the rules what came of their action, if they still follow in that epoch.
    pub(super) fn with(&self, key: &PartitionKey, tell: impl FnOnce(&mut Follower)) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(key) {
            tell(&mut entry.follower);
        }
        self.list(key);
    }
}

impl Shard {
    /// Where a partition is that is not open, if that is known.
    fn follow_position(&self, key: &PartitionKey) -> Option<FetchPosition> {
        if let Some(partition) = self.partitions.opened(key) {
            return Some(FetchPosition::of(&partition.log));
        }
        let (offset, last_epoch, log_start) = self.partitions.known_end(key)?;
        Some(FetchPosition {
            offset,
            last_epoch,
            log_start,
        })
    }

    /// Whether nothing is to be said to a follower at this position: the log is closed, and ends there.
    pub(super) fn is_known_at(
        &self,
        key: &PartitionKey,
        replica: i32,
        position: &super::part::Position,
    ) -> bool {
        let image = self.image();
        let Some(partition) = image.partition(key.topic_id, control::record::PartitionId(key.index)) else {
            return false;
        };
        partition.leader == Some(self.node.id)
            && partition.leader_epoch.0 == position.leader_epoch
            && partition.isr.contains(&BrokerId(replica))
            && self.partitions.known_end(key)
                == Some((
                    Offset(position.offset),
                    LeaderEpoch(position.last_epoch),
                    Offset(position.log_start),
                ))
    }
}
