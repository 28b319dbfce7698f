//! The coordinator of one partition of `__consumer_offsets`: events in, actions out.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::types::{Offset, ProducerEpoch, ProducerId, Timestamp};

use super::appends::Then;
use super::clock::{MonotonicMs, Now};
use super::config::GroupConfig;
use super::error::{AppendFailure, ErrorCode};
use super::group::{Group, GroupState};
use super::offsets::{Offsets, TransactionResult};
use super::outbox::Outbox;
use super::record::{EncodedRecord, Record};
use super::refuse;
use super::request::{Request, RequestContext};
use super::response::{HeartbeatResponse, Response};
use super::rules::{admin, commit, delete, expiry, fetch, heartbeat, join, leave, rebalance, sync};
use super::timers::Timer;

/// Names a request for the one answer it gets. The caller chooses.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Names an append. Tickets grow with the order of the log.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // why: nearly all events are requests, which a box would only slow down
pub enum Event {
    Request {
        token: Token,
        context: RequestContext,
        request: Request,
    },
    /// The records of every append up to this one are durable (committed, not only written).
    Committed { up_to: Ticket },
    /// The records of this append are not in the log and never will be.
    AppendFailed { ticket: Ticket, failure: AppendFailure },
    /// The records of this append are in the log but took too long to commit (`offsets.commit.timeout.ms`). Whoever
    /// waits is told to retry; the records count once `Committed` covers them.
    CommitTimedOut { ticket: Ticket },
    /// A marker ended a producer's transaction in this partition. To be told after `Committed` of all appends before.
    TransactionEnded {
        producer_id: ProducerId,
        result: TransactionResult,
    },
    /// These topics are gone, and so should be what was committed for them.
    TopicsDeleted { topics: Vec<String> },
    /// Time has passed: due by `next_deadline`.
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Respond {
        token: Token,
        response: Response,
    },
    /// Append these records, in this order and in the order of actions. They may span batches. With a producer, they
    /// belong to its transaction.
    Append {
        ticket: Ticket,
        producer: Option<(ProducerId, ProducerEpoch)>,
        records: Vec<EncodedRecord>,
    },
}

/// What has happened since the start, for metrics.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub offset_commits: u64,
    pub offset_deletions: u64,
    pub offset_expirations: u64,
    pub rebalances_completed: u64,
    pub groups_removed: u64,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Phase {
    Loading,
    Active,
    Unloaded,
}

/// Appends on the way at once. Many times what a shard's connections can have outstanding: a guess, there to bound
/// the memory of a log that has stopped committing. Beyond it requests are told to come back.
const APPENDS_IN_FLIGHT_MAX: usize = 65_536;

/// Longest name or id that fits a record of `__consumer_offsets` whatever is put before or after it.
const NAME_BYTES_MAX: usize = i16::MAX as usize - 64;

/// See the contract in the module's documentation.
pub struct GroupShard {
    phase: Phase,
    pub(super) groups: BTreeMap<Arc<str>, Group>,
    pub(super) offsets: Offsets,
    pub(super) out: Outbox,
    pub(super) sweep: expiry::Sweep,
}

impl GroupShard {
    /// A coordinator that is still to be loaded: feed it `replay`, then call `loaded`.
    pub fn new(config: GroupConfig) -> GroupShard {
        GroupShard {
            phase: Phase::Loading,
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            out: Outbox {
                config,
                ..Outbox::default()
            },
            sweep: expiry::Sweep::default(),
        }
    }

    // loading

    /// One record of the log, in its order. With a producer, the record belongs to that producer's open transaction.
    pub fn replay(&mut self, producer: Option<ProducerId>, record: Record) {
        debug_assert_eq!(
            self.phase,
            Phase::Loading,
            "a live coordinator replays what it decided by itself"
        );
        match record {
            Record::OffsetCommit { key, value } => self.offsets.replay(producer, &key, value),
            Record::GroupMetadata {
                group,
                value: Some(value),
            } => {
                let id: Arc<str> = group.into();
                self.groups.insert(id.clone(), Group::from_record(id, value));
            }
            Record::GroupMetadata { group, value: None } => drop(self.groups.remove(group.as_str())),
            Record::Unknown { .. } => {}
        }
    }

