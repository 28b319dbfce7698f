//! Elections: who may vote for whom.

use std::collections::BTreeSet;

use reactor::Instant;

use super::core::Core;
use super::event::{Action, RequestId};
use super::message::{
    BeginQuorumEpoch, EndQuorumEpoch, PlainResponse, Refusal, Request, Response, VoteRequest, VoteResponse,
};
use super::planted::{self, Bug};
use super::replica::ReplicaKey;
use super::role::{Campaign, Role};
use crate::record::{BrokerId, ControllerEpoch};

impl Core {
    pub(super) fn handle_vote(&mut self, now: Instant, id: RequestId, request: &VoteRequest) {
        // Neither the candidate nor this replica needs to be a voter by this replica's log: it may be behind.
        let result = if request.voter.is_some_and(|voter| !voter.matches(&self.node)) {
            Err(Refusal::InvalidVoterKey)
        } else if request.epoch < self.epoch {
            Err(Refusal::FencedLeaderEpoch)
        } else {
            if request.epoch > self.epoch {
                self.enter_epoch(now, request.epoch);
            }
            Ok(self.decide_vote(now, request))
        };
        let response = VoteResponse {
            view: self.view(),
            refusal: result.err(),
            granted: result.unwrap_or(false),
        };
        self.answer(id, Response::Vote(response));
    }

    fn decide_vote(&mut self, now: Instant, request: &VoteRequest) -> bool {
        let own = (self.log.last_epoch(), self.log.end());
        let up_to_date = (request.last_epoch, request.end_offset) >= own || planted::is(Bug::LogNotCompared);
        let granted = up_to_date
            && if request.pre_vote {
                self.would_replace_leader(now)
            } else {
                self.may_vote(request.candidate)
            };
        if !granted {
            return false;
        }
        if !request.pre_vote && self.voted != Some(request.candidate) {
            self.voted = Some(request.candidate);
            self.dirty |= !planted::is(Bug::VoteNotPersisted);
        }
        self.give_way(now);
        true
    }

    /// Whether an election is in order, by what this replica hears of the leader.
    fn would_replace_leader(&self, now: Instant) -> bool {
        match &self.role {
            Role::Leader(_) => false,
            Role::Follower(following) => {
                following.suspected
                    || following
                        .heard
                        .is_none_or(|heard| now.saturating_since(heard) >= self.timers.fetch)
            }
            Role::Unattached { .. } | Role::Prospective(_) | Role::Candidate(_) | Role::Resigned { .. } => {
                true
            }
        }
    }

    fn may_vote(&self, candidate: ReplicaKey) -> bool {
        match self.voted {
            Some(voted) => voted == candidate || planted::is(Bug::VotesTwice),
            None => self.leader.is_none(),
        }
    }

    /// Gives somebody else's election the time it takes.
    fn give_way(&mut self, now: Instant) {
        let later = now + self.timers.election + self.chance.duration_below(self.timers.election);
        match &mut self.role {
            Role::Unattached { deadline, .. } | Role::Resigned { deadline } => {
                *deadline = later.max(*deadline)
            }
            Role::Follower(following) => following.deadline = later,
            Role::Prospective(campaign) => campaign.deadline = later,
            Role::Candidate(_) | Role::Leader(_) => {}
        }
    }

    /// Asks for votes before the epoch is left: who would not get them does no harm.
    pub(super) fn become_prospective(&mut self, now: Instant) {
        self.leave_role();
        self.role = Role::Prospective(self.campaign(now));
        self.ask_for_votes(true);
        self.count_votes(now);
    }

    fn become_candidate(&mut self, now: Instant) {
        let Some(epoch) = self.epoch.0.checked_add(1) else {
            self.fault("there is no epoch after the last one".to_owned());
            return;
        };
        self.leave_role();
        self.epoch = ControllerEpoch(epoch);
        self.leader = None;
        self.leader_endpoint = None;
        self.voted = Some(self.node);
        self.dirty = true;
        self.role = Role::Candidate(self.campaign(now));
        self.ask_for_votes(false);
        self.count_votes(now);
    }

    fn campaign(&mut self, now: Instant) -> Campaign {
        Campaign {
            deadline: now + self.timers.election + self.chance.duration_below(self.timers.election),
            granted: BTreeSet::from([self.node.id]),
            refused: BTreeSet::new(),
        }
    }

    fn ask_for_votes(&mut self, pre_vote: bool) {
        let others: Vec<ReplicaKey> = self.other_voters().collect();
        for voter in others {
            let request = Request::Vote(VoteRequest {
                epoch: self.epoch,
                candidate: self.node,
                voter: Some(voter),
                last_epoch: self.log.last_epoch(),
                end_offset: self.log.end(),
                pre_vote,
            });
            self.actions.push(Action::Ask {
                to: voter.id,
                request,
            });
        }
    }

