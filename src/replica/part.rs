//! What a follower follows of one shard: the part of its fetch session that lives where the partitions are.
//!
//! A fetch names only what has moved since the last one. So the part remembers the rest, and partitions say when they have
//! something: an idle one costs an entry here, whatever the rate of fetches.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use engine::log::{Absent, Reach, ReadError};
use engine::planted::{self, Bug};
use engine::replica::FollowerFetch;
use engine::types::{BrokerEpoch, LeaderEpoch, Offset, ReplicaId};
use net::error::ErrorCode;
use reactor::Instant;

use super::signal::Signal;
use crate::fetch_read::PartitionRead;
use crate::partition::Partition;
use crate::shard::{PartitionKey, Shard};

/// Whose fetches these are: one connection of a follower's process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetcherName {
    pub replica: i32,
    pub client: String,
}

/// Where a follower is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub leader_epoch: i32,
    pub offset: i64,
    pub last_epoch: i32,
    pub log_start: i64,
    pub max_bytes: i32,
}

#[derive(Debug)]
struct Followed {
    position: Position,
    told: Told,
    is_ready: bool,
    has_news: bool,
    /// The last answer had something other than watermarks.
    is_answered: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    high_watermark: i64,
    log_start: i64,
}

/// See the module's documentation. Every partition is at most once in each of the queues.
pub struct Part {
    session_id: i32,
    replica: ReplicaId,
    broker_epoch: BrokerEpoch,
    shard: usize,
    signal: Arc<Signal>,
    followed: RefCell<HashMap<PartitionKey, Followed>>,
    /// Have records, an error, or another epoch to tell.
    ready: RefCell<VecDeque<PartitionKey>>,
    /// Have watermarks to tell, which nobody need be woken for.
    news: RefCell<VecDeque<PartitionKey>>,
    /// The follower's metadata is ahead of ours, or behind: what to say is known when they meet.
    held: RefCell<HashSet<PartitionKey>>,
    /// Wait for the throttle of moves; then all of them are ready.
    throttled: RefCell<HashSet<PartitionKey>>,
    /// Were in the last answer with something that a follower acts upon.
    answered: RefCell<Vec<PartitionKey>>,
    is_closed: Cell<bool>,
    /// Consumers read from followers: a new high watermark is told at once. Otherwise it can wait for records, and fetches are spared
    /// (KAFKA-9731).
    is_prompt: bool,
}

/// What one fetch changes in a part.
#[derive(Debug, Default)]
pub struct Changes {
    pub named: Vec<(PartitionKey, Position)>,
    pub forgotten: Vec<PartitionKey>,
}

/// How much of a part's news a fetch takes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    WithRecords,
    Anyway,
}

/// Watermarks told in one answer. A guess: 64 KiB of them.
const NEWS_MAX: usize = 1024;

/// Fetchers of all other brokers that one shard serves. A guess: 256 brokers of 16 shards.
const PARTS_MAX: usize = 4096;

pub type Answers = Vec<(PartitionKey, PartitionRead)>;

/// The parts of all followers that follow this shard's partitions.
#[derive(Default)]
pub struct Parts {
    by_fetcher: RefCell<HashMap<FetcherName, Rc<Part>>>,
}

impl Parts {
    fn all(&self) -> Vec<Rc<Part>> {
        self.by_fetcher.borrow().values().cloned().collect()
    }

    pub fn get(&self, name: &FetcherName, session_id: i32) -> Option<Rc<Part>> {
        let parts = self.by_fetcher.borrow();
        parts
            .get(name)
            .filter(|part| part.session_id == session_id)
            .cloned()
    }

    /// A new session of a fetcher takes the place of its last one.
    pub fn begin(
        &self,
        shard: usize,
        name: &FetcherName,
        session_id: i32,
        broker_epoch: i64,
        signal: Arc<Signal>,
        is_prompt: bool,
    ) {
        let part = Rc::new(Part {
            session_id,
            replica: ReplicaId(name.replica),
            broker_epoch: BrokerEpoch(broker_epoch),
            shard,
            signal,
            followed: RefCell::default(),
            ready: RefCell::default(),
            news: RefCell::default(),
            held: RefCell::default(),
            throttled: RefCell::default(),
            answered: RefCell::default(),
            is_closed: Cell::new(false),
            is_prompt,
        });
        let mut parts = self.by_fetcher.borrow_mut();
        if parts.len() >= PARTS_MAX
            && let Some(any) = parts.keys().find(|known| *known != name).cloned()
            && let Some(given_up) = parts.remove(&any)
        {
            given_up.is_closed.set(true); // its follower is told that there is no such session, and begins another
        }
        let before = parts.insert(name.clone(), part);
        if let Some(before) = before {
            before.is_closed.set(true);
        }
    }

