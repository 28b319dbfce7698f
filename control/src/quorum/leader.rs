//! Leading: serving the log, committing what a majority has on its disks, noticing when the majority is gone.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::types::Offset;
use reactor::Instant;
use thiserror::Error;

use super::core::Core;
use super::entry::{Body, ControlRecord, Entry};
use super::event::{Action, RequestId};
use super::membership::PendingChange;
use super::message::{
    BeginQuorumEpoch, EndQuorumEpoch, FetchOutcome, FetchRequest, FetchResponse, FetchSnapshotRequest,
    FetchSnapshotResponse, LeaderView, Refusal, Request, Response,
};
use super::planted::{self, Bug};
use super::replica::ReplicaKey;
use super::role::Role;
use crate::record::{BrokerId, ControllerEpoch};

/// Replicas that are remembered, voters and observers. A bound against requests that count ids up; more observers are
/// served, and not described.
const REPLICAS_MAX: usize = 1024;

/// Holds: `epoch_start` is the offset of the epoch's first record, a LeaderChange.
#[derive(Clone, Debug)]
pub(super) struct Leading {
    pub(super) epoch_start: Offset,
    pub(super) since: Instant,
    pub(super) replicas: BTreeMap<BrokerId, Progress>,
    parked: Vec<Parked>,
    /// When the majority counts as gone, unless it is heard before.
    check_deadline: Instant,
    begin_epoch: Instant,
    pub(super) change: Option<PendingChange>,
}

/// How far another replica is.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) key: ReplicaKey,
    /// Everything below is on its disk and as it is here.
    pub(super) durable: Offset,
    pub(super) fetched_at: Instant,
    /// When it had all that there was, as Kafka tells it.
    pub(super) caught_up_at: Option<Instant>,
    /// Where this log ended when it asked last.
    end_then: Offset,
}

/// A Fetch that waits for something to tell.
#[derive(Clone, Debug)]
struct Parked {
    id: RequestId,
    replica: BrokerId,
    offset: Offset,
    high_watermark: Offset,
    deadline: Instant,
}

/// Why a batch was not taken. Nothing was done.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    #[error("epoch {0} has no leader here")]
    NotLeader(ControllerEpoch),
    #[error("the batch is for offset {given}, and {due} is due")]
    Offset { given: Offset, due: Offset },
}

impl Leading {
    pub(super) fn next_deadline(&self) -> Instant {
        let parked = self.parked.iter().map(|parked| parked.deadline);
        let change = self.change.iter().map(|change| change.deadline);
        parked
            .chain(change)
            .fold(self.check_deadline.min(self.begin_epoch), Instant::min)
    }
}

impl Core {
    /// The votes are there. The epoch begins with a record that says so: once that is committed, so is all before it.
    pub(super) fn begin_leading(&mut self, now: Instant, granting: Vec<BrokerId>) {
        self.leave_role();
        self.leader = Some(self.node.id);
        self.leader_endpoint = None;
        self.dirty = true;
        let epoch_start = self.log.end();
        self.role = Role::Leader(Box::new(Leading {
            epoch_start,
            since: now,
            replicas: BTreeMap::new(),
            parked: Vec::new(),
            check_deadline: now + self.timers.check_quorum(),
            begin_epoch: now,
            change: None,
        }));
        let change = ControlRecord::LeaderChange {
            leader: self.node.id,
            voters: self.voters().ids().collect(),
            granting,
        };
        self.append_own(Entry::control(epoch_start, self.epoch, vec![change]));
        self.tick_leader(now);
    }

    /// Appends one batch of records, encoded by the host for the offset at the log's end and this epoch.
    pub fn propose(
        &mut self,
        now: Instant,
        epoch: ControllerEpoch,
        base_offset: Offset,
        last_offset: Offset,
        batch: Bytes,
    ) -> Result<Vec<Action>, ProposeError> {
        if !self.is_leader() || epoch != self.epoch {
            return Err(ProposeError::NotLeader(epoch));
        }
        let due = self.log.end();
        if base_offset != due || last_offset < base_offset {
            let given = base_offset;
            return Err(ProposeError::Offset { given, due });
        }
        self.append_own(Entry {
            base_offset,
            last_offset,
            epoch,
            voters: None,
            body: Body::Batch(batch),
        });
        self.tick_leader(now);
        Ok(self.finish())
    }

