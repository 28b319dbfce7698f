//! Following a leader: fetching its log, cutting off what it does not have, taking its snapshots.

use engine::types::Offset;
use reactor::Instant;

use super::core::Core;
use super::entry::Entry;
use super::event::Action;
use super::message::{
    FetchOutcome, FetchRequest, FetchResponse, FetchSnapshotRequest, Refusal, Request, SnapshotPart,
};
use super::planted::{self, Bug};
use super::role::{Fetching, Following, Role};
use super::voters::VoterSet;
use crate::config::Endpoint;
use crate::record::{BrokerId, ControllerEpoch};
use crate::store::SnapshotId;

impl Core {
    /// Follows the leader of this epoch or of a greater one.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        epoch: ControllerEpoch,
        leader: BrokerId,
        endpoint: Option<Endpoint>,
    ) {
        debug_assert!(epoch >= self.epoch && leader != self.node.id);
        self.leave_role();
        if epoch > self.epoch {
            self.voted = None;
        }
        self.dirty |= epoch != self.epoch || self.leader != Some(leader);
        self.epoch = epoch;
        self.leader = Some(leader);
        self.leader_endpoint = endpoint;
        let fetching = match self.log.pending_write() {
            Some(write) => Fetching::Writing(write),
            None => Fetching::Due(now),
        };
        self.role = Role::Follower(Following {
            deadline: now + self.timers.fetch + self.chance.duration_below(self.timers.fetch / 4),
            heard: None,
            suspected: false,
            fetching,
        });
    }

    /// Whether the leader that is followed has answered since then.
    pub fn has_heard_leader_since(&self, then: Instant) -> bool {
        match &self.role {
            Role::Follower(following) => following.heard.is_some_and(|heard| heard >= then),
            _ => false,
        }
    }

    pub(super) fn tick_follower(&mut self, now: Instant) {
        let may_lead = self.may_lead();
        let patience = self.timers.fetch_wait + self.timers.request;
        let Role::Follower(following) = &mut self.role else {
            return;
        };
        match following.fetching {
            Fetching::Writing(_) | Fetching::Installing(_) => return,
            _ if now >= following.deadline => {
                if may_lead {
                    self.become_prospective(now);
                } else {
                    self.detach(now);
                }
                return;
            }
            Fetching::Asked(since) if now >= since + patience => following.fetching = Fetching::Due(now),
            Fetching::SnapshotAsked(id, position, since) if now >= since + patience => {
                following.fetching = Fetching::SnapshotDue(id, position, now);
            }
            _ => {}
        }
        match following.fetching {
            Fetching::Due(at) if now >= at => {
                following.fetching = Fetching::Asked(now);
                let request = self.fetch_request();
                self.ask_leader(Request::Fetch(request));
            }
            Fetching::SnapshotDue(id, position, at) if now >= at => {
                following.fetching = Fetching::SnapshotAsked(id, position, now);
                let request = FetchSnapshotRequest {
                    epoch: self.epoch,
                    replica: self.node,
                    id,
                    position,
                };
                self.ask_leader(Request::FetchSnapshot(request));
            }
            _ => {}
        }
    }

    fn ask_leader(&mut self, request: Request) {
        if let Some(to) = self.leader {
            self.actions.push(Action::Ask { to, request });
        }
    }

    fn fetch_request(&mut self) -> FetchRequest {
        self.fetch_number += 1;
        FetchRequest {
            number: self.fetch_number,
            epoch: self.epoch,
            replica: self.node,
            offset: self.log.end(),
            last_epoch: self.log.last_epoch(),
            high_watermark: self.high_watermark,
        }
    }

    /// Asks some voter who leads: by a Fetch, whose refusal says it.
    pub(super) fn discover(&mut self, now: Instant) {
        let others: Vec<BrokerId> = self.other_voters().map(|key| key.id).collect();
        let again = now + self.timers.fetch_wait;
        if let Role::Unattached { discover, .. } = &mut self.role {
            *discover = again;
        }
        // Asking acknowledges: not while something is on its way to the disk.
        if self.log.pending_write().is_some() {
            return;
        }
        let lot = self.chance.below(others.len() as u64) as usize;
        if let Some(to) = others.get(lot) {
            let request = Request::Fetch(self.fetch_request());
            self.actions.push(Action::Ask { to: *to, request });
        }
    }

    pub(super) fn fetch_unanswered(&mut self, now: Instant, to: BrokerId) {
        if self.leader != Some(to) {
            return;
        }
        let again = now + self.timers.retry;
        if let Role::Follower(following) = &mut self.role {
            following.fetching = match following.fetching {
                Fetching::Asked(_) => Fetching::Due(again),
                Fetching::SnapshotAsked(id, position, _) => Fetching::SnapshotDue(id, position, again),
                other => other,
            };
        }
    }

    pub(super) fn fetch_answered(
        &mut self,
        now: Instant,
        from: BrokerId,
        request: &FetchRequest,
        response: FetchResponse,
    ) {
        let own = (self.epoch, self.log.end(), self.log.last_epoch());
        let is_current = (request.epoch, request.offset, request.last_epoch) == own
            && request.number == self.fetch_number
            && response.view.epoch == self.epoch
            && self.leader == Some(from);
        let Role::Follower(following) = &mut self.role else {
            return;
        };
        if !is_current || !matches!(following.fetching, Fetching::Asked(_)) {
            return;
        }
        if let FetchOutcome::Refused(refusal) = &response.outcome {
            self.fetch_refused(now, *refusal);
            return;
        }
        following.heard = Some(now);
        following.suspected = false;
        following.deadline = now + self.timers.fetch + self.chance.duration_below(self.timers.fetch / 4);
        following.fetching = Fetching::Due(now);
        match response.outcome {
            FetchOutcome::Records(entries) => self.take_records(entries, response.high_watermark),
            FetchOutcome::Diverging { epoch, end_offset } => self.take_divergence(epoch, end_offset),
            FetchOutcome::Snapshot(id) if id.end_offset >= self.high_watermark => {
                following.fetching = Fetching::SnapshotDue(id, 0, now);
            }
            FetchOutcome::Snapshot(_) | FetchOutcome::Refused(_) => {
                following.fetching = Fetching::Due(now + self.timers.retry);
            }
        }
    }

    fn fetch_refused(&mut self, now: Instant, refusal: Refusal) {
        let again = now + self.timers.retry;
        match (&mut self.role, refusal) {
            // it leads no longer, and says so itself
            (Role::Follower(_), Refusal::NotLeader) => self.detach(now),
            (Role::Follower(following), _) => following.fetching = Fetching::Due(again),
            _ => {}
        }
    }

    fn take_records(&mut self, entries: Vec<Entry>, high_watermark: Offset) {
        let mut expected = (self.log.end(), self.log.last_epoch());
        for entry in &entries {
            let fits = entry.base_offset == expected.0
                && entry.last_offset >= entry.base_offset
                && entry.epoch >= expected.1
                && entry.epoch <= self.epoch;
            if !fits {
                tracing::warn!(
                    offset = entry.base_offset.0,
                    epoch = entry.epoch.0,
                    expected_offset = expected.0.0,
                    expected_epoch = expected.1.0,
                    "the leader sent records that do not fit the log"
                );
                return;
            }
            expected = (entry.last_offset.next(), entry.epoch);
        }
        if !entries.is_empty() {
            let write = self.log.append(&entries);
            self.actions.push(Action::Append { write, entries });
            if let Role::Follower(following) = &mut self.role
                && !planted::is(Bug::FollowerAcksUnsynced)
            {
                following.fetching = Fetching::Writing(write);
            }
        }
        let end = self.log.end();
        self.raise_high_watermark(if planted::is(Bug::HighWatermarkPastEnd) {
            high_watermark
        } else {
            high_watermark.min(end)
        });
    }

    /// The leader's log up to the asked offset is another one: back to where they may agree, and ask again.
    fn take_divergence(&mut self, epoch: ControllerEpoch, end_offset: Offset) {
        let (_, own_end) = self.log.end_of_epoch(epoch);
        let end_offset = end_offset.min(own_end);
        if end_offset < self.high_watermark || end_offset < self.log.start_offset() {
            self.fault(format!(
                "leader {:?} of epoch {} has other records from {end_offset} on, and they are committed up to {}",
                self.leader, self.epoch, self.high_watermark
            ));
            return;
        }
        if end_offset < self.log.end() {
            self.log.truncate(end_offset);
            self.actions.push(Action::Truncate { end_offset });
        }
    }

    pub(super) fn snapshot_answered(
        &mut self,
        now: Instant,
        from: BrokerId,
        request: &FetchSnapshotRequest,
        part: Result<SnapshotPart, Refusal>,
    ) {
        let is_current = request.epoch == self.epoch && self.leader == Some(from);
        let Role::Follower(following) = &mut self.role else {
            return;
        };
        let Fetching::SnapshotAsked(id, position, _) = following.fetching else {
            return;
        };
        if !is_current || (request.id, request.position) != (id, position) {
            return;
        }
        match part {
            Ok(part) if part.id == id && part.position == position => {
                following.heard = Some(now);
                following.suspected = false;
                following.deadline = now + self.timers.fetch;
                let next = position.saturating_add(part.bytes.len() as u64);
                let is_complete = next >= part.size_bytes;
                following.fetching = match part.bytes.is_empty() {
                    _ if is_complete => Fetching::Installing(id),
                    true => Fetching::SnapshotDue(id, next, now + self.timers.retry),
                    false => Fetching::SnapshotDue(id, next, now),
                };
                self.actions.push(Action::StoreSnapshot {
                    id,
                    position,
                    bytes: part.bytes,
                });
                if is_complete {
                    self.actions.push(Action::InstallSnapshot { id });
                }
            }
            // perhaps replaced by a newer one: ask from the beginning which
            Ok(_) => following.fetching = Fetching::Due(now + self.timers.retry),
            Err(Refusal::NotLeader) => self.detach(now),
            Err(_) => following.fetching = Fetching::Due(now + self.timers.retry),
        }
    }

    pub(super) fn snapshot_installed(&mut self, now: Instant, id: SnapshotId, voters: Option<VoterSet>) {
        if id.end_offset < self.high_watermark {
            self.fault(format!(
                "a snapshot of {} was installed, and {} records were committed",
                id.end_offset, self.high_watermark
            ));
            return;
        }
        self.log.replace(id, voters);
        self.raise_high_watermark(id.end_offset);
        if let Role::Follower(following) = &mut self.role {
            following.fetching = Fetching::Due(now);
            following.deadline = now + self.timers.fetch;
        }
    }

    pub(super) fn snapshot_unusable(&mut self, now: Instant, id: SnapshotId) {
        let again = now + self.timers.request;
        if let Role::Follower(following) = &mut self.role
            && following.fetching == Fetching::Installing(id)
        {
            following.fetching = Fetching::Due(again);
            following.deadline = again + self.timers.fetch;
        }
    }

    pub(super) fn written(&mut self, now: Instant, write: u64) {
        self.log.written(write);
        let pending = self.log.pending_write();
        if let Role::Follower(following) = &mut self.role {
            if let (Fetching::Writing(_), None) = (following.fetching, pending) {
                following.fetching = Fetching::Due(now);
                following.deadline =
                    now + self.timers.fetch + self.chance.duration_below(self.timers.fetch / 4);
            }
        } else {
            self.advance_high_watermark(now);
        }
    }

    pub(super) fn raise_high_watermark(&mut self, high_watermark: Offset) {
        self.high_watermark = self.high_watermark.max(high_watermark);
    }
}