    /// The log of a partition that this broker leads was opened: those who follow it say where they are.
    pub fn attach(&self, partition: &Partition) {
        let key = partition.id.key();
        for part in self.all() {
            part.attach(&key, partition);
        }
    }

    /// The cluster's metadata has changed: what was held for that may be told now.
    pub fn metadata_changed(&self) {
        for part in self.all() {
            let held = std::mem::take(&mut *part.held.borrow_mut());
            for key in held {
                part.ready(&key);
            }
        }
    }
}

impl Part {
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// The partition has something for this follower.
    pub fn ready(&self, key: &PartitionKey) {
        if self.throttled.borrow().contains(key) {
            return;
        }
        if let Some(followed) = self.followed.borrow_mut().get_mut(key)
            && !followed.is_ready
        {
            followed.is_ready = true;
            self.ready.borrow_mut().push_back(*key);
            self.signal.raise(self.shard);
        }
    }

    /// The high watermark has moved: told with the next answer, if nobody reads from followers.
    pub fn has_news(&self, key: &PartitionKey) {
        if let Some(followed) = self.followed.borrow_mut().get_mut(key)
            && !followed.has_news
        {
            followed.has_news = true;
            self.news.borrow_mut().push_back(*key);
            if self.is_prompt {
                self.signal.raise(self.shard);
            }
        }
    }

    fn attach(self: &Rc<Part>, key: &PartitionKey, partition: &Partition) {
        let position = self.followed.borrow().get(key).map(|followed| followed.position);
        if let Some(position) = position {
            self.acknowledge(partition, &position);
            self.ready(key);
        }
    }

    /// Counts what the follower has, if it follows in the epoch that this broker leads in.
    fn acknowledge(self: &Rc<Part>, partition: &Partition, position: &Position) -> bool {
        let is_follower = partition.leads()
            && (partition.leader_epoch() == position.leader_epoch || planted::is(Bug::OldEpochFetchAccepted))
            && partition.knows_follower(self.replica, self.broker_epoch);
        if !is_follower {
            return false;
        }
        partition.tell_follower(self);
        // One whose log went another way has other records below its offset than we have: it is told so, and counted when it has
        // cut them off.
        let offset = Offset(position.offset);
        if offset > partition.log.end_offset() || diverging(partition, position) != Ok(None) {
            return true;
        }
        partition.follower_fetched(FollowerFetch {
            replica: self.replica,
            broker_epoch: self.broker_epoch,
            offset,
            log_start: Offset(position.log_start),
        });
        true
    }

    /// Takes over what a fetch says, then gathers what there is for it.
    pub fn fetch(self: &Rc<Part>, shard: &Rc<Shard>, changes: Changes, max_bytes: u32) -> Answers {
        let answered = std::mem::take(&mut *self.answered.borrow_mut());
        for key in &changes.forgotten {
            self.followed.borrow_mut().remove(key);
        }
        for (key, position) in changes.named {
            self.name(shard, key, position);
        }
        // Who was given something and does not say where it is now has not taken it: it is given again.
        for key in answered {
            let is_unnamed = self
                .followed
                .borrow_mut()
                .get_mut(&key)
                .is_some_and(|followed| std::mem::take(&mut followed.is_answered));
            if is_unnamed {
                self.ready(&key);
            }
        }
        self.collect(shard, max_bytes, News::WithRecords)
    }

    fn name(self: &Rc<Part>, shard: &Rc<Shard>, key: PartitionKey, position: Position) {
        tracing::trace!(replica = %self.replica, broker_epoch = ?self.broker_epoch, topic_id = %key.topic_id,
            partition = key.index, ?position, "a follower is at");
        {
            let mut followed = self.followed.borrow_mut();
            let entry = followed.entry(key).or_insert(Followed {
                position,
                told: Told {
                    high_watermark: -1,
                    log_start: -1,
                },
                is_ready: false,
                has_news: false,
                is_answered: false,
            });
            entry.position = position;
            entry.is_answered = false;
        }
        match shard.partitions.opened(&key) {
            Some(partition) => {
                if !self.acknowledge(&partition, &position) || self.has_something(&partition, &position) {
                    self.ready(&key);
                }
                self.has_news(&key);
            }
            None => {
                if self.look_at_closed(shard, &key, &position) {
                    self.held.borrow_mut().insert(key);
                }
            }
        }
    }

