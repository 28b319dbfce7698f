//! One replica of the metadata log.

use std::time::Duration;

use engine::types::Offset;
use reactor::Instant;

use super::event::{Action, Event, NoAnswer, RequestId};
use super::log_view::LogView;
use super::message::{LeaderView, Request, Response};
use super::planted::{self, Bug};
use super::replica::ReplicaKey;
use super::role::{Fetching, Role};
use super::timers::Timers;
use super::voters::{VoterHistory, VoterSet};
use crate::config::Endpoint;
use crate::record::{BrokerId, ControllerEpoch};
use crate::store::SnapshotId;
use reactor::Chance;

#[derive(Clone, Debug)]
pub struct CoreConfig {
    pub node: ReplicaKey,
    /// The voters until the log names some.
    pub voters: VoterSet,
    pub timers: Timers,
    pub seed: u64,
}

/// What must survive a crash: without it a replica could vote twice in one epoch. Kafka keeps the same in `quorum-state`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElectionState {
    pub epoch: ControllerEpoch,
    pub leader: Option<BrokerId>,
    pub voted: Option<ReplicaKey>,
}

/// The log as it was found on the disk; all of it is durable.
#[derive(Clone, Debug, Default)]
pub struct StartingLog {
    /// Where it can be read from, and the epoch of the record before.
    pub start: SnapshotId,
    pub snapshot: Option<SnapshotId>,
    /// First offset of each epoch.
    pub epochs: Vec<(ControllerEpoch, Offset)>,
    pub end: Offset,
    /// Of the snapshot, then of the log behind it.
    pub snapshot_voters: Option<VoterSet>,
    pub voters: Vec<(Offset, VoterSet)>,
}

/// Holds: a leader's `leader` is itself and its `epoch` the last one of its log; a follower has a leader, which is not
/// itself; `high_watermark <= log.end()` and never goes back.
#[derive(Clone, Debug)]
pub struct Core {
    pub(super) node: ReplicaKey,
    pub(super) timers: Timers,
    pub(super) chance: Chance,
    pub(super) epoch: ControllerEpoch,
    pub(super) voted: Option<ReplicaKey>,
    pub(super) leader: Option<BrokerId>,
    pub(super) leader_endpoint: Option<Endpoint>,
    pub(super) log: LogView,
    pub(super) high_watermark: Offset,
    pub(super) role: Role,
    /// Fetches sent.
    pub(super) fetch_number: u64,
    /// What the step does.
    pub(super) actions: Vec<Action>,
    /// The election state is to be written down before the actions.
    pub(super) dirty: bool,
}

impl Core {
    pub fn new(now: Instant, config: CoreConfig, state: ElectionState, log: StartingLog) -> Core {
        let mut voters = VoterHistory::new(config.voters, log.snapshot_voters);
        for (offset, set) in log.voters {
            voters.push(offset, set);
        }
        let log = LogView::new(log.start, log.snapshot, log.epochs, log.end, voters);
        // A log that was begun without a quorum has epochs and no election state.
        let known = state.epoch >= log.last_epoch();
        let mut core = Core {
            node: config.node,
            timers: config.timers,
            chance: Chance::new(config.seed),
            epoch: state.epoch.max(log.last_epoch()),
            voted: state.voted.filter(|_| known),
            leader: None,
            leader_endpoint: None,
            high_watermark: log.snapshot().map_or(Offset::ZERO, |id| id.end_offset),
            log,
            role: Role::Resigned { deadline: now },
            fetch_number: 0,
            actions: Vec::new(),
            dirty: false,
        };
        if core.is_sole_voter() {
            core.high_watermark = core.log.end();
        }
        match state.leader.filter(|_| known) {
            // It may have lost what it wrote in that epoch and others have got: it must not write other records there.
            Some(leader) if leader == core.node.id => {
                if planted::is(Bug::LeadsAfterRestart) {
                    core.begin_leading(now, Vec::new());
                } else {
                    core.detach(now);
                }
            }
            Some(leader) => core.follow(now, core.epoch, leader, None),
            None => core.detach(now),
        }
        core.dirty = false;
        core
    }

