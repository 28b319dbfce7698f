//! Records that were decided and are not durable yet, in the order of the log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use engine::types::ProducerId;

use super::per_partition::PerPartition;
use super::record::Record;
use super::request::JoinGroupProtocol;
use super::response::Response;
use super::shard::{Ticket, Token};

/// What happens when the records are durable, or are known not to become so.
pub(super) enum Then {
    Nothing,
    Answer {
        token: Token,
        response: Response,
    },
    /// The leader's assignment takes effect.
    Assign {
        group: Arc<str>,
        generation: i32,
        assignments: BTreeMap<Arc<str>, Bytes>,
    },
    /// A static member came back without a rebalance.
    KeepStatic(Box<StaticReplacement>),
}

pub(super) struct StaticReplacement {
    pub(super) group: Arc<str>,
    pub(super) generation: i32,
    pub(super) token: Token,
    pub(super) new_member_id: Arc<str>,
    pub(super) api_version: i16,
    /// The leader before the replacement: what versions below 9 are told.
    pub(super) leader_before: String,
    // to go back to, should the record not be written
    pub(super) old_member_id: Arc<str>,
    pub(super) old_protocols: Vec<JoinGroupProtocol>,
    pub(super) old_rebalance_timeout_ms: i32,
    pub(super) old_session_timeout_ms: i32,
}

pub(super) struct Pending {
    pub(super) ticket: Ticket,
    pub(super) producer: Option<ProducerId>,
    pub(super) records: Vec<Record>,
    pub(super) then: Then,
}

/// Invariants: tickets grow; `offsets_in_flight` counts the offset records of all pending appends by partition.
#[derive(Default)]
pub(super) struct Appends {
    pending: VecDeque<Pending>,
    offsets_in_flight: PerPartition<u32>,
    last_ticket: u64,
}

impl Appends {
    pub(super) fn push(&mut self, producer: Option<ProducerId>, records: Vec<Record>, then: Then) -> Ticket {
        for record in &records {
            let Record::OffsetCommit { key, .. } = record else {
                continue;
            };
            match self
                .offsets_in_flight
                .get_mut(&key.group, &key.topic, key.partition)
            {
                Some(count) => *count += 1,
                None => drop(
                    self.offsets_in_flight
                        .insert(&key.group, &key.topic, key.partition, 1),
                ),
            }
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.pending.push_back(Pending {
            ticket,
            producer,
            records,
            then,
        });
        ticket
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// The oldest append, if it is covered by `up_to`.
    pub(super) fn pop_committed(&mut self, up_to: Ticket) -> Option<Pending> {
        if self.pending.front()?.ticket > up_to {
            return None;
        }
        let pending = self.pending.pop_front()?;
        self.landed(&pending);
        Some(pending)
    }

    /// The one append that failed.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Pending> {
        let at = self.position(ticket)?;
        let pending = self.pending.remove(at)?;
        self.landed(&pending);
        Some(pending)
    }

    /// What waits for the append; afterwards nothing does.
    pub(super) fn take_then(&mut self, ticket: Ticket) -> Option<Then> {
        let at = self.position(ticket)?;
        Some(std::mem::replace(
            &mut self.pending.get_mut(at)?.then,
            Then::Nothing,
        ))
    }

    /// Makes an answer wait for an append nothing else waits for.
    pub(super) fn answer_after(&mut self, ticket: Ticket, token: Token, response: Response) {
        if let Some(pending) = self.position(ticket).and_then(|at| self.pending.get_mut(at)) {
            debug_assert!(matches!(pending.then, Then::Nothing));
            pending.then = Then::Answer { token, response };
        }
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Pending> {
        self.offsets_in_flight = PerPartition::default();
        std::mem::take(&mut self.pending).into_iter()
    }

    pub(super) fn has_offset_in_flight(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.offsets_in_flight.get(group, topic, partition).is_some()
    }

    pub(super) fn has_offsets_in_flight(&self, group: &str) -> bool {
        self.offsets_in_flight.contains_group(group)
    }

    pub(super) fn partitions_in_flight(&self, group: &str) -> BTreeSet<(String, i32)> {
        self.offsets_in_flight
            .of_group(group)
            .map(|(topic, p, _)| (topic.to_owned(), p))
            .collect()
    }

    pub(super) fn offsets_in_flight(&self) -> impl Iterator<Item = (&str, &str, i32)> {
        self.offsets_in_flight
            .iter()
            .map(|(group, topic, p, _)| (group, topic, p))
    }

    fn position(&self, ticket: Ticket) -> Option<usize> {
        let at = self.pending.partition_point(|p| p.ticket < ticket);
        self.pending.get(at).filter(|p| p.ticket == ticket).map(|_| at)
    }

    fn landed(&mut self, pending: &Pending) {
        for record in &pending.records {
            let Record::OffsetCommit { key, .. } = record else {
                continue;
            };
            match self
                .offsets_in_flight
                .get_mut(&key.group, &key.topic, key.partition)
            {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(
                    self.offsets_in_flight
                        .remove(&key.group, &key.topic, key.partition),
                ),
            }
        }
    }
}