    /// Sees to it that a log is opened if there may be something to say; whether there may. Who waits for other partitions does not
    /// wait for that: the partition says when it is open.
    fn look_at_closed(&self, shard: &Rc<Shard>, key: &PartitionKey, position: &Position) -> bool {
        if shard.is_known_at(key, self.replica.0, position) {
            return false;
        }
        if shard.partitions.has(key) {
            let (shard, key) = (shard.clone(), *key);
            reactor::spawn(async move {
                if let Err(code) = shard.visit(&key).await {
                    tracing::debug!(
                        partition = key.index,
                        ?code,
                        "a follower waits for a log that does not open"
                    );
                }
            })
            .detach();
        }
        true
    }

    fn has_something(&self, partition: &Partition, position: &Position) -> bool {
        let is_behind = Offset(position.offset) != partition.log.end_offset()
            || position.log_start < partition.log.start_offset().0;
        is_behind || diverging(partition, position) != Ok(None)
    }

    /// Reads what is ready, and takes watermarks along.
    pub fn collect(self: &Rc<Part>, shard: &Rc<Shard>, max_bytes: u32, news: News) -> Answers {
        self.signal.take(self.shard);
        let mut answers = Vec::new();
        let mut left = max_bytes;
        let mut rounds = self.ready.borrow().len();
        while rounds > 0 && (left > 0 || answers.is_empty()) {
            rounds -= 1;
            let Some(key) = self.ready.borrow_mut().pop_front() else {
                break;
            };
            let Some(position) = self.unready(&key) else {
                continue;
            };
            match self.read(shard, &key, &position, left) {
                Looked::Nothing => {}
                Looked::Held => {
                    self.held.borrow_mut().insert(key);
                }
                Looked::Throttled { until } => self.wait(key, until),
                Looked::Absent(absent) => self.bring(key, absent),
                Looked::Found(read) => {
                    left = left.saturating_sub(read.bytes);
                    self.tell(&key, &read);
                    answers.push((key, read));
                }
            }
        }
        if !self.ready.borrow().is_empty() {
            self.signal.raise(self.shard);
        }
        if news == News::Anyway || self.is_prompt || !answers.is_empty() {
            self.take_news(shard, &mut answers);
        }
        answers
    }

    /// The partition is ready again when the throttle opens, and not before. One task waits for all of them.
    fn wait(self: &Rc<Part>, key: PartitionKey, until: Instant) {
        let is_waiting = !self.throttled.borrow().is_empty();
        self.throttled.borrow_mut().insert(key);
        if is_waiting {
            return;
        }
        let part = self.clone();
        reactor::spawn(async move {
            reactor::sleep(until.saturating_since(reactor::now())).await;
            let throttled = std::mem::take(&mut *part.throttled.borrow_mut());
            throttled.iter().for_each(|key| part.ready(key));
        })
        .detach();
    }

    /// The partition is ready again when the page that its read lacked has been read.
    fn bring(self: &Rc<Part>, key: PartitionKey, absent: Absent) {
        let part = self.clone();
        reactor::spawn(async move {
            absent.fetch().await;
            part.ready(&key);
        })
        .detach();
    }

    fn unready(&self, key: &PartitionKey) -> Option<Position> {
        let mut followed = self.followed.borrow_mut();
        let entry = followed.get_mut(key)?;
        entry.is_ready = false;
        // What was given already is not given twice before the follower says something.
        (!entry.is_answered).then_some(entry.position)
    }

    fn tell(&self, key: &PartitionKey, read: &PartitionRead) {
        if let Some(entry) = self.followed.borrow_mut().get_mut(key) {
            entry.told = Told {
                high_watermark: read.high_watermark,
                log_start: read.log_start_offset,
            };
            let is_acted_upon = read.bytes > 0 || read.diverging.is_some() || !read.code.is_ok();
            if is_acted_upon && !entry.is_answered {
                entry.is_answered = true;
                self.answered.borrow_mut().push(*key);
            }
        }
    }

