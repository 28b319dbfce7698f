//! One partition's next state: from what is wanted of its ISR and replicas to the record that says so.
//!
//! Every change of a partition goes through here, so the rules hold whoever asks (KIP-966, KIP-455, KIP-704):
//! 1. A reassignment whose target replicas are all in sync is finished.
//! 2. While the ISR is smaller than `min.insync.replicas`, the high watermark stands still; who leaves the ISR then has everything
//!    that was acknowledged, and is an *eligible leader replica*. With enough in sync there are none.
//! 3. A leader is chosen: who leads now, if it may; the first replica of the ISR; where that is empty, of the eligible ones;
//!    where they are none too, the last leader there was; and only if asked for, any live replica. The last two may
//!    lose records: the ISR is then the new leader alone, which has to recover before others join it.
//! 4. Naming a leader counts the leader epoch up; that a replica was taken away does too, so that its fetches are refused.
//!
//! A partition's only replica never leaves the ISR: nobody else has or will have the records, so being eligible could tell
//! nothing that its place in the ISR does not.

use engine::planted::{self, Bug};
use uuid::Uuid;

use super::directories::DirectoryChoice;
use crate::image::{ClusterImage, LeaderRecovery, PartitionImage};
use crate::record::{
    BrokerId, DirectoryId, LEADER_UNCHANGED, NO_LEADER, PartitionChangeRecord, PartitionId,
    RECOVERY_STATE_UNCHANGED,
};

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Election {
    /// The first replica, if it may lead; else as [`Election::Online`].
    Preferred,
    /// Whoever leads goes on if it may.
    Online,
    /// As [`Election::Online`], and any live replica where that finds none.
    Unclean,
}

impl Election {
    /// Of a topic that does or does not allow unclean elections.
    pub(super) fn of_topic(unclean_election: bool) -> Self {
        if unclean_election {
            Election::Unclean
        } else {
            Election::Online
        }
    }
}

/// A change while it is put together. What is not set stays.
pub(super) struct PartitionChange<'a> {
    topic_id: Uuid,
    id: PartitionId,
    before: &'a PartitionImage,
    /// `min.insync.replicas` of the topic.
    min_insync_replicas: usize,
    pub(super) election: Election,
    pub(super) isr: Vec<BrokerId>,
    pub(super) replicas: Vec<BrokerId>,
    pub(super) removing: Vec<BrokerId>,
    pub(super) adding: Vec<BrokerId>,
    pub(super) recovery: LeaderRecovery,
    /// Its log may have lost records: it is eligible for nothing.
    pub(super) unclean: Option<BrokerId>,
}

/// Who leads next.
struct Elected {
    leader: Option<BrokerId>,
    may_lose_records: bool,
}

impl<'a> PartitionChange<'a> {
    pub(super) fn new(
        topic_id: Uuid,
        id: PartitionId,
        before: &'a PartitionImage,
        min_insync_replicas: usize,
    ) -> Self {
        PartitionChange {
            topic_id,
            id,
            before,
            min_insync_replicas,
            election: Election::Online,
            isr: before.isr.clone(),
            replicas: before.replicas.clone(),
            removing: before.removing_replicas.clone(),
            adding: before.adding_replicas.clone(),
            recovery: before.leader_recovery,
            unclean: None,
        }
    }

    /// The record, or `None` where nothing changes. `may_lead` says whether a broker is alive and has the partition's directory;
    /// whether it has the records is judged here.
    pub(super) fn build(
        mut self,
        image: &ClusterImage,
        choice: &mut DirectoryChoice,
        may_lead: impl Fn(BrokerId) -> bool,
    ) -> Option<PartitionChangeRecord> {
        let before = self.before;
        self.finish_reassignment();
        if self.isr.is_empty() && self.replicas.len() == 1 && before.isr == self.replicas {
            self.isr.clone_from(&before.isr);
        }
        let mut eligible = self.eligible();
        let elected = self.elect(&eligible, &may_lead);
        if let Some(leader) = elected.leader {
            if elected.may_lose_records {
                self.isr = vec![leader];
                eligible.clear();
                if self.replicas.len() > 1 {
                    self.recovery = LeaderRecovery::Recovering;
                }
            } else if self.isr.is_empty() {
                self.isr = vec![leader];
                eligible.retain(|replica| *replica != leader);
            }
            if self.isr.len() >= self.required() {
                eligible.clear();
            }
        }
        let last_known = self.last_known_leader(elected.leader);

        let unless_same =
            |after: Vec<BrokerId>, before: &[BrokerId]| (after.as_slice() != before).then_some(after);
        let is_replica_taken_away = before
            .replicas
            .iter()
            .any(|replica| !self.replicas.contains(replica));
        let names_leader =
            elected.leader != before.leader || (is_replica_taken_away && elected.leader.is_some());
        let directories = self.directories(image, choice);
        let record = PartitionChangeRecord {
            topic_id: self.topic_id,
            partition_id: self.id,
            leader: if names_leader {
                elected.leader.unwrap_or(NO_LEADER)
            } else {
                LEADER_UNCHANGED
            },
            leader_recovery_state: if self.recovery == before.leader_recovery {
                RECOVERY_STATE_UNCHANGED
            } else {
                self.recovery.to_wire()
            },
            isr: unless_same(self.isr, &before.isr),
            replicas: unless_same(self.replicas, &before.replicas),
            removing_replicas: unless_same(self.removing, &before.removing_replicas),
            adding_replicas: unless_same(self.adding, &before.adding_replicas),
            eligible_leader_replicas: unless_same(eligible, &before.eligible_leader_replicas),
            last_known_elr: unless_same(last_known, &before.last_known_elr),
            directories,
            ..PartitionChangeRecord::default()
        };
        let nothing = PartitionChangeRecord {
            topic_id: self.topic_id,
            partition_id: self.id,
            ..PartitionChangeRecord::default()
        };
        (record != nothing).then_some(record)
    }