    /// Takes an event; what to do about it, in this order.
    pub fn step(&mut self, now: Instant, event: Event) -> Vec<Action> {
        match event {
            Event::Tick => {}
            Event::Asked { id, request } => self.asked(now, id, request),
            Event::Answered {
                from,
                request,
                response,
            } => self.answered(now, from, &request, response),
            Event::Unanswered { to, request, why } => self.unanswered(now, to, &request, why),
            Event::Written { write } => self.written(now, write),
            Event::SnapshotWritten { id, log_start } => {
                if self.log.snapshot().is_none_or(|known| known < id) {
                    self.log.snapshot = Some(id);
                }
                self.log.forget_behind(log_start.min(self.high_watermark));
            }
            Event::SnapshotInstalled { id, voters } => self.snapshot_installed(now, id, voters),
            Event::SnapshotUnusable { id } => self.snapshot_unusable(now, id),
            Event::Suspect(epoch) => self.suspect(now, epoch),
            Event::Resign(epoch) => {
                if epoch == self.epoch && self.is_leader() {
                    self.resign(now);
                }
            }
            Event::Change { id, change } => self.change_voters(now, id, change),
        }
        self.tick(now);
        self.finish()
    }

    pub(super) fn finish(&mut self) -> Vec<Action> {
        let mut actions = std::mem::take(&mut self.actions);
        if std::mem::take(&mut self.dirty) {
            actions.insert(0, Action::Persist(self.election_state()));
        }
        actions
    }

    fn asked(&mut self, now: Instant, id: RequestId, request: Request) {
        match request {
            Request::Vote(request) => self.handle_vote(now, id, &request),
            Request::BeginQuorumEpoch(request) => self.handle_begin_epoch(now, id, request),
            Request::EndQuorumEpoch(request) => self.handle_end_epoch(now, id, &request),
            Request::Fetch(request) => self.handle_fetch(now, id, request),
            Request::FetchSnapshot(request) => self.handle_fetch_snapshot(now, id, &request),
        }
    }

