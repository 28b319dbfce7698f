//! The leader of a partition: how far its followers are, what is committed, who is in sync.
//!
//! ```text
//! fetch of a follower --> handle_fetch --+--> HighWatermark(offset)   producers that wait for all replicas are answered
//! own disk            --> handle_durable +--> AlterIsr(..)            asked of the controller
//! metadata            --> handle_state   |
//! clock               --> handle_timer   +
//! ```
//! The ISR is what the metadata says. A change is only asked for; until the metadata says that it is made, the high watermark waits
//! for the old *and* the new members. Timeline of the loss otherwise: a follower is added, the answer is lost, the leader goes on
//! counting the old members only; the controller elects the new one; it lacks what was acknowledged meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use reactor::Instant;

use crate::planted::{self, Bug};
use crate::types::{BrokerEpoch, LeaderEpoch, Offset, PartitionEpoch, ReplicaId};

/// The own log, as it is at the moment of an event.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct LogEnds {
    pub start: Offset,
    /// Everything below is on stable storage.
    pub durable: Offset,
    pub end: Offset,
}

/// A replica's broker, as the metadata knows it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub id: ReplicaId,
    /// `None`: not registered.
    pub broker_epoch: Option<BrokerEpoch>,
    /// Neither fenced nor shutting down.
    pub is_active: bool,
}

/// The partition, as the metadata knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// The leader's own among them.
    pub replicas: Vec<Replica>,
    pub isr: Vec<ReplicaId>,
    /// `min.insync.replicas` of the topic.
    pub min_insync: usize,
}

impl PartitionState {
    /// A topic cannot demand more replicas in sync than the partition has.
    pub fn min_insync(&self) -> usize {
        self.min_insync.min(self.replicas.len())
    }

    pub fn is_under_min_isr(&self) -> bool {
        !planted::is(Bug::MinInsyncIgnored) && self.isr.len() < self.min_insync()
    }
}

/// What a follower's fetch tells of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FollowerFetch {
    pub replica: ReplicaId,
    /// Of the registration it fetches in (KIP-903); -1: it does not say.
    pub broker_epoch: BrokerEpoch,
    /// Everything below is on its stable storage.
    pub offset: Offset,
    pub log_start: Offset,
}

/// A change of the ISR to ask the controller for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterIsr {
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// Each with the broker epoch it was in sync in; -1: it has not fetched yet, so nobody knows.
    pub isr: Vec<(ReplicaId, BrokerEpoch)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderAction {
    /// Everything below is committed.
    HighWatermark(Offset),
    AlterIsr(AlterIsr),
}

/// Why the controller did not change the ISR.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum AlterRefusal {
    /// It knows a newer state, or none: the metadata will tell. The change may have been made.
    Stale,
    /// A new member may not join now. Certainly not made.
    Ineligible,
    /// Not decided.
    Unavailable,
}

/// How far one follower is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FollowerView {
    pub id: ReplicaId,
    /// `None`: it has not fetched in this leader epoch.
    pub offset: Option<Offset>,
    pub log_start: Option<Offset>,
    pub is_in_sync: bool,
}

/// After a refusal: how long nothing is asked for. Longer than the metadata needs to say why; a guess.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Invariants, asserted:
/// - high watermark <= own durable end <= own end; it never falls;
/// - the high watermark <= the offset of every member of the ISR, and of every one asked for, unless it was there before the member;
/// - a change is asked for in the partition epoch of the state it starts from, and one at a time.
#[derive(Debug)]
pub struct Leader {
    own: ReplicaId,
    lag_max: Duration,
    state: PartitionState,
    /// Where the epoch begins in the log: who has less than that may lack what an earlier leader has committed.
    epoch_start: Offset,
    log: LogEnds,
    high_watermark: Offset,
    followers: Vec<Follower>,
    /// The members asked for, until the metadata answers.
    pending: Option<Vec<ReplicaId>>,
    ask_not_before: Option<Instant>,
    actions: VecDeque<LeaderAction>,
}

#[derive(Debug)]
struct Follower {
    broker: Replica,
    fetched: Option<FollowerFetch>,
    /// When it was at the end of our log last.
    caught_up_at: Option<Instant>,
    /// Where our log ended at its last fetch, and when that was.
    last_fetch: Option<(Instant, Offset)>,
}

