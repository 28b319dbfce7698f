//! One partition of this shard, led or followed: its log, its high watermark, and the fetches that wait for it.
//!
//! Timeline of an append, which prevents the loss of an acknowledged record and the reading of one that may vanish:
//! append (page cache, offsets given) -> followers get it -> commit (on stable storage, here and there) -> high watermark moves ->
//! waiting fetches look -> the producer is answered. No consumer sees a record before it would survive a crash.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use control::config::TopicConfig;
use engine::batch::{self, BatchError, BatchInfo};
use engine::log::{
    AppendContext, Appended, DiskFault, FollowerAppendError, Log, Reach, ReadError, ReadSlice,
};
use engine::replica::{AlterIsr, AlterRefusal, FollowerFetch, Leader, LeaderAction, LogEnds};
use engine::types::{BrokerEpoch, LeaderEpoch, Offset, ReplicaId, Timestamp};
use net::error::ErrorCode;
use reactor::Instant;
use reactor::sync::Notify;
use uuid::Uuid;

use crate::log_dirs::DirIndex;
use crate::produce_error::ProduceError;
use crate::purgatory::{FetchWaiter, Watchers};
use crate::replica::{Acknowledgements, IsrChanges, Part, Role, RoleChange, RoleFacts, Unacknowledged};
use crate::shard::PartitionKey;

/// A partition's name and id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionId {
    pub topic: Arc<str>,
    pub topic_id: Uuid,
    pub index: i32,
}

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Client,
    /// A group coordinator of this broker, writing its own records.
    Coordinator,
}

impl Origin {
    pub fn of_batch(self) -> batch::Origin {
        match self {
            Origin::Client => batch::Origin::Client,
            Origin::Coordinator => batch::Origin::Coordinator,
        }
    }
}

/// Counts for `/metrics`, per topic and shard.
#[derive(Debug, Default)]
pub struct Figures {
    pub bytes_in: Cell<u64>,
    pub messages_in: Cell<u64>,
    pub bytes_out: Cell<u64>,
    pub messages_out: Cell<u64>,
}

/// A partition that this shard has a replica of.
pub struct Partition {
    pub id: PartitionId,
    pub log: Log,
    figures: Rc<Figures>,
    dir: DirIndex,
    leader_epoch: Cell<i32>,
    config: RefCell<Arc<TopicConfig>>,
    watchers: RefCell<Watchers>,
    /// (end offset, bytes) of appends above the high watermark, oldest first; bounded by the requests in flight.
    unreadable: RefCell<VecDeque<(Offset, i64)>>,
    max_decompressed_bytes: usize,
    committing_unawaited: Cell<bool>,
    role: RefCell<Role>,
    acknowledgements: Acknowledgements,
    /// The followers that fetch it, to be told of appends. One entry per follower's connection.
    parts: RefCell<Vec<Rc<Part>>>,
    isr_changes: Rc<IsrChanges>,
    /// The least log start of the replicas may have moved.
    low_watermark_moved: Notify,
    usage: Usage,
    works: Cell<u32>,
    /// A follower's log is being cut; then [`Self::uncut`] is told.
    is_cut: Cell<bool>,
    uncut: Notify,
    /// What the log was like when it was opened as the last close had left it.
    as_found: Option<Extent>,
}

/// When somebody used the partition last, to the second: a count is cheaper than a clock on the way of every request.
#[derive(Debug)]
struct Usage {
    count: Cell<u64>,
    count_seen: Cell<u64>,
    idle_since: Cell<Instant>,
}

/// See [`Partition::work_on`].
pub struct AtWork<'a>(&'a Cell<u32>);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// See [`Partition::cut`].
pub struct Cut<'a>(&'a Partition);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.0.is_cut.set(false);
        self.0.uncut.notify_waiters();
    }
}

/// What any change of a log changes.
#[derive(Debug, PartialEq, Eq)]
struct Extent {
    start: Offset,
    end: Offset,
    cleaned: Option<Offset>,
    latest_epoch: Option<LeaderEpoch>,
    segment_count: usize,
}

impl Extent {
    fn of(log: &Log) -> Extent {
        Extent {
            start: log.start_offset(),
            end: log.end_offset(),
            cleaned: log.cleaned_offset(),
            latest_epoch: log.latest_epoch(),
            segment_count: log.segment_count(),
        }
    }
}