    /// Followers get it while it is on its way to this disk: whoever is first does not matter.
    pub(super) fn append_own(&mut self, entry: Entry) {
        let entries = vec![entry];
        let write = self.log.append(&entries);
        self.actions.push(Action::Append { write, entries });
        let end = self.log.end();
        self.answer_parked(|parked| parked.offset < end);
    }

    pub(super) fn handle_fetch(&mut self, now: Instant, id: RequestId, request: FetchRequest) {
        let refusal = if request.epoch < self.epoch && !planted::is(Bug::StaleFetchCounts) {
            Some(Refusal::FencedLeaderEpoch)
        } else if request.epoch > self.epoch {
            Some(Refusal::UnknownLeaderEpoch)
        } else if !self.is_leader() {
            Some(Refusal::NotLeader)
        } else if request.replica.id == self.node.id {
            Some(Refusal::InvalidRequest)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.answer_fetch(id, FetchOutcome::Refused(refusal));
            return;
        }
        self.heard_from(now, request.replica);
        if let Some(outcome) = self.where_it_left(&request) {
            self.answer_fetch(id, outcome);
            self.tick_leader(now);
            return;
        }
        self.note_progress(now, &request);
        self.advance_high_watermark(now);
        self.catch_up_reached(now);
        // The leader may have resigned: its own removal was committed just now.
        if !self.is_leader() {
            self.answer_fetch(id, FetchOutcome::Refused(Refusal::NotLeader));
            return;
        }
        self.park(now, id, &request);
        let (end, high_watermark) = (self.log.end(), self.high_watermark);
        self.answer_parked(|parked| parked.offset < end || parked.high_watermark < high_watermark);
        self.tick_leader(now);
    }

    /// What to say to a replica that has something else before the offset it asks for; `None` if it has the same.
    fn where_it_left(&self, request: &FetchRequest) -> Option<FetchOutcome> {
        if planted::is(Bug::DivergenceIgnored) && request.offset <= self.log.end() {
            return None;
        }
        let start = self.log.start;
        let is_behind = request.offset < start.end_offset
            || request.last_epoch < start.epoch
            || (request.offset == start.end_offset && request.last_epoch != start.epoch);
        if is_behind && let Some(snapshot) = self.log.snapshot() {
            return Some(FetchOutcome::Snapshot(snapshot));
        }
        let (epoch, end_offset) = self.log.end_of_epoch(request.last_epoch);
        let agrees = epoch == request.last_epoch && request.offset <= end_offset;
        (!agrees).then_some(FetchOutcome::Diverging { epoch, end_offset })
    }

    fn heard_from(&mut self, now: Instant, key: ReplicaKey) {
        let is_voter = self.voters().contains(&key);
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        let is_new_disk = leading
            .replicas
            .get(&key.id)
            .is_some_and(|progress| progress.key.directory != key.directory);
        let has_room = leading.replicas.len() < REPLICAS_MAX || leading.replicas.contains_key(&key.id);
        if !is_voter && !has_room {
            return;
        }
        let progress = leading.replicas.entry(key.id).or_insert(Progress {
            key,
            durable: Offset::ZERO,
            fetched_at: now,
            caught_up_at: None,
            end_then: Offset::ZERO,
        });
        if is_new_disk {
            progress.key = key;
            progress.durable = Offset::ZERO;
        }
        progress.fetched_at = now;
    }

    fn note_progress(&mut self, now: Instant, request: &FetchRequest) {
        let end = self.log.end();
        if let Role::Leader(leading) = &mut self.role
            && let Some(progress) = leading.replicas.get_mut(&request.replica.id)
        {
            // An old Fetch may come late.
            progress.durable = progress.durable.max(request.offset.min(end));
            if request.offset >= progress.end_then {
                progress.caught_up_at = Some(now);
            }
            progress.end_then = end;
        }
    }