impl Follower {
    fn new(broker: Replica) -> Follower {
        Follower {
            broker,
            fetched: None,
            caught_up_at: None,
            last_fetch: None,
        }
    }

    fn offset(&self) -> Offset {
        self.fetched.map_or(Offset::ZERO, |fetched| fetched.offset)
    }

    fn is_caught_up(&self, now: Instant, end: Offset, lag_max: Duration) -> bool {
        self.fetched.is_some_and(|fetched| fetched.offset >= end)
            || self
                .caught_up_at
                .is_some_and(|at| now.saturating_since(at) <= lag_max)
    }

    /// May be a member: alive, and the one that fetched is the one the metadata knows (KIP-903).
    fn is_eligible(&self) -> bool {
        let Some(fetched) = self.fetched else { return false };
        self.broker.is_active
            && (fetched.broker_epoch == BrokerEpoch::NONE
                || planted::is(Bug::BrokerEpochNotChecked)
                || self.broker.broker_epoch == Some(fetched.broker_epoch))
    }
}

impl Leader {
    /// This broker begins to lead. `high_watermark` is what it knew as a follower, or what it had written down.
    pub fn new(
        now: Instant,
        own: ReplicaId,
        lag_max: Duration,
        state: PartitionState,
        epoch_start: Offset,
        log: LogEnds,
        high_watermark: Offset,
    ) -> Leader {
        let high_watermark = if planted::is(Bug::HighWatermarkFromLogEnd) {
            log.durable
        } else {
            high_watermark
        };
        let mut leader = Leader {
            own,
            lag_max,
            state: PartitionState {
                replicas: Vec::new(),
                ..state.clone()
            },
            epoch_start,
            log,
            high_watermark: high_watermark.clamp(log.start, log.durable.max(log.start)),
            followers: Vec::new(),
            pending: None,
            ask_not_before: None,
            actions: VecDeque::new(),
        };
        leader.take_state(now, state);
        // Who is in sync has a full period to show that it still is.
        for follower in &mut leader.followers {
            if leader.state.isr.contains(&follower.broker.id) {
                follower.caught_up_at = Some(now);
            }
        }
        leader.review(now);
        leader
    }

    pub fn state(&self) -> &PartitionState {
        &self.state
    }

    pub fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// It has no followers: whatever is on its disk is committed, and nobody need be asked.
    pub fn is_alone(&self) -> bool {
        self.followers.is_empty()
    }

    /// Members of the ISR, and those asked for.
    pub fn maximal_isr(&self) -> impl Iterator<Item = ReplicaId> {
        let replicas = self.state.replicas.iter().map(|replica| replica.id);
        replicas.filter(|id| self.counts(*id))
    }

    pub fn has_pending_change(&self) -> bool {
        self.pending.is_some()
    }

    pub fn followers(&self) -> impl Iterator<Item = FollowerView> {
        self.followers.iter().map(|follower| FollowerView {
            id: follower.broker.id,
            offset: follower.fetched.map(|fetched| fetched.offset),
            log_start: follower.fetched.map(|fetched| fetched.log_start),
            is_in_sync: self.state.isr.contains(&follower.broker.id),
        })
    }

    /// Whether a fetch of this follower may count: it is a replica, and no earlier life of its broker.
    pub fn knows(&self, replica: ReplicaId, broker_epoch: BrokerEpoch) -> bool {
        self.followers.iter().any(|follower| {
            follower.broker.id == replica
                && (broker_epoch == BrokerEpoch::NONE
                    || planted::is(Bug::BrokerEpochNotChecked)
                    || follower
                        .broker
                        .broker_epoch
                        .is_none_or(|known| known <= broker_epoch))
        })
    }

    /// Below this no live replica has anything: what DeleteRecords waits for (KIP-107).
    pub fn low_watermark(&self) -> Offset {
        let live = self.followers.iter().filter(|follower| follower.broker.is_active);
        live.map(|follower| follower.fetched.map_or(Offset::ZERO, |fetched| fetched.log_start))
            .fold(self.log.start, Offset::min)
    }

    /// The metadata says something new of the partition or of its brokers.
    pub fn handle_state(&mut self, now: Instant, log: LogEnds, state: PartitionState) {
        debug_assert_eq!(
            state.leader_epoch, self.state.leader_epoch,
            "a new epoch has a new leader"
        );
        self.log = log;
        if state.partition_epoch < self.state.partition_epoch {
            return;
        }
        if state.partition_epoch > self.state.partition_epoch {
            // Made, or overtaken by another change, which says what is so now.
            self.pending = None;
            self.ask_not_before = None;
        }
        self.take_state(now, state);
        self.review(now);
    }