    pub(super) fn vote_answered(
        &mut self,
        now: Instant,
        from: BrokerId,
        request: &VoteRequest,
        response: &VoteResponse,
    ) {
        if request.epoch != self.epoch || response.view.epoch != self.epoch {
            return;
        }
        let campaign = match &mut self.role {
            Role::Prospective(campaign) if request.pre_vote => campaign,
            Role::Candidate(campaign) if !request.pre_vote => campaign,
            _ => return,
        };
        if response.granted || planted::is(Bug::UngrantedVoteCounts) {
            campaign.refused.remove(&from);
            campaign.granted.insert(from);
        } else if !campaign.granted.contains(&from) {
            campaign.refused.insert(from);
        }
        self.count_votes(now);
    }

    pub(super) fn vote_unanswered(&mut self, to: BrokerId, request: &VoteRequest) {
        // Not a refusal: asked once more, it may answer before the election is over.
        let is_current = request.epoch == self.epoch
            && match &self.role {
                Role::Prospective(_) => request.pre_vote,
                Role::Candidate(_) => !request.pre_vote,
                _ => false,
            };
        tracing::debug!(voter = to.0, is_current, "no answer to a request for a vote");
    }

    fn count_votes(&mut self, now: Instant) {
        let voters = self.voters();
        let (campaign, is_candidate) = match &self.role {
            Role::Prospective(campaign) => (campaign, false),
            Role::Candidate(campaign) => (campaign, true),
            _ => return,
        };
        let count = |ids: &BTreeSet<BrokerId>| voters.ids().filter(|id| ids.contains(id)).count();
        let granted = count(&campaign.granted);
        let possible = voters.len() - count(&campaign.refused);
        if granted >= voters.majority() {
            if is_candidate {
                let granting = campaign.granted.iter().copied().collect();
                self.begin_leading(now, granting);
            } else {
                self.become_candidate(now);
            }
        } else if possible < voters.majority() {
            self.campaign_lost(now);
        }
    }

    /// Back to the leader whom others still hear; else another try, some time later.
    pub(super) fn campaign_lost(&mut self, now: Instant) {
        match (&self.role, self.leader) {
            (Role::Prospective(_), Some(leader)) => {
                let endpoint = self.leader_endpoint.clone();
                self.follow(now, self.epoch, leader, endpoint);
            }
            _ => self.detach(now),
        }
    }

    /// The host knows that the leader's process is gone.
    pub(super) fn suspect(&mut self, now: Instant, epoch: ControllerEpoch) {
        if epoch != self.epoch {
            return;
        }
        let soon = now + self.chance.duration_below(self.timers.hold_off);
        if let Role::Follower(following) = &mut self.role
            && !following.suspected
        {
            following.suspected = true;
            following.deadline = following.deadline.min(soon);
        }
    }

    pub(super) fn handle_begin_epoch(&mut self, now: Instant, id: RequestId, request: BeginQuorumEpoch) {
        let refusal = if request.voter.is_some_and(|voter| !voter.matches(&self.node)) {
            Some(Refusal::InvalidVoterKey)
        } else if request.epoch < self.epoch {
            Some(Refusal::FencedLeaderEpoch)
        } else if request.leader == self.node.id {
            Some(Refusal::InvalidRequest)
        } else if request.epoch == self.epoch && self.leader.is_some_and(|leader| leader != request.leader) {
            // two leaders of one epoch, if it is true
            Some(Refusal::InvalidRequest)
        } else {
            match &mut self.role {
                Role::Follower(following) if request.epoch == self.epoch => {
                    following.suspected = false;
                }
                _ => self.follow(now, request.epoch, request.leader, request.endpoint),
            }
            None
        };
        let response = PlainResponse {
            view: self.view(),
            refusal,
        };
        self.answer(id, Response::BeginQuorumEpoch(response));
    }

    pub(super) fn handle_end_epoch(&mut self, now: Instant, id: RequestId, request: &EndQuorumEpoch) {
        let refusal = if request.epoch < self.epoch {
            Some(Refusal::FencedLeaderEpoch)
        } else if request.leader == self.node.id {
            Some(Refusal::InvalidRequest)
        } else {
            if request.epoch > self.epoch {
                self.enter_epoch(now, request.epoch);
            } else if self.leader == Some(request.leader) {
                self.detach(now);
            }
            self.take_turn(now, &request.successors);
            None
        };
        let response = PlainResponse {
            view: self.view(),
            refusal,
        };
        self.answer(id, Response::EndQuorumEpoch(response));
    }

    /// The first successor at once, the others when those before have had their time.
    fn take_turn(&mut self, now: Instant, successors: &[ReplicaKey]) {
        let node = self.node;
        let Some(place) = successors.iter().position(|key| key.matches(&node)) else {
            return;
        };
        let Role::Unattached { deadline, .. } = &mut self.role else {
            return;
        };
        let places = u32::try_from(place).unwrap_or(u32::MAX);
        *deadline = (*deadline).min(now + self.timers.hold_off.saturating_mul(places));
    }

    pub(super) fn other_voters(&self) -> impl Iterator<Item = ReplicaKey> {
        let own = self.node.id;
        self.voters()
            .iter()
            .map(|voter| voter.key)
            .filter(move |key| key.id != own)
    }

    pub(super) fn answer(&mut self, id: RequestId, response: Response) {
        self.actions.push(Action::Answer { id, response });
    }
}