    fn finish_reassignment(&mut self) {
        if self.removing.is_empty() && self.adding.is_empty() {
            return;
        }
        let without_removed = |brokers: &[BrokerId]| -> Vec<BrokerId> {
            let stays = |broker: &&BrokerId| !self.removing.contains(broker);
            brokers.iter().filter(stays).copied().collect()
        };
        let (isr, replicas) = (without_removed(&self.isr), without_removed(&self.replicas));
        let is_in_sync = replicas.iter().all(|replica| isr.contains(replica));
        if replicas.is_empty() || !is_in_sync {
            return;
        }
        self.isr = isr;
        self.replicas = replicas;
        self.removing.clear();
        self.adding.clear();
    }

    /// In-sync replicas without which the high watermark stands still.
    fn required(&self) -> usize {
        self.min_insync_replicas.min(self.replicas.len())
    }

    fn eligible(&self) -> Vec<BrokerId> {
        if self.isr.len() >= self.required() {
            return Vec::new();
        }
        let before = self.before;
        let mut eligible = before.eligible_leader_replicas.clone();
        for member in &before.isr {
            if !eligible.contains(member) {
                eligible.push(*member);
            }
        }
        let is_taken_away =
            |replica: &BrokerId| before.replicas.contains(replica) && !self.replicas.contains(replica);
        eligible.retain(|replica| {
            !self.isr.contains(replica) && self.unclean != Some(*replica) && !is_taken_away(replica)
        });
        eligible
    }

    fn elect(&self, eligible: &[BrokerId], may_lead: &impl Fn(BrokerId) -> bool) -> Elected {
        let has_records = |replica: BrokerId| {
            planted::is(Bug::UncleanElection)
                || self.isr.contains(&replica)
                || self.isr.is_empty() && eligible.contains(&replica)
        };
        let is_fit = |replica: &BrokerId| has_records(*replica) && may_lead(*replica);
        let safely = |leader: BrokerId| Elected {
            leader: Some(leader),
            may_lose_records: false,
        };
        let replicas = self.replicas.iter().copied();
        let preferred = match self.election {
            Election::Preferred => self.replicas.first().copied(),
            Election::Online | Election::Unclean => None,
        };
        let in_order = preferred.into_iter().chain(self.before.leader).chain(replicas);
        if let Some(leader) = in_order.into_iter().find(is_fit) {
            return safely(leader);
        }
        let leader = self.last_leader(eligible).filter(|last| may_lead(*last));
        let leader = leader.or_else(|| match self.election {
            Election::Unclean => self.replicas.iter().copied().find(|replica| may_lead(*replica)),
            Election::Preferred | Election::Online => None,
        });
        Elected {
            leader,
            may_lose_records: true,
        }
    }

    /// The last leader, where it is all that is left to go by.
    fn last_leader(&self, eligible: &[BrokerId]) -> Option<BrokerId> {
        match self.before.last_known_elr.as_slice() {
            [last] if self.isr.is_empty() && eligible.is_empty() && self.replicas.contains(last) => {
                Some(*last)
            }
            _ => None,
        }
    }

    /// Remembered from when the ISR becomes empty until somebody leads again.
    fn last_known_leader(&self, leader: Option<BrokerId>) -> Vec<BrokerId> {
        if leader.is_some() {
            return Vec::new();
        }
        match self.before.leader {
            Some(last) if self.isr.is_empty() && self.replicas.contains(&last) => vec![last],
            _ => self.before.last_known_elr.clone(),
        }
    }

    /// Where the replicas lie, if the record has to say so: a new one gets a directory, the others keep theirs.
    fn directories(&self, image: &ClusterImage, choice: &mut DirectoryChoice) -> Option<Vec<DirectoryId>> {
        let is_new = |replica: &BrokerId| !self.before.replicas.contains(replica);
        if !self.replicas.iter().any(is_new) {
            return None;
        }
        let directories = self.replicas.iter().map(|replica| {
            let present = self.before.directory_of(*replica);
            present.unwrap_or_else(|| choice.choose(image, *replica))
        });
        Some(directories.collect())
    }
}

#[cfg(test)]
#[path = "partition_change_tests.rs"]
mod tests;