    fn take_state(&mut self, now: Instant, state: PartitionState) {
        self.followers.retain(|follower| {
            state
                .replicas
                .iter()
                .any(|replica| replica.id == follower.broker.id)
        });
        for replica in state.replicas.iter().filter(|replica| replica.id != self.own) {
            match self
                .followers
                .iter_mut()
                .find(|follower| follower.broker.id == replica.id)
            {
                Some(follower) => follower.broker = *replica,
                None => self.followers.push(Follower::new(*replica)),
            }
        }
        let joined = state.isr.iter().filter(|id| !self.state.isr.contains(id));
        for id in joined {
            if let Some(follower) = self
                .followers
                .iter_mut()
                .find(|follower| follower.broker.id == *id)
            {
                follower.caught_up_at = Some(now);
            }
        }
        self.state = state;
    }

    /// Something was appended.
    pub fn handle_append(&mut self, now: Instant, log: LogEnds) {
        for follower in &mut self.followers {
            if follower
                .fetched
                .is_some_and(|fetched| fetched.offset >= self.log.end)
            {
                follower.caught_up_at = Some(now);
            }
        }
        self.log = log;
    }

    /// More of the own log is on stable storage.
    pub fn handle_durable(&mut self, now: Instant, log: LogEnds) {
        self.log = log;
        self.advance(now);
    }

    /// The same without followers: what it returns is committed. Cheap, for it is told of every append.
    pub fn handle_durable_alone(&mut self, log: LogEnds) -> Offset {
        debug_assert!(self.is_alone());
        self.log = log;
        self.high_watermark = self.high_watermark.max(log.durable);
        self.high_watermark
    }

    /// `min.insync.replicas` of the topic has changed.
    pub fn handle_min_insync(&mut self, now: Instant, log: LogEnds, min_insync: usize) {
        self.log = log;
        self.state.min_insync = min_insync;
        self.review(now);
    }

    /// A follower has fetched; the caller has seen to it that [`Leader::knows`] it and that it follows in this leader epoch.
    pub fn handle_fetch(&mut self, now: Instant, log: LogEnds, fetch: FollowerFetch) {
        self.log = log;
        let end = log.end;
        let Some(follower) = self
            .followers
            .iter_mut()
            .find(|follower| follower.broker.id == fetch.replica)
        else {
            return;
        };
        if fetch.offset >= end {
            follower.caught_up_at = Some(now);
        } else if let Some((at, end_then)) = follower.last_fetch
            && fetch.offset >= end_then
        {
            // It has got all that there was when it asked last: it keeps up, however fast we go on.
            follower.caught_up_at = follower.caught_up_at.max(Some(at));
        }
        follower.last_fetch = Some((now, end));
        follower.fetched = Some(fetch);
        self.review(now);
    }

    /// Time has passed: who has not kept up is no longer in sync.
    pub fn handle_timer(&mut self, now: Instant, log: LogEnds) {
        self.log = log;
        self.review(now);
        if self.pending.is_some() || !self.may_ask(now) {
            return;
        }
        let end = self.log.end;
        let lags = |id: &ReplicaId| {
            let follower = self.followers.iter().find(|follower| follower.broker.id == *id);
            follower.is_some_and(|follower| !follower.is_caught_up(now, end, self.lag_max))
        };
        let (out, isr): (Vec<ReplicaId>, Vec<ReplicaId>) = self.state.isr.iter().copied().partition(lags);
        if !out.is_empty() {
            self.ask(isr);
        }
    }

