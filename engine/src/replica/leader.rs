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
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

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
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const LAG: Duration = Duration::from_secs(30);

    fn at(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    fn ends(durable: i64, end: i64) -> LogEnds {
        LogEnds {
            start: Offset(0),
            durable: Offset(durable),
            end: Offset(end),
        }
    }

    fn state(partition_epoch: i32, isr: &[i32]) -> PartitionState {
        PartitionState {
            leader_epoch: LeaderEpoch(5),
            partition_epoch: PartitionEpoch(partition_epoch),
            replicas: (1..=3)
                .map(|id| Replica {
                    id: ReplicaId(id),
                    broker_epoch: Some(BrokerEpoch(100 + i64::from(id))),
                    is_active: true,
                })
                .collect(),
            isr: isr.iter().copied().map(ReplicaId).collect(),
            min_insync: 1,
        }
    }

    fn leader(isr: &[i32]) -> Leader {
        Leader::new(
            at(0),
            ReplicaId(1),
            LAG,
            state(0, isr),
            Offset(0),
            ends(0, 0),
            Offset(0),
        )
    }

    fn fetch(id: i32, offset: i64) -> FollowerFetch {
        FollowerFetch {
            replica: ReplicaId(id),
            broker_epoch: BrokerEpoch(100 + i64::from(id)),
            offset: Offset(offset),
            log_start: Offset(0),
        }
    }

    /// What it says, one line per action.
    fn said(leader: &mut Leader) -> String {
        let mut text = String::new();
        while let Some(action) = leader.poll_action() {
            match action {
                LeaderAction::HighWatermark(offset) => writeln!(text, "hw {offset}").unwrap(),
                LeaderAction::AlterIsr(alter) => {
                    let isr: Vec<String> = alter
                        .isr
                        .iter()
                        .map(|(id, epoch)| format!("{id}@{epoch}"))
                        .collect();
                    writeln!(text, "alter {} {}", alter.partition_epoch, isr.join(" ")).unwrap();
                }
            }
        }
        text
    }

    /// Breaks in production: a producer is told "on all replicas" of a record that only the leader has.
    #[test]
    fn committed_is_what_every_replica_in_sync_has_on_its_disk() {
        let mut leader = leader(&[1, 2, 3]);
        leader.handle_append(at(1), ends(0, 10));
        leader.handle_fetch(at(2), ends(0, 10), fetch(2, 10));
        leader.handle_fetch(at(2), ends(0, 10), fetch(3, 10));
        assert_eq!(said(&mut leader), "", "the leader's own disk has not got it");
        leader.handle_durable(at(3), ends(10, 12));
        assert_eq!(said(&mut leader), "hw 10\n");
        leader.handle_durable(at(3), ends(12, 12));
        leader.handle_fetch(at(4), ends(12, 12), fetch(2, 12));
        assert_eq!(said(&mut leader), "");
        leader.handle_fetch(at(5), ends(12, 12), fetch(3, 11));
        assert_eq!(said(&mut leader), "hw 11\n");
    }

    /// Breaks in production: the answer to an AlterPartition is late, the controller elects the member that the leader did not
    /// wait for yet, and acknowledged records are gone.
    #[test]
    fn a_member_asked_for_counts_until_the_metadata_says_otherwise() {
        let mut leader = leader(&[1, 2]);
        leader.handle_append(at(1), ends(0, 10));
        leader.handle_durable(at(1), ends(10, 10));
        leader.handle_fetch(at(1), ends(10, 10), fetch(2, 10));
        // 3 is not there yet: not waited for
        assert_eq!(said(&mut leader), "hw 10\n");
        leader.handle_fetch(at(2), ends(10, 10), fetch(3, 4));
        assert_eq!(said(&mut leader), "", "it lacks what is committed");
        leader.handle_fetch(at(3), ends(10, 10), fetch(3, 10));
        assert_eq!(said(&mut leader), "alter 0 1@101 2@102 3@103\n");
        leader.handle_append(at(4), ends(10, 20));
        leader.handle_durable(at(4), ends(20, 20));
        leader.handle_fetch(at(4), ends(20, 20), fetch(2, 20));
        assert_eq!(said(&mut leader), "", "3 may be a member already");
        leader.handle_refused(at(5), PartitionEpoch(0), AlterRefusal::Stale);
        leader.handle_fetch(at(5), ends(20, 20), fetch(2, 20));
        assert_eq!(said(&mut leader), "");
        leader.handle_state(at(6), ends(20, 20), state(1, &[1, 2, 3]));
        leader.handle_fetch(at(7), ends(20, 20), fetch(3, 20));
        assert_eq!(said(&mut leader), "hw 20\n");
    }

    /// Breaks in production: with the ISR below min.insync.replicas consumers read, and acks=1 producers believe, what the one
    /// replica that is left may lose (KIP-966).
    #[test]
    fn nothing_is_committed_while_too_few_are_in_sync() {
        let mut leader = leader(&[1]);
        let under = PartitionState {
            min_insync: 2,
            ..state(1, &[1])
        };
        leader.handle_state(at(0), ends(0, 0), under);
        leader.handle_append(at(1), ends(0, 10));
        leader.handle_durable(at(1), ends(10, 10));
        assert_eq!(said(&mut leader), "");
        leader.handle_fetch(at(2), ends(10, 10), fetch(2, 10));
        assert_eq!(said(&mut leader), "alter 1 1@101 2@102\n");
        let back = PartitionState {
            min_insync: 2,
            ..state(2, &[1, 2])
        };
        leader.handle_state(at(3), ends(10, 10), back);
        assert_eq!(said(&mut leader), "hw 10\n");
    }

    /// Breaks in production: a broker that hangs stops every acks=all producer for ever; or one that is merely slow to fetch
    /// while nothing is written is thrown out, and the controller rewrites ISRs all night.
    #[test]
    fn who_does_not_keep_up_is_asked_out_and_who_is_at_the_end_is_not() {
        let mut leader = leader(&[1, 2, 3]);
        leader.handle_fetch(at(1), ends(0, 0), fetch(2, 0));
        leader.handle_fetch(at(1), ends(0, 0), fetch(3, 0));
        leader.handle_timer(at(100_000), ends(0, 0));
        assert_eq!(said(&mut leader), "", "nothing to fetch");
        leader.handle_append(at(100_000), ends(0, 10));
        leader.handle_durable(at(100_001), ends(10, 10));
        leader.handle_fetch(at(100_001), ends(10, 10), fetch(2, 10));
        assert_eq!(leader.next_deadline(), Some(at(130_000)));
        leader.handle_timer(at(129_000), ends(10, 10));
        assert_eq!(said(&mut leader), "");
        leader.handle_timer(at(130_001), ends(10, 10));
        assert_eq!(said(&mut leader), "alter 0 1@101 2@102\n");
        leader.handle_timer(at(145_000), ends(10, 10));
        assert_eq!(
            said(&mut leader),
            "",
            "one change at a time, and 3 counts until it is out"
        );
        leader.handle_state(at(145_001), ends(10, 10), state(1, &[1, 2]));
        assert_eq!(said(&mut leader), "hw 10\n");
    }

    /// Breaks in production: under constant load no follower ever is at the end of the log, and all are thrown out.
    #[test]
    fn who_gets_all_there_was_at_its_last_fetch_keeps_up() {
        let mut leader = leader(&[1, 2]);
        let mut now = 0;
        for step in 1..100 {
            now += 1000;
            leader.handle_append(at(now), ends(step * 10, step * 10 + 5));
            leader.handle_fetch(
                at(now),
                ends(step * 10, step * 10 + 5),
                fetch(2, (step - 1) * 10 + 5),
            );
        }
        leader.handle_timer(at(now), ends(990, 995));
        assert!(!said(&mut leader).contains("alter"));
    }

    /// Breaks in production: a broker that was killed and has lost its unsynced tail, or another incarnation, comes back as a
    /// member on the strength of what its predecessor had (KIP-903); or one that is fenced does, and goes out at once, in a loop.
    #[test]
    fn only_a_live_broker_in_its_own_registration_joins() {
        let mut leader = leader(&[1]);
        let older = FollowerFetch {
            broker_epoch: BrokerEpoch(7),
            ..fetch(2, 0)
        };
        assert!(!leader.knows(ReplicaId(2), BrokerEpoch(7)));
        assert!(!leader.knows(ReplicaId(9), BrokerEpoch(109)));
        leader.handle_fetch(at(1), ends(0, 0), older);
        assert_eq!(said(&mut leader), "");
        let mut fenced = state(0, &[1]);
        fenced.replicas[1].is_active = false;
        leader.handle_state(at(2), ends(0, 0), fenced);
        leader.handle_fetch(at(2), ends(0, 0), fetch(2, 0));
        assert_eq!(said(&mut leader), "");
        leader.handle_state(at(3), ends(0, 0), state(0, &[1]));
        assert_eq!(said(&mut leader), "alter 0 1@101 2@102\n");
        leader.handle_refused(at(4), PartitionEpoch(0), AlterRefusal::Ineligible);
        leader.handle_fetch(at(4), ends(0, 0), fetch(2, 0));
        assert_eq!(said(&mut leader), "", "not at once again");
        leader.handle_fetch(at(1000), ends(0, 0), fetch(2, 0));
        assert_eq!(said(&mut leader), "alter 0 1@101 2@102\n");
    }

    /// Breaks in production: a follower that has all below the high watermark but not the start of the leader's epoch may have other
    /// records there than the leader.
    #[test]
    fn who_has_not_reached_the_epoch_does_not_join() {
        let mut leader = Leader::new(
            at(0),
            ReplicaId(1),
            LAG,
            state(0, &[1]),
            Offset(8),
            ends(8, 8),
            Offset(3),
        );
        assert_eq!(said(&mut leader), "hw 8\n");
        let mut other = Leader::new(
            at(0),
            ReplicaId(1),
            LAG,
            PartitionState {
                min_insync: 2,
                ..state(0, &[1])
            },
            Offset(8),
            ends(8, 8),
            Offset(3),
        );
        other.handle_fetch(at(1), ends(8, 8), fetch(2, 5));
        assert_eq!(said(&mut other), "");
        other.handle_fetch(at(1), ends(8, 8), fetch(2, 8));
        assert_eq!(said(&mut other), "alter 0 1@101 2@102\n");
    }

    /// Breaks in production: under constant load the leader, alone in the ISR, is always a disk write ahead, and no follower
    /// ever reaches the high watermark.
    #[test]
    fn the_high_watermark_waits_for_who_keeps_up() {
        let mut leader = leader(&[1]);
        leader.handle_append(at(1), ends(0, 10));
        leader.handle_fetch(at(1), ends(0, 10), fetch(2, 0));
        said(&mut leader);
        leader.handle_state(at(1), ends(0, 10), state(1, &[1])); // the addition was overtaken
        said(&mut leader);
        leader.handle_append(at(2), ends(10, 20));
        leader.handle_durable(at(2), ends(20, 20));
        leader.handle_fetch(at(3), ends(20, 20), fetch(2, 10));
        assert!(leader.high_watermark() <= Offset(10));
    }

    /// Breaks in production: DeleteRecords is answered before the followers have deleted.
    #[test]
    fn the_low_watermark_is_that_of_the_live_replicas() {
        let mut leader = leader(&[1, 2, 3]);
        let log = LogEnds {
            start: Offset(5),
            ..ends(10, 10)
        };
        leader.handle_fetch(
            at(1),
            log,
            FollowerFetch {
                log_start: Offset(5),
                ..fetch(2, 10)
            },
        );
        leader.handle_fetch(
            at(1),
            log,
            FollowerFetch {
                log_start: Offset(2),
                ..fetch(3, 10)
            },
        );
        assert_eq!(leader.low_watermark(), Offset(2));
        let mut fenced = state(0, &[1, 2, 3]);
        fenced.replicas[2].is_active = false;
        leader.handle_state(at(2), log, fenced);
        assert_eq!(leader.low_watermark(), Offset(5));
    }
}