/// How many of the replicas in sync a record is on, when there are too few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewInSync {
    pub in_sync: usize,
    pub minimum: usize,
}

impl PartitionId {
    pub fn key(&self) -> PartitionKey {
        PartitionKey {
            topic_id: self.topic_id,
            index: self.index,
        }
    }
}

impl Partition {
    /// One that has no other replica, led here.
    #[cfg(test)]
    pub fn new(
        id: PartitionId,
        log: Log,
        leader_epoch: i32,
        config: Arc<TopicConfig>,
        max_decompressed_bytes: usize,
    ) -> Partition {
        let partition = Partition::in_no_role(id, log, config, max_decompressed_bytes);
        partition.take_role(RoleFacts::alone(leader_epoch));
        partition
    }

    /// One that neither leads nor follows, until it is told.
    pub fn in_no_role(
        id: PartitionId,
        log: Log,
        config: Arc<TopicConfig>,
        max_decompressed_bytes: usize,
    ) -> Partition {
        Partition {
            id,
            log,
            figures: Rc::default(),
            dir: DirIndex::FIRST,
            leader_epoch: Cell::new(-1),
            config: RefCell::new(config),
            watchers: RefCell::default(),
            unreadable: RefCell::default(),
            max_decompressed_bytes,
            committing_unawaited: Cell::new(false),
            role: RefCell::new(Role::Follower),
            acknowledgements: Acknowledgements::default(),
            parts: RefCell::default(),
            isr_changes: Rc::default(),
            low_watermark_moved: Notify::new(),
            usage: Usage {
                count: Cell::new(0),
                count_seen: Cell::new(0),
                idle_since: Cell::new(reactor::now()),
            },
            works: Cell::new(0),
            is_cut: Cell::new(false),
            uncut: Notify::new(),
            as_found: None,
        }
    }

    /// What was committed when the log was closed, as far as it is still there.
    pub fn committed_before(self, high_watermark: Option<Offset>) -> Partition {
        let (start, end) = (self.log.start_offset(), self.log.end_offset());
        if let Some(known) = high_watermark {
            self.log.set_high_watermark(known.clamp(start, end));
        }
        self
    }

    pub fn asking_through(self, isr_changes: Rc<IsrChanges>) -> Partition {
        Partition { isr_changes, ..self }
    }

    pub fn in_directory(self, dir: DirIndex) -> Partition {
        Partition { dir, ..self }
    }

    pub fn counted_in(self, figures: Rc<Figures>) -> Partition {
        Partition { figures, ..self }
    }

    /// The files are as [`Log::close`] left them. As long as nothing changes, they need no closing.
    pub fn left_clean(self, clean: bool) -> Partition {
        let as_found = clean.then(|| Extent::of(&self.log));
        Partition { as_found, ..self }
    }

    pub fn dir(&self) -> DirIndex {
        self.dir
    }

    /// Somebody uses it.
    pub fn used(&self) {
        self.usage.count.set(self.usage.count.get() + 1);
    }

    pub fn was_never_used(&self) -> bool {
        self.usage.count.get() == 0
    }