    /// When [`Leader::handle_timer`] may have something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let lagging = self.followers.iter().filter(|follower| {
            self.state.isr.contains(&follower.broker.id) && follower.offset() < self.log.end
        });
        lagging
            .map(|follower| follower.caught_up_at.unwrap_or_default() + self.lag_max)
            .min()
    }

    /// The controller has not made the change that was asked for in `partition_epoch`.
    pub fn handle_refused(&mut self, now: Instant, partition_epoch: PartitionEpoch, why: AlterRefusal) {
        if partition_epoch != self.state.partition_epoch {
            return;
        }
        match why {
            AlterRefusal::Ineligible => {
                self.pending = None;
                self.ask_not_before = Some(now + ASK_AGAIN_AFTER);
            }
            // What was asked for may be so already. The metadata tells, and until then the members asked for count.
            AlterRefusal::Stale => {}
            AlterRefusal::Unavailable => {
                if let Some(isr) = self.pending.clone() {
                    self.ask(isr);
                }
            }
        }
    }

    pub fn poll_action(&mut self) -> Option<LeaderAction> {
        self.actions.pop_front()
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.ask_not_before.is_none_or(|at| now >= at)
    }

    /// Whether the high watermark waits for a replica because it is, or may be, in the ISR.
    fn counts(&self, id: ReplicaId) -> bool {
        if planted::is(Bug::PendingMembersNotCounted) {
            return self.state.isr.contains(&id);
        }
        if planted::is(Bug::ShrinkWithoutAnswer)
            && let Some(isr) = &self.pending
        {
            return isr.contains(&id);
        }
        self.state.isr.contains(&id) || self.pending.as_ref().is_some_and(|isr| isr.contains(&id))
    }

    /// All that an event may bring about.
    fn review(&mut self, now: Instant) {
        self.advance(now);
        self.expand(now);
    }

    /// KIP-966: what is committed while there are too few replicas might be in none of those that are left, so nothing is.
    fn advance(&mut self, now: Instant) {
        if self.state.is_under_min_isr() {
            return;
        }
        let mut offset = self.log.durable;
        let last = self.followers.last().map(|follower| follower.broker.id);
        for follower in &self.followers {
            if planted::is(Bug::OneMemberNotCounted) && Some(follower.broker.id) == last {
                continue;
            }
            if follower.offset() < offset
                && (self.counts(follower.broker.id) || self.is_joining(now, follower))
            {
                offset = follower.offset();
            }
        }
        if offset <= self.high_watermark {
            return;
        }
        assert!(
            offset <= self.log.durable && self.log.durable <= self.log.end,
            "high watermark {offset} <= durable {} <= end {}",
            self.log.durable,
            self.log.end
        );
        self.high_watermark = offset;
        match self.actions.back_mut() {
            Some(LeaderAction::HighWatermark(last)) => *last = offset,
            _ => self.actions.push_back(LeaderAction::HighWatermark(offset)),
        }
    }

    /// It keeps up and may become a member: the high watermark waits for it as if it were. Otherwise a leader alone in the ISR would
    /// be ahead of its followers by a disk write for ever, and none could join.
    fn is_joining(&self, now: Instant, follower: &Follower) -> bool {
        !planted::is(Bug::PendingMembersNotCounted)
            && follower.is_eligible()
            && follower.is_caught_up(now, self.log.end, self.lag_max)
    }

    fn expand(&mut self, now: Instant) {
        if self.pending.is_some() || !self.may_ask(now) {
            return;
        }
        let from = self.high_watermark.max(self.epoch_start);
        let joins = |follower: &&Follower| {
            !self.state.isr.contains(&follower.broker.id)
                && follower.is_eligible()
                && follower.offset() >= from
        };
        let joining: Vec<ReplicaId> = self
            .followers
            .iter()
            .filter(joins)
            .map(|follower| follower.broker.id)
            .collect();
        if !joining.is_empty() {
            let mut isr = self.state.isr.clone();
            isr.extend(joining);
            self.ask(isr);
        }
    }

    fn ask(&mut self, isr: Vec<ReplicaId>) {
        debug_assert!(isr.contains(&self.own), "a leader does not ask to be put out");
        let epoch_of = |id: &ReplicaId| {
            if *id == self.own {
                let own = self.state.replicas.iter().find(|replica| replica.id == *id);
                return own.and_then(|own| own.broker_epoch).unwrap_or(BrokerEpoch::NONE);
            }
            let follower = self.followers.iter().find(|follower| follower.broker.id == *id);
            follower
                .and_then(|follower| follower.fetched)
                .map_or(BrokerEpoch::NONE, |fetched| fetched.broker_epoch)
        };
        let alter = AlterIsr {
            leader_epoch: self.state.leader_epoch,
            partition_epoch: self.state.partition_epoch,
            isr: isr.iter().map(|id| (*id, epoch_of(id))).collect(),
        };
        self.pending = Some(isr);
        self.actions.push_back(LeaderAction::AlterIsr(alter));
    }
}

#[cfg(test)]
mod tests;