    #[allow(
        clippy::collapsible_match,
        reason = "adopting changes the state: no guard should"
    )]
    fn answered(&mut self, now: Instant, from: BrokerId, request: &Request, response: Response) {
        let view = response.view().clone();
        match (request, response) {
            (Request::Vote(request), Response::Vote(response)) => {
                if !self.adopt(now, &view) {
                    self.vote_answered(now, from, request, &response);
                }
            }
            (Request::Fetch(request), Response::Fetch(response)) => {
                if !self.adopt(now, &view) {
                    self.fetch_answered(now, from, request, response);
                }
            }
            (Request::FetchSnapshot(request), Response::FetchSnapshot(response)) => {
                if !self.adopt(now, &view) {
                    self.snapshot_answered(now, from, request, response.part);
                }
            }
            (Request::BeginQuorumEpoch(_), Response::BeginQuorumEpoch(_))
            | (Request::EndQuorumEpoch(_), Response::EndQuorumEpoch(_)) => {
                self.adopt(now, &view);
            }
            // an answer to something else
            _ => {}
        }
    }

    fn unanswered(&mut self, now: Instant, to: BrokerId, request: &Request, why: NoAnswer) {
        let is_leader = self.leader == Some(to);
        match request {
            Request::Vote(request) => self.vote_unanswered(to, request),
            Request::Fetch(_) | Request::FetchSnapshot(_) => self.fetch_unanswered(now, to),
            Request::BeginQuorumEpoch(_) | Request::EndQuorumEpoch(_) => {}
        }
        if is_leader && why == NoAnswer::Refused {
            self.suspect(now, self.epoch);
        }
    }

    fn tick(&mut self, now: Instant) {
        match &self.role {
            Role::Unattached { deadline, discover } => {
                let (deadline, discover) = (*deadline, *discover);
                if now >= deadline && self.may_lead() {
                    self.become_prospective(now);
                } else if now >= discover {
                    self.discover(now);
                }
            }
            Role::Follower(_) => self.tick_follower(now),
            Role::Prospective(campaign) if now >= campaign.deadline => self.campaign_lost(now),
            Role::Candidate(campaign) if now >= campaign.deadline => self.campaign_lost(now),
            Role::Prospective(_) | Role::Candidate(_) => {}
            Role::Leader(_) => self.tick_leader(now),
            Role::Resigned { deadline } if now >= *deadline => self.detach(now),
            Role::Resigned { .. } => {}
        }
    }

    /// When [`Event::Tick`] is due, if nothing else happens before.
    pub fn next_deadline(&self) -> Instant {
        match &self.role {
            Role::Unattached { deadline, discover } if self.may_lead() => *deadline.min(discover),
            Role::Unattached { discover, .. } => *discover,
            Role::Follower(following) => match following.fetching {
                Fetching::Due(at) | Fetching::SnapshotDue(_, _, at) => at.min(following.deadline),
                Fetching::Asked(since) | Fetching::SnapshotAsked(_, _, since) => {
                    (since + self.timers.fetch_wait + self.timers.request).min(following.deadline)
                }
                // the disk's turn; the leader is not to blame
                Fetching::Writing(_) | Fetching::Installing(_) => Instant::from_nanos(u64::MAX),
            },
            Role::Prospective(campaign) | Role::Candidate(campaign) => campaign.deadline,
            Role::Leader(leading) => leading.next_deadline(),
            Role::Resigned { deadline } => *deadline,
        }
    }

    /// Takes note of a leader or an epoch that the sender of a message knows and this one does not. Whether that changed what
    /// this replica is: the rest of the message is about the past then.
    pub(super) fn adopt(&mut self, now: Instant, view: &LeaderView) -> bool {
        let other = view.leader.filter(|leader| *leader != self.node.id);
        let endpoint = view.endpoint.clone();
        if view.epoch > self.epoch {
            match other {
                Some(leader) => self.follow(now, view.epoch, leader, endpoint),
                None => self.enter_epoch(now, view.epoch),
            }
            return true;
        }
        match other {
            Some(leader) if view.epoch == self.epoch && self.leader.is_none() => {
                self.follow(now, view.epoch, leader, endpoint);
                true
            }
            _ => false,
        }
    }

    /// Enters a greater epoch, whose leader is not known.
    pub(super) fn enter_epoch(&mut self, now: Instant, epoch: ControllerEpoch) {
        debug_assert!(epoch > self.epoch);
        self.leave_role();
        self.epoch = epoch;
        self.voted = None;
        self.leader = None;
        self.leader_endpoint = None;
        self.dirty = true;
        self.detach(now);
    }

    /// Waits for a leader of this epoch, or for its own turn.
    pub(super) fn detach(&mut self, now: Instant) {
        self.leave_role();
        if self.leader.take().is_some() {
            self.dirty = true;
        }
        self.leader_endpoint = None;
        let wait = match self.is_sole_voter() {
            true => Duration::ZERO,
            false => self.timers.election + self.chance.duration_below(self.timers.election),
        };
        self.role = Role::Unattached {
            deadline: now + wait,
            discover: now,
        };
    }

    /// Whatever is on its disk is committed, and nobody else will ever lead.
    fn is_sole_voter(&self) -> bool {
        self.voters().len() == 1 && self.is_voter()
    }

    /// The view of the leadership that goes with every answer.
    pub(super) fn view(&self) -> LeaderView {
        let leader = self.leader;
        let endpoint = leader.and_then(|id| self.endpoint_of(id));
        LeaderView {
            epoch: self.epoch,
            leader,
            endpoint,
        }
    }

    pub(super) fn election_state(&self) -> ElectionState {
        ElectionState {
            epoch: self.epoch,
            leader: self.leader,
            voted: self.voted,
        }
    }

    pub(super) fn fault(&mut self, what: String) {
        if cfg!(not(feature = "planted-bugs")) {
            debug_assert!(false, "{what}");
        }
        self.actions.push(Action::Fault(what));
    }

    pub fn node(&self) -> ReplicaKey {
        self.node
    }

    pub fn epoch(&self) -> ControllerEpoch {
        self.epoch
    }

    /// The leader of this epoch, if it is known.
    pub fn leader(&self) -> Option<BrokerId> {
        self.leader
    }

    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    pub fn log(&self) -> &LogView {
        &self.log
    }

    /// Everything below is in the log for ever, and the same everywhere.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    pub fn voters(&self) -> &VoterSet {
        self.log.voters.latest()
    }

    /// Whether the voters are in the log and may be changed: `kraft.version` 1.
    pub fn is_dynamic(&self) -> bool {
        self.log.voters.is_dynamic()
    }

    pub fn is_voter(&self) -> bool {
        self.voters().contains(&self.node)
    }

    /// Whether it takes part in elections. A leader that has removed itself, and died before a majority of the others had that,
    /// has to lead once more: they get no leader without its log.
    pub fn may_lead(&self) -> bool {
        self.log.voters.may_be_voter(&self.node, self.high_watermark)
    }

    /// Where a replica's control thread is reached, by the voters and by what its messages said.
    pub fn endpoint_of(&self, id: BrokerId) -> Option<Endpoint> {
        let learned = self.leader_endpoint.clone().filter(|_| self.leader == Some(id));
        let listed = || self.voters().get(id).map(|voter| voter.endpoint.clone());
        let first = || {
            self.log
                .voters
                .up_front()
                .get(id)
                .map(|voter| voter.endpoint.clone())
        };
        learned.or_else(listed).or_else(first)
    }
}