    fn park(&mut self, now: Instant, id: RequestId, request: &FetchRequest) {
        let deadline = now + self.timers.fetch_wait;
        let replica = request.replica.id;
        // One replica waits once: it has given up what it asked before.
        self.answer_parked(|parked| parked.replica == replica);
        if let Role::Leader(leading) = &mut self.role {
            leading.parked.push(Parked {
                id,
                replica,
                offset: request.offset,
                high_watermark: request.high_watermark,
                deadline,
            });
        }
    }

    fn answer_parked(&mut self, is_due: impl Fn(&Parked) -> bool) {
        let (view, high_watermark, end) = (self.view(), self.high_watermark, self.log.end());
        if let Role::Leader(leading) = &mut self.role {
            for parked in leading.parked.extract_if(.., |parked| is_due(parked)) {
                self.actions.push(Action::AnswerRecords {
                    id: parked.id,
                    view: view.clone(),
                    high_watermark,
                    from: parked.offset,
                    end,
                });
            }
        }
    }

    fn answer_fetch(&mut self, id: RequestId, outcome: FetchOutcome) {
        let response = FetchResponse {
            view: self.view(),
            high_watermark: self.high_watermark,
            outcome,
        };
        self.answer(id, Response::Fetch(response));
    }

    pub(super) fn handle_fetch_snapshot(
        &mut self,
        now: Instant,
        id: RequestId,
        request: &FetchSnapshotRequest,
    ) {
        let refusal = if request.epoch < self.epoch {
            Some(Refusal::FencedLeaderEpoch)
        } else if request.epoch > self.epoch {
            Some(Refusal::UnknownLeaderEpoch)
        } else if !self.is_leader() {
            Some(Refusal::NotLeader)
        } else if self.log.snapshot() != Some(request.id) {
            Some(Refusal::SnapshotNotFound)
        } else {
            None
        };
        let view = self.view();
        match refusal {
            Some(refusal) => {
                let part = Err(refusal);
                self.answer(id, Response::FetchSnapshot(FetchSnapshotResponse { view, part }));
            }
            None => {
                self.heard_from(now, request.replica);
                self.actions.push(Action::AnswerSnapshot {
                    id,
                    view,
                    snapshot: request.id,
                    position: request.position,
                });
                self.tick_leader(now);
            }
        }
    }

    /// Commits what a majority has on its disks. Records of earlier epochs only together with one of this epoch: a later leader
    /// that lacks them could be elected otherwise (Raft, section 5.4.2).
    pub(super) fn advance_high_watermark(&mut self, now: Instant) {
        let Role::Leader(leading) = &self.role else {
            return;
        };
        let voters = self.voters();
        let own = if planted::is(Bug::LeaderCountsUnsynced) {
            self.log.end()
        } else {
            self.log.durable()
        };
        let mut ends: Vec<Offset> = voters
            .iter()
            .map(|voter| match leading.replicas.get(&voter.key.id) {
                _ if voter.key.matches(&self.node) => own,
                Some(progress) if progress.key.matches(&voter.key) => progress.durable,
                _ => Offset::ZERO,
            })
            .collect();
        ends.sort();
        let majority = voters.majority();
        let Some(committed) = ends.len().checked_sub(majority).and_then(|index| ends.get(index)) else {
            return;
        };
        let is_own_epoch = *committed > leading.epoch_start || planted::is(Bug::CommitsOlderEpoch);
        if *committed > self.high_watermark && is_own_epoch {
            let committed = *committed;
            self.high_watermark = committed;
            self.answer_parked(|parked| parked.high_watermark < committed);
            self.change_committed(now);
        }
    }

