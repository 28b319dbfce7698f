//! Changes of the voters, one at a time (KIP-853).
//!
//! Two majorities of sets that differ by one voter have a voter in common; of sets that differ by two they may not. So the
//! next change waits until the last one is committed, and the first one until the leader has committed a record of its
//! own epoch: an earlier leader's change that it does not know of is void from then on.

use engine::types::Offset;
use reactor::Instant;

use super::admin::{AddVoter, ChangeError, RemoveVoter, UpdateVoter, VoterChange};
use super::core::Core;
use super::entry::{ControlRecord, Entry};
use super::event::{Action, RequestId};
use super::planted::{self, Bug};
use super::role::Role;
use super::voters::{Voter, VoterSet};

/// `kraft.version` of a quorum whose voters are in the log.
const DYNAMIC_VERSION: i16 = 1;

#[derive(Clone, Debug)]
pub(super) struct PendingChange {
    id: RequestId,
    stage: Stage,
    pub(super) deadline: Instant,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The voter to be has to have everything below the offset: the quorum would stand still until it has.
    CatchUp(Voter, Offset),
    /// The voters' record is at the offset.
    Commit(Offset),
}

impl Core {
    pub(super) fn change_voters(&mut self, now: Instant, id: RequestId, change: VoterChange) {
        let started = match self.is_ready_for_change() {
            Ok(()) => match change {
                VoterChange::Add(add) => self.add_voter(add),
                VoterChange::Remove(remove) => self.remove_voter(&remove),
                VoterChange::Update(update) => self.update_voter(update),
            },
            Err(error) => Err(error),
        };
        match started {
            Ok(stage) => {
                let deadline = now + self.timers.change;
                if let Role::Leader(leading) = &mut self.role {
                    leading.change = Some(PendingChange { id, stage, deadline });
                }
                self.catch_up_reached(now);
                // a quorum of one has it as soon as it is written; of none other when it is committed
                self.advance_high_watermark(now);
            }
            Err(error) => self.answer_change(id, Err(error)),
        }
    }

    fn is_ready_for_change(&self) -> Result<(), ChangeError> {
        let Role::Leader(leading) = &self.role else {
            return Err(ChangeError::NotLeader);
        };
        let has_committed =
            self.high_watermark > leading.epoch_start || planted::is(Bug::ChangeBeforeFirstCommit);
        let is_settled = self
            .log
            .voters
            .latest_offset()
            .is_none_or(|offset| offset < self.high_watermark);
        let is_free = (leading.change.is_none() && is_settled) || planted::is(Bug::OverlappingChanges);
        if has_committed && is_free {
            Ok(())
        } else {
            Err(ChangeError::NotReady)
        }
    }

    fn add_voter(&mut self, AddVoter { voter }: AddVoter) -> Result<Stage, ChangeError> {
        if self.voters().get(voter.key.id).is_some() {
            return Err(ChangeError::Duplicate(voter.key));
        }
        if self.voters().is_full() {
            return Err(ChangeError::TooMany);
        }
        Ok(Stage::CatchUp(voter, self.log.end()))
    }

    fn remove_voter(&mut self, RemoveVoter { key }: &RemoveVoter) -> Result<Stage, ChangeError> {
        if !self.voters().contains(key) {
            return Err(ChangeError::NotFound(*key));
        }
        if self.voters().len() == 1 {
            return Err(ChangeError::LastVoter(key.id));
        }
        let voters = self.voters().without(key.id);
        Ok(self.append_voters(voters))
    }

    fn update_voter(&mut self, UpdateVoter { voter }: UpdateVoter) -> Result<Stage, ChangeError> {
        if !self.voters().contains(&voter.key) {
            return Err(ChangeError::NotFound(voter.key));
        }
        let voters = self.voters().with(voter);
        Ok(self.append_voters(voters))
    }

    fn append_voters(&mut self, voters: VoterSet) -> Stage {
        let voters = voters.with_directories(|id| self.directory_of(id));
        let mut records = Vec::new();
        if !self.is_dynamic() {
            records.push(ControlRecord::KraftVersion(DYNAMIC_VERSION));
        }
        records.push(ControlRecord::Voters(voters));
        let offset = self.log.end();
        self.append_own(Entry::control(offset, self.epoch, records));
        Stage::Commit(offset)
    }

    /// As its requests said.
    fn directory_of(&self, id: crate::record::BrokerId) -> Option<crate::record::DirectoryId> {
        if id == self.node.id {
            return Some(self.node.directory);
        }
        match &self.role {
            Role::Leader(leading) => leading.replicas.get(&id).map(|progress| progress.key.directory),
            _ => None,
        }
    }

    /// Makes the observer a voter once it has what it needs.
    pub(super) fn catch_up_reached(&mut self, now: Instant) {
        let Role::Leader(leading) = &self.role else {
            return;
        };
        let Some(Stage::CatchUp(voter, target)) = leading.change.as_ref().map(|change| &change.stage) else {
            return;
        };
        let is_there = leading.replicas.get(&voter.key.id).is_some_and(|progress| {
            progress.key.matches(&voter.key)
                && progress.durable >= *target
                && now.saturating_since(progress.fetched_at) < self.timers.fetch
        });
        if !is_there {
            return;
        }
        let voters = self.voters().with(voter.clone());
        let stage = self.append_voters(voters);
        if let Role::Leader(leading) = &mut self.role
            && let Some(change) = &mut leading.change
        {
            change.stage = stage;
        }
    }

    /// The high watermark has moved.
    pub(super) fn change_committed(&mut self, now: Instant) {
        let high_watermark = self.high_watermark;
        if let Role::Leader(leading) = &mut self.role
            && let Some(PendingChange {
                id,
                stage: Stage::Commit(offset),
                ..
            }) = leading.change
            && offset < high_watermark
        {
            leading.change = None;
            self.answer_change(id, Ok(()));
        }
        let is_settled = self
            .log
            .voters
            .latest_offset()
            .is_none_or(|offset| offset < high_watermark);
        if self.is_leader() && is_settled && !self.is_voter() {
            tracing::info!(
                epoch = self.epoch.0,
                "this node is not a voter any more; resigning"
            );
            self.resign(now);
        }
    }

    pub(super) fn expire_change(&mut self, now: Instant) {
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        if let Some(change) = leading.change.take_if(|change| change.deadline <= now) {
            let error = match change.stage {
                Stage::CatchUp(voter, _) => ChangeError::Behind(voter.key),
                Stage::Commit(_) => ChangeError::TimedOut,
            };
            self.answer_change(change.id, Err(error));
        }
    }

    pub(super) fn abandon_change(&mut self) {
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        if let Some(change) = leading.change.take() {
            let error = match change.stage {
                Stage::CatchUp(..) => ChangeError::NotLeader,
                // whether it is in force, the next leader knows
                Stage::Commit(_) => ChangeError::TimedOut,
            };
            self.answer_change(change.id, Err(error));
        }
    }

    fn answer_change(&mut self, id: RequestId, result: Result<(), ChangeError>) {
        self.actions.push(Action::AnswerChange { id, result });
    }
}