    /// A transaction marker of the log, in its order.
    pub fn replay_end_transaction(&mut self, producer: ProducerId, result: TransactionResult) {
        self.offsets.replay_end_transaction(producer, result);
    }

    /// The log has been read to its end: requests are served from here on. Members the log knows get a fresh session,
    /// since nobody heard their heartbeats meanwhile.
    pub fn loaded(&mut self, now: Now) {
        debug_assert_eq!(self.phase, Phase::Loading);
        self.out.now = now;
        self.phase = Phase::Active;
        self.sweep = expiry::Sweep::starting(&self.out);
        // offsets without a generation are those of consumers that assign partitions themselves
        for id in self.offsets.groups() {
            if !self.groups.contains_key(id) {
                let id: Arc<str> = id.into();
                let mut group = Group::new(id.clone(), now.wall);
                group.logged = true;
                self.groups.insert(id, group);
            }
        }
        for group in self.groups.values_mut() {
            for (id, member) in group.members() {
                self.out
                    .expect_heartbeat(&group.id, id, i64::from(member.session_timeout_ms));
            }
            if group.members().len() > self.out.config.max_size {
                rebalance::prepare(group, &mut self.out);
            }
        }
    }

    /// The partition has another leader now, or none. Everybody who waits is sent to look for it.
    pub fn unload(&mut self) {
        self.phase = Phase::Unloaded;
        let code = ErrorCode::NOT_COORDINATOR;
        // first the appends, so that a parked JoinGroup is answered with its member and not twice
        for pending in self.out.appends.drain().collect::<Vec<_>>() {
            if let Then::Answer { token, response } = pending.then {
                self.out.respond(token, refuse::withdrawn(response, code));
            }
        }
        for group in self.groups.values_mut() {
            let ids: Vec<Arc<str>> = group.members().keys().cloned().collect();
            for id in ids {
                rebalance::drop_member(group, &mut self.out, &id, code);
            }
        }
        self.groups.clear();
        self.offsets = Offsets::default();
        self.out.timers.clear();
        self.out
            .actions
            .retain(|action| matches!(action, Action::Respond { .. }));
    }

    // the peer