    fn take_news(&self, shard: &Shard, answers: &mut Answers) {
        for _ in 0..NEWS_MAX {
            let Some(key) = self.news.borrow_mut().pop_front() else {
                break;
            };
            let mut followed = self.followed.borrow_mut();
            let Some(entry) = followed.get_mut(&key) else {
                continue;
            };
            entry.has_news = false;
            let Some(partition) = shard.partitions.opened(&key).filter(|partition| {
                partition.leads() && partition.leader_epoch() == entry.position.leader_epoch
            }) else {
                continue;
            };
            let told = Told {
                high_watermark: partition.log.high_watermark().0,
                log_start: partition.log.start_offset().0,
            };
            // A record behind its end is no use to it, nor is a watermark before it has what lies below.
            let is_news = told.high_watermark.min(entry.position.offset)
                > entry.told.high_watermark.min(entry.position.offset)
                || told.log_start > entry.told.log_start;
            if is_news && !entry.is_answered {
                entry.told = told;
                answers.push((key, watermarks(&partition)));
            }
        }
    }

    fn read(
        self: &Rc<Part>,
        shard: &Rc<Shard>,
        key: &PartitionKey,
        position: &Position,
        left: u32,
    ) -> Looked {
        let Some(partition) = shard.partitions.opened(key) else {
            return if self.look_at_closed(shard, key, position) {
                Looked::Held
            } else {
                Looked::Nothing
            };
        };
        if !shard.node.log_dirs.get(partition.dir()).is_online() {
            return Looked::Found(PartitionRead::refused(ErrorCode::KafkaStorageError));
        }
        // Which of us is behind the metadata will tell: the follower's image moves it, ours moves us.
        if !self.acknowledge(&partition, position) {
            return Looked::Held;
        }
        let mut read = watermarks(&partition);
        match diverging(&partition, position) {
            Ok(None) => {}
            Ok(diverging) => {
                return Looked::Found(PartitionRead { diverging, ..read });
            }
            Err(code) => {
                return Looked::Found(PartitionRead { code, ..read });
            }
        }
        if Offset(position.offset) < partition.log.end_offset()
            && let Some(until) = shard.sends_not_before(&partition, self.replica)
        {
            return Looked::Throttled { until };
        }
        let max_bytes = left.min(u32::try_from(position.max_bytes).unwrap_or(0));
        let end = partition.log.end_offset();
        let from = Offset(position.offset);
        match partition
            .log
            .read_within(Reach::Memory, from, max_bytes, end, true)
        {
            Ok(slice) => {
                let moved = position.log_start < partition.log.start_offset().0;
                if slice.bytes == 0 && !moved {
                    return Looked::Nothing;
                }
                shard.sent(&partition, self.replica, slice.bytes);
                read.records = slice.pieces;
                read.bytes = slice.bytes;
            }
            Err(ReadError::Absent(absent)) => return Looked::Absent(absent),
            Err(ReadError::OffsetOutOfRange { .. }) => read.code = ErrorCode::OffsetOutOfRange,
            Err(error) => {
                tracing::error!(topic = %partition.id.topic, partition = key.index, %error, "read for a follower");
                shard.disk_failed(&partition);
                read.code = match error {
                    ReadError::Damaged { .. } => ErrorCode::CorruptMessage,
                    _ => ErrorCode::KafkaStorageError,
                };
            }
        }
        Looked::Found(read)
    }
}

enum Looked {
    Nothing,
    Held,
    Throttled {
        until: Instant,
    },
    /// What the way to it needs must be read first.
    Absent(Absent),
    Found(PartitionRead),
}

fn watermarks(partition: &Partition) -> PartitionRead {
    let log = &partition.log;
    PartitionRead {
        high_watermark: log.high_watermark().0,
        last_stable_offset: log.last_stable_offset().0,
        log_start_offset: log.start_offset().0,
        ..PartitionRead::refused(ErrorCode::None)
    }
}

/// Where the follower's log and ours part; see [`crate::fetch_read::diverging_from`].
fn diverging(partition: &Partition, position: &Position) -> Result<Option<(i32, i64)>, ErrorCode> {
    crate::fetch_read::diverging_from(
        partition,
        LeaderEpoch(position.last_epoch),
        Offset(position.offset),
    )
}