    /// Something that takes long begins to work on the log: as long as this is kept, the partition is not moved.
    pub fn work_on(&self) -> AtWork<'_> {
        self.works.set(self.works.get() + 1);
        AtWork(&self.works)
    }

    /// The log is cut as long as this is kept: whoever follows another leader, or leads, waits for it ([`Self::until_uncut`]). Otherwise
    /// what the next leader gives would be cut off with what the last one did not have.
    pub fn cut(&self) -> Cut<'_> {
        self.is_cut.set(true);
        Cut(self)
    }

    pub async fn until_uncut(&self) {
        loop {
            let uncut = self.uncut.notified();
            if !self.is_cut.get() {
                return;
            }
            uncut.await;
        }
    }

    pub fn is_worked_on(&self) -> bool {
        self.works.get() > 0
    }

    /// Notes whether it was used since the last look.
    pub fn look(&self) {
        let count = self.usage.count.get();
        if self.usage.count_seen.replace(count) != count {
            self.usage.idle_since.set(reactor::now());
        }
    }

    /// How long nobody has used it, as far as [`Partition::look`] knows.
    pub fn idle_for(&self, now: Instant) -> Duration {
        if self.usage.count_seen.get() != self.usage.count.get() {
            return Duration::ZERO;
        }
        now.saturating_since(self.usage.idle_since.get())
    }

    /// Nothing is on its way to a disk, here or at a follower, and nobody waits for records.
    pub fn is_at_rest(&self) -> bool {
        let end = self.log.end_offset();
        let has_business = match &*self.role.borrow() {
            Role::Leader(leader) => {
                self.log.high_watermark() < end
                    || leader.has_pending_change()
                    || leader.followers().any(|follower| {
                        !follower.is_in_sync || follower.offset.is_some_and(|offset| offset < end)
                    })
            }
            Role::Follower => false,
        };
        self.log.committed_offset() == end
            && !has_business
            && self.acknowledgements.is_empty()
            && self.log.fault().is_none()
            && !self.committing_unawaited.get()
            && self.watchers.borrow_mut().is_empty()
    }

    /// The log can be let go without closing it: its files are as they were found.
    pub fn is_as_found(&self) -> bool {
        self.as_found.as_ref() == Some(&Extent::of(&self.log))
    }

    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch.get()
    }

    pub fn leads(&self) -> bool {
        matches!(&*self.role.borrow(), Role::Leader(_))
    }

    /// Looks at the leader's state; `None` where another broker leads.
    pub fn leading<T>(&self, look: impl FnOnce(&Leader) -> T) -> Option<T> {
        match &*self.role.borrow() {
            Role::Leader(leader) => Some(look(leader)),
            Role::Follower => None,
        }
    }

    fn ends(&self) -> LogEnds {
        LogEnds {
            start: self.log.start_offset(),
            durable: self.log.committed_offset(),
            end: self.log.end_offset(),
        }
    }

    /// Leads or follows as the image says from now on. An older image changes nothing.
    pub fn take_role(&self, facts: RoleFacts) -> RoleChange {
        let epoch = facts.state.leader_epoch;
        if epoch.0 < self.leader_epoch.get() {
            return RoleChange::None;
        }
        let is_same_epoch = epoch.0 == self.leader_epoch.replace(epoch.0);
        let (led, leads) = (self.leads(), facts.leads);
        tracing::debug!(topic = %self.id.topic, partition = self.id.index, leads, epoch = epoch.0, isr = ?facts.state.isr,
            high_watermark = %self.log.high_watermark(), end = %self.log.end_offset(), "the metadata says");
        if leads && led && is_same_epoch {
            let (now, ends) = (reactor::now(), self.ends());
            self.as_leader(|leader| leader.handle_state(now, ends, facts.state));
            return RoleChange::None;
        }
        if leads {
            self.lead(facts);
            // Producers that wait go on waiting in the new epoch: their records are in the log that leads.
            return RoleChange::BecameLeader;
        }
        self.retire();
        if led {
            RoleChange::BecameFollower
        } else {
            RoleChange::None
        }
    }

    /// The replica goes: whoever waits is told.
    pub fn retire(&self) {
        *self.role.borrow_mut() = Role::Follower;
        self.parts.borrow_mut().clear();
        self.acknowledgements.leadership_ended(self.log.high_watermark());
        self.low_watermark_moved.notify_waiters();
        self.watchers.borrow_mut().fire_all();
    }

    fn lead(&self, facts: RoleFacts) {
        let epoch = facts.state.leader_epoch;
        self.log.begin_epoch(epoch);
        let started_here = self.log.latest_epoch() == Some(epoch);
        let epoch_start = self.log.latest_epoch_start().filter(|_| started_here);
        let leader = Leader::new(
            reactor::now(),
            facts.own,
            facts.lag_max,
            facts.state,
            epoch_start.unwrap_or(self.log.end_offset()),
            self.ends(),
            self.log.high_watermark(),
        );
        *self.role.borrow_mut() = Role::Leader(Box::new(leader));
        self.acknowledgements.reached(self.log.high_watermark());
        self.watchers.borrow_mut().fire_all();
        self.advance();
        self.as_leader(|_| ());
        self.wake_followers();
    }

    /// Tells the leader's rules what happened, then does what they say.
    fn as_leader(&self, tell: impl FnOnce(&mut Leader)) {
        match &mut *self.role.borrow_mut() {
            Role::Leader(leader) => tell(leader),
            Role::Follower => return,
        }
        loop {
            let action = match &mut *self.role.borrow_mut() {
                Role::Leader(leader) => leader.poll_action(),
                Role::Follower => None,
            };
            match action {
                None => break,
                Some(LeaderAction::HighWatermark(offset)) => self.move_high_watermark(offset),
                Some(LeaderAction::AlterIsr(change)) => self.isr_changes.want(self.id.key(), change),
            }
        }
        self.low_watermark_moved.notify_waiters();
    }

    /// Time has passed: followers may have fallen behind.
    pub fn look_for_lag(&self) {
        if self.leading(Leader::is_alone) == Some(false) {
            let (now, ends) = (reactor::now(), self.ends());
            self.as_leader(|leader| leader.handle_timer(now, ends));
        }
    }

    pub fn isr_change_refused(&self, change: &AlterIsr, why: AlterRefusal) {
        if change.leader_epoch.0 == self.leader_epoch.get() {
            self.as_leader(|leader| leader.handle_refused(reactor::now(), change.partition_epoch, why));
        }
    }

    /// Whether a fetch of this follower counts: see [`Leader::knows`].
    pub fn knows_follower(&self, replica: ReplicaId, broker_epoch: BrokerEpoch) -> bool {
        self.leading(|leader| leader.knows(replica, broker_epoch)) == Some(true)
    }

    /// A follower has everything below an offset on its disk.
    pub fn follower_fetched(&self, fetch: FollowerFetch) {
        let (now, ends) = (reactor::now(), self.ends());
        self.as_leader(|leader| leader.handle_fetch(now, ends, fetch));
    }

    /// From now on this follower is told of appends.
    pub fn tell_follower(&self, part: &Rc<Part>) {
        let mut parts = self.parts.borrow_mut();
        parts.retain(|known| !known.is_closed());
        if !parts.iter().any(|known| Rc::ptr_eq(known, part)) {
            parts.push(part.clone());
        }
    }

    /// There is something for followers to fetch, or to be told.
    pub fn wake_followers(&self) {
        for part in &*self.parts.borrow() {
            part.ready(&self.id.key());
        }
    }

    /// Waits until every replica in sync has everything below `up_to`.
    pub async fn replicated(&self, up_to: Offset) -> Result<(), Unacknowledged> {
        if !self.leads() {
            return Err(Unacknowledged);
        }
        self.acknowledgements.wait(up_to).await
    }

    /// Waits until no live replica has anything below `offset` (KIP-107), or until this broker leads no more.
    pub async fn deleted_everywhere(&self, offset: Offset) -> Result<(), Unacknowledged> {
        loop {
            let moved = self.low_watermark_moved.notified();
            let low_watermark = self.leading(Leader::low_watermark).ok_or(Unacknowledged)?;
            if low_watermark >= offset {
                return Ok(());
            }
            moved.await;
        }
    }

    /// The least log start of the live replicas.
    pub fn low_watermark(&self) -> Offset {
        let start = self.log.start_offset();
        self.leading(|leader| {
            if leader.is_alone() {
                start
            } else {
                leader.low_watermark()
            }
        })
        .unwrap_or(start)
    }

    /// The log start was moved by hand: followers and waiting fetches look.
    pub fn log_start_moved(&self) {
        if self.leading(Leader::is_alone) == Some(false) {
            let (now, ends) = (reactor::now(), self.ends());
            self.as_leader(|leader| leader.handle_durable(now, ends));
            self.wake_followers();
        }
        self.wake_waiters();
    }

    pub fn config(&self) -> Arc<TopicConfig> {
        self.config.borrow().clone()
    }

    pub fn set_config(&self, config: Arc<TopicConfig>, log_config: Rc<engine::log::LogConfig>) {
        let min_insync = config.min_insync_replicas as usize;
        *self.config.borrow_mut() = config;
        self.log.set_config(log_config);
        if self.leading(Leader::is_alone) == Some(false) {
            let (now, ends) = (reactor::now(), self.ends());
            self.as_leader(|leader| leader.handle_min_insync(now, ends, min_insync));
        }
    }

    /// The ordered part of a produce: checks one batch, gives it offsets, writes it. Synchronous, so that the order of
    /// calls is the order in the log. The caller then awaits [`Partition::commit`] before it answers.
    pub fn append(&self, mut records: BytesMut, origin: Origin) -> Result<Appended, ProduceError> {
        if !self.leads() {
            return Err(ProduceError::Unavailable(ErrorCode::NotLeaderOrFollower));
        }
        let config = self.config();
        let now = Timestamp(reactor::wall_ms());
        let mut info = batch::validate(&records, &self.limits(&config, now, origin))?;
        if origin == Origin::Client && info.is_transactional {
            return Err(ProduceError::Transactional);
        }
        self.recompress(&mut records, &mut info, &config)?;
        let size = records.len();
        let context = AppendContext {
            leader_epoch: LeaderEpoch(self.leader_epoch.get()),
            origin: origin.of_batch(),
            now,
        };
        let appended = self.log.append(records, &info, &context)?;
        if !appended.duplicate {
            self.unreadable
                .borrow_mut()
                .push_back((appended.commit_offset(), size as i64));
            add(&self.figures.bytes_in, size as u64);
            add(
                &self.figures.messages_in,
                u64::try_from(info.record_count).unwrap_or(0),
            );
            if self.leading(Leader::is_alone) == Some(false) {
                let (now, ends) = (reactor::now(), self.ends());
                self.as_leader(|leader| leader.handle_append(now, ends));
                // Before the own disk has it: the followers' disks write at the same time.
                self.wake_followers();
            }
        }
        Ok(appended)
    }

    /// Appends one batch of the leader of `epoch`; `None` if this broker does not follow in that epoch any more.
    pub fn append_as_follower(
        &self,
        epoch: LeaderEpoch,
        batch: BytesMut,
    ) -> Option<Result<Appended, FollowerAppendError>> {
        if self.leads() || epoch.0 != self.leader_epoch.get() {
            return None;
        }
        let size = batch.len() as i64;
        let appended = self.log.append_as_follower(batch, Timestamp(reactor::wall_ms()));
        if let Ok(appended) = &appended {
            self.unreadable
                .borrow_mut()
                .push_back((appended.commit_offset(), size));
        }
        Some(appended)
    }

    /// What the leader of `epoch` says is committed, and where its log begins. Moves neither beyond what is on the own disk.
    pub fn follow_watermarks(&self, epoch: LeaderEpoch, high_watermark: Offset, log_start: Offset) {
        if self.leads() || epoch.0 != self.leader_epoch.get() {
            return;
        }
        let committed = high_watermark.min(self.log.committed_offset());
        if committed > self.log.high_watermark() {
            self.move_high_watermark(committed);
        }
        if log_start > self.log.start_offset() && log_start <= self.log.high_watermark() {
            match self.log.delete_records_before(log_start) {
                Ok(_) => self.wake_waiters(),
                Err(error) => {
                    tracing::debug!(topic = %self.id.topic, partition = self.id.index, %error, "the leader's log start");
                }
            }
        }
    }

    /// The log was cut.
    pub fn forget_cut(&self) {
        let end = self.log.end_offset();
        self.unreadable.borrow_mut().retain(|(to, _)| *to <= end);
        self.wake_waiters();
    }

    fn limits(&self, config: &TopicConfig, now: Timestamp, origin: Origin) -> batch::Limits {
        crate::topic_config::batch_limits(config, now, origin, self.max_decompressed_bytes)
    }

    /// Gives the batch the codec that the topic demands (invariant 6). As in Kafka it must keep within `max.message.bytes` as it is
    /// stored, too: what was small because it was compressed may not be stored large.
    fn recompress(
        &self,
        records: &mut BytesMut,
        info: &mut BatchInfo,
        config: &TopicConfig,
    ) -> Result<(), ProduceError> {
        let Some(wanted) =
            crate::topic_config::recompression(config).filter(|wanted| wanted.codec != info.codec)
        else {
            return Ok(());
        };
        let (batch, _) = batch::Batch::split_first(records)?;
        *records = batch::recompress(&batch, wanted, self.max_decompressed_bytes)?;
        let max_bytes = config.max_message_bytes as usize;
        if records.len() > max_bytes {
            return Err(BatchError::TooLarge {
                size_bytes: records.len(),
                max_bytes,
            }
            .into());
        }
        info.size_bytes = records.len();
        info.codec = wanted.codec;
        Ok(())
    }

    /// Waits until everything below `up_to` is on stable storage, then lets consumers see it.
    pub async fn commit(&self, up_to: Offset) -> Result<(), DiskFault> {
        let result = self.log.commit(up_to).await;
        match &result {
            Ok(()) => self.advance(),
            Err(_) => self.watchers.borrow_mut().fire_all(),
        }
        result
    }

    /// Commits what was appended for nobody in particular (acks=0): one task per partition however many producers do not wait.
    pub fn commit_unawaited(self: &Rc<Partition>) {
        if self.committing_unawaited.replace(true) {
            return;
        }
        let partition = self.clone();
        let until_all_is_durable = async move {
            while partition.log.committed_offset() < partition.log.end_offset() {
                if let Err(fault) = partition.commit(partition.log.end_offset()).await {
                    tracing::error!(topic = %partition.id.topic, partition = partition.id.index, %fault, "commit");
                    break;
                }
            }
            partition.committing_unawaited.set(false);
        };
        reactor::spawn(until_all_is_durable).detach();
    }

    /// More of the own log is on stable storage.
    pub fn advance(&self) {
        let ends = self.ends();
        let alone = match &mut *self.role.borrow_mut() {
            Role::Leader(leader) if leader.is_alone() => Some(leader.handle_durable_alone(ends)),
            Role::Leader(_) => None,
            Role::Follower => return, // the leader tells what is committed
        };
        match alone {
            Some(committed) => self.move_high_watermark(committed),
            None => self.as_leader(|leader| leader.handle_durable(reactor::now(), ends)),
        }
    }

    /// Everything below `committed` can be read; wakes the fetches and the producers that this satisfies.
    fn move_high_watermark(&self, committed: Offset) {
        if committed <= self.log.high_watermark() {
            return;
        }
        self.log.set_high_watermark(committed);
        let mut readable = 0;
        let mut unreadable = self.unreadable.borrow_mut();
        while let Some((end, bytes)) = unreadable.front()
            && *end <= committed
        {
            readable += bytes;
            unreadable.pop_front();
        }
        drop(unreadable);
        self.watchers.borrow_mut().readable(readable);
        self.acknowledgements.reached(committed);
        for part in &*self.parts.borrow() {
            part.has_news(&self.id.key());
        }
    }

    /// Reads whole batches below `below`, at least one if there is any. What it reads counts as sent.
    pub fn read(
        &self,
        reach: Reach,
        from: Offset,
        max_bytes: u32,
        below: Offset,
    ) -> Result<ReadSlice, ReadError> {
        let slice = self.log.read_within(reach, from, max_bytes, below, true)?;
        add(&self.figures.bytes_out, u64::from(slice.bytes));
        add(
            &self.figures.messages_out,
            u64::try_from(slice.next_offset.0 - from.0).unwrap_or(0),
        );
        Ok(slice)
    }

    /// acks=all needs `min.insync.replicas` copies, or as many as the partition has replicas.
    pub fn check_in_sync(&self) -> Result<(), TooFewInSync> {
        let too_few = self.leading(|leader| {
            let state = leader.state();
            state.is_under_min_isr().then(|| TooFewInSync {
                in_sync: state.isr.len(),
                minimum: state.min_insync(),
            })
        });
        too_few.flatten().map_or(Ok(()), Err)
    }

    /// Registers a fetch that found too little; it is told of every byte that becomes readable from now on.
    pub fn watch(&self, waiter: Arc<FetchWaiter>) {
        self.watchers.borrow_mut().watch(waiter);
    }

    /// Lets every waiting fetch look again: the log start moved, the partition is deleted, the directory failed.
    pub fn wake_waiters(&self) {
        self.watchers.borrow_mut().fire_all();
    }
}

pub fn add(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get() + n);
}

#[cfg(test)]
pub mod tests;