    /// Takes one event. Whatever is due at `now` is done with it.
    pub fn handle(&mut self, now: Now, event: Event) {
        self.out.now = now;
        match event {
            Event::Request {
                token,
                context,
                request,
            } => self.handle_request(token, &context, request),
            _ if self.phase != Phase::Active => {}
            Event::Committed { up_to } => self.handle_committed(up_to),
            Event::AppendFailed { ticket, failure } => {
                self.handle_append_failed(ticket, failure.error_code())
            }
            Event::CommitTimedOut { ticket } => {
                if let Some(then) = self.out.appends.take_then(ticket) {
                    self.give_up(then, ErrorCode::COORDINATOR_NOT_AVAILABLE, Given::MayStillCommit);
                }
            }
            Event::TransactionEnded { producer_id, result } => {
                self.offsets.replay_end_transaction(producer_id, result);
            }
            Event::TopicsDeleted { topics } => delete::topics_deleted(self, &topics),
            Event::Tick => {}
        }
        if self.phase == Phase::Active {
            self.run_timers();
            expiry::sweep_if_due(self);
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out.actions.pop_front()
    }

    /// When a `Tick` is due, if no other event comes first.
    pub fn next_deadline(&self) -> Option<MonotonicMs> {
        if self.phase != Phase::Active {
            return None;
        }
        self.out
            .timers
            .next_deadline()
            .into_iter()
            .chain(self.sweep.next)
            .min()
    }

    // metrics

    /// How many groups are in each state.
    pub fn group_counts(&self) -> BTreeMap<GroupState, usize> {
        let mut counts = BTreeMap::new();
        for group in self.groups.values() {
            *counts.entry(group.state()).or_default() += 1;
        }
        counts
    }

    pub fn counters(&self) -> Counters {
        self.out.counters
    }

    /// Every committed offset as (group, topic, partition, offset): what lag is computed from.
    pub fn committed_offsets(&self) -> impl Iterator<Item = (&str, &str, i32, Offset)> {
        self.offsets
            .committed()
            .iter()
            .map(|(group, topic, p, c)| (group, topic, p, c.value.offset))
    }

    /// The committed offset of one partition.
    pub fn committed_offset(&self, group: &str, topic: &str, partition: i32) -> Option<(Offset, Timestamp)> {
        let committed = self.offsets.committed().get(group, topic, partition)?;
        Some((committed.value.offset, committed.value.commit_timestamp))
    }

    // within

    fn handle_request(&mut self, token: Token, context: &RequestContext, request: Request) {
        if let Err(code) = self.admit(&request) {
            // while loading, a member is as alive as its last heartbeat said: it would only rejoin for nothing
            let response = match (&request, code) {
                (Request::Heartbeat(_), ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => {
                    Response::Heartbeat(HeartbeatResponse::default())
                }
                _ => refuse::request(&request, code),
            };
            return self.out.respond(token, response);
        }
        match request {
            Request::JoinGroup(request) => join::join(self, token, context, request),
            Request::SyncGroup(request) => sync::sync(self, token, request),
            Request::Heartbeat(request) => heartbeat::heartbeat(self, token, request),
            Request::LeaveGroup(request) => leave::leave(self, token, request),
            Request::OffsetCommit(request) => commit::commit(self, token, context, request),
            Request::TxnOffsetCommit(request) => commit::commit_in_transaction(self, token, request),
            Request::OffsetFetch(request) => fetch::fetch(self, token, request),
            Request::OffsetDelete(request) => delete::offsets(self, token, request),
            Request::DescribeGroups(request) => admin::describe(self, token, context, request),
            Request::ListGroups(request) => admin::list(self, token, request),
            Request::DeleteGroups(request) => delete::groups(self, token, request),
        }
    }

    fn admit(&self, request: &Request) -> Result<(), ErrorCode> {
        let (group_id, names): (&str, [&str; 2]) = match request {
            Request::JoinGroup(r) => (
                &r.group_id,
                [
                    &r.protocol_type,
                    r.group_instance_id.as_deref().unwrap_or_default(),
                ],
            ),
            Request::SyncGroup(r) => (&r.group_id, ["", ""]),
            Request::Heartbeat(r) => (&r.group_id, ["", ""]),
            Request::LeaveGroup(r) => (&r.group_id, ["", ""]),
            Request::OffsetDelete(r) => (&r.group_id, ["", ""]),
            Request::TxnOffsetCommit(r) => (&r.group_id, ["", ""]),
            // the empty group id is served where Kafka serves it, for the oldest consumers
            Request::OffsetCommit(r) if r.group_id.is_empty() => ("-", ["", ""]),
            Request::OffsetCommit(r) => (&r.group_id, ["", ""]),
            Request::OffsetFetch(_)
            | Request::DescribeGroups(_)
            | Request::ListGroups(_)
            | Request::DeleteGroups(_) => ("-", ["", ""]),
        };
        match self.phase {
            Phase::Unloaded => return Err(ErrorCode::NOT_COORDINATOR),
            Phase::Loading => return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
            Phase::Active => {}
        }
        if group_id.is_empty() || group_id.len() > NAME_BYTES_MAX {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        let topics = match request {
            Request::OffsetCommit(r) => &r.topics[..],
            Request::TxnOffsetCommit(r) => &r.topics[..],
            _ => &[],
        };
        let protocols = match request {
            Request::JoinGroup(r) => &r.protocols[..],
            _ => &[],
        };
        let mut all_names = names
            .into_iter()
            .chain(topics.iter().map(|t| t.name.as_str()))
            .chain(protocols.iter().map(|p| p.name.as_str()));
        if all_names.any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if self.out.appends.len() >= APPENDS_IN_FLIGHT_MAX {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        Ok(())
    }

    fn handle_committed(&mut self, up_to: Ticket) {
        while let Some(pending) = self.out.appends.pop_committed(up_to) {
            for record in pending.records {
                self.replay_decided(pending.producer, record);
            }
            match pending.then {
                Then::Nothing => {}
                Then::Answer { token, response } => self.out.respond(token, response),
                Then::Assign {
                    group,
                    generation,
                    assignments,
                } => {
                    if let Some(group) = self.groups.get_mut(&group) {
                        sync::assignment_committed(group, &mut self.out, generation, &assignments);
                    }
                }
                Then::KeepStatic(replacement) => {
                    if let Some(group) = self.groups.get_mut(&replacement.group) {
                        join::replacement_committed(group, &mut self.out, &replacement);
                    }
                }
            }
        }
    }

    /// The same change `replay` makes, for a record decided here. A generation of a living group was decided from
    /// what the group is, which may have moved on since: the group is ahead of the log, so only its end is replayed.
    fn replay_decided(&mut self, producer: Option<ProducerId>, record: Record) {
        match record {
            Record::OffsetCommit { key, value } => {
                if value.is_some() {
                    self.group_or_new(&key.group).logged = true;
                }
                self.offsets.replay(producer, &key, value);
            }
            Record::GroupMetadata { group, value: None } => {
                if self
                    .groups
                    .get(group.as_str())
                    .is_some_and(|g| g.state() == GroupState::Dead)
                {
                    self.groups.remove(group.as_str());
                    self.out.counters.groups_removed += 1;
                }
            }
            Record::GroupMetadata { value: Some(_), .. } | Record::Unknown { .. } => {}
        }
    }

    fn handle_append_failed(&mut self, ticket: Ticket, code: ErrorCode) {
        let Some(pending) = self.out.appends.take(ticket) else {
            return;
        };
        for record in &pending.records {
            match record {
                Record::GroupMetadata { group, value: None } => {
                    if let Some(group) = self.groups.get_mut(group.as_str()) {
                        group.revive();
                    }
                }
                Record::OffsetCommit { key, .. } => self.drop_if_unborn(&key.group),
                Record::GroupMetadata { value: Some(_), .. } | Record::Unknown { .. } => {}
            }
        }
        self.give_up(pending.then, code, Given::NotInLog);
    }

    fn give_up(&mut self, then: Then, code: ErrorCode, given: Given) {
        match then {
            Then::Nothing => {}
            Then::Answer { token, response } => self.out.respond(token, refuse::withdrawn(response, code)),
            Then::Assign {
                group, generation, ..
            } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    sync::assignment_failed(group, &mut self.out, generation, code);
                }
            }
            Then::KeepStatic(replacement) => {
                if let Some(group) = self.groups.get_mut(&replacement.group) {
                    join::replacement_failed(group, &mut self.out, &replacement, code, given);
                }
            }
        }
    }

    fn run_timers(&mut self) {
        while let Some(timer) = self.out.timers.pop_due(self.out.now.monotonic) {
            let id = match &timer {
                Timer::Session { group, .. } | Timer::Join { group } | Timer::Sync { group } => group.clone(),
            };
            let Some(group) = self.groups.get_mut(&id) else {
                continue;
            };
            match timer {
                Timer::Session { member, .. } => heartbeat::session_expired(group, &mut self.out, &member),
                Timer::Join { .. } => rebalance::join_timed_out(group, &mut self.out),
                Timer::Sync { .. } => rebalance::sync_timed_out(group, &mut self.out),
            }
            self.drop_if_unborn(&id);
        }
    }

    /// Forgets a group that was only talked about: nobody in it or on the way, nothing of it in the log.
    pub(super) fn drop_if_unborn(&mut self, id: &str) {
        let Some(group) = self.groups.get(id) else { return };
        if group.state() == GroupState::Empty
            && !group.logged
            && group.pending_joins.is_empty()
            && !self.offsets.contains_group(id)
            && !self.out.appends.has_offsets_in_flight(id)
        {
            self.groups.remove(id);
        }
    }

    /// The group, made if need be.
    pub(super) fn group_or_new(&mut self, id: &str) -> &mut Group {
        let id: Arc<str> = id.into();
        let now = self.out.now.wall;
        self.groups
            .entry(id.clone())
            .or_insert_with(|| Group::new(id, now))
    }

    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        for group in self.groups.values() {
            group.assert_invariants();
        }
        assert!(self.out.actions.is_empty(), "checked between events");
    }

    /// Groups and members, to tell how dear a check would be.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.groups
            .values()
            .map(|group| 1 + group.members().len() + group.pending_joins.len())
            .sum()
    }
}

/// What became of records that nobody waits for any more.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    NotInLog,
    MayStillCommit,
}