    pub(super) fn tick_leader(&mut self, now: Instant) {
        self.answer_parked(|parked| parked.deadline <= now);
        self.expire_change(now);
        let heard = self.majority_heard(now);
        let check_quorum = self.timers.check_quorum();
        let is_begin_due = match &mut self.role {
            Role::Leader(leading) => {
                leading.check_deadline = heard + check_quorum;
                leading.begin_epoch <= now
            }
            _ => return,
        };
        if heard + check_quorum <= now {
            tracing::warn!(
                epoch = self.epoch.0,
                "no majority of the voters asks for the log; resigning"
            );
            self.resign(now);
        } else if is_begin_due {
            self.tell_voters(now);
        }
    }

    /// The latest time at which a majority had been heard, this replica included.
    fn majority_heard(&self, now: Instant) -> Instant {
        let Role::Leader(leading) = &self.role else {
            return now;
        };
        let voters = self.voters();
        let mut times: Vec<Instant> = voters
            .iter()
            .map(|voter| match leading.replicas.get(&voter.key.id) {
                _ if voter.key.matches(&self.node) => now,
                Some(progress) => progress.fetched_at.max(leading.since),
                None => leading.since,
            })
            .collect();
        times.sort();
        let index = times.len().checked_sub(voters.majority());
        index.and_then(|index| times.get(index).copied()).unwrap_or(now)
    }

    /// Tells those voters who leads that do not ask.
    fn tell_voters(&mut self, now: Instant) {
        let interval = self.timers.begin_epoch();
        let others: Vec<ReplicaKey> = self.other_voters().collect();
        let endpoint = self
            .voters()
            .get(self.node.id)
            .map(|voter| voter.endpoint.clone());
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        leading.begin_epoch = now + interval;
        for voter in others {
            let asks = leading
                .replicas
                .get(&voter.id)
                .is_some_and(|progress| now.saturating_since(progress.fetched_at) < interval);
            if asks {
                continue;
            }
            let request = Request::BeginQuorumEpoch(BeginQuorumEpoch {
                epoch: self.epoch,
                leader: self.node.id,
                endpoint: endpoint.clone(),
                voter: Some(voter),
            });
            self.actions.push(Action::Ask {
                to: voter.id,
                request,
            });
        }
    }

    /// Stops leading, and says so to those who could.
    pub(super) fn resign(&mut self, now: Instant) {
        let mut successors: Vec<(Offset, ReplicaKey)> = match &self.role {
            Role::Leader(leading) => self
                .other_voters()
                .map(|key| {
                    let progress = leading.replicas.get(&key.id);
                    (progress.map_or(Offset::ZERO, |progress| progress.durable), key)
                })
                .collect(),
            _ => return,
        };
        successors.sort_by(|one, other| other.cmp(one));
        let successors: Vec<ReplicaKey> = successors.into_iter().map(|(_, key)| key).collect();
        for voter in &successors {
            let request = Request::EndQuorumEpoch(EndQuorumEpoch {
                epoch: self.epoch,
                leader: self.node.id,
                successors: successors.clone(),
            });
            self.actions.push(Action::Ask {
                to: voter.id,
                request,
            });
        }
        self.leave_role();
        self.leader = None;
        self.dirty = true;
        // Longer than the successors take.
        self.role = Role::Resigned {
            deadline: now + self.timers.election * 2 + self.chance.duration_below(self.timers.election),
        };
    }

    /// Before any change of the role: nobody may go on waiting for the one that ends.
    pub(super) fn leave_role(&mut self) {
        if !self.is_leader() {
            return;
        }
        let view = LeaderView {
            leader: None,
            endpoint: None,
            epoch: self.epoch,
        };
        if let Role::Leader(leading) = &mut self.role {
            let parked = std::mem::take(&mut leading.parked);
            for parked in parked {
                let response = FetchResponse {
                    view: view.clone(),
                    high_watermark: self.high_watermark,
                    outcome: FetchOutcome::Refused(Refusal::NotLeader),
                };
                self.actions.push(Action::Answer {
                    id: parked.id,
                    response: Response::Fetch(response),
                });
            }
        }
        self.abandon_change();
    }
}
