//! One classic group: who is in it, which generation, which state.
//!
//! Volatile but for what [`Group::to_record`] writes down. The methods keep the counts true and answer nobody:
//! whoever takes a member out gets its parked requests to answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use engine::types::Timestamp;

use super::error::ErrorCode;
use super::member::Member;
use super::record::GroupMetadataValue;
use super::request::JoinGroupProtocol;
use super::shard::Token;
use super::subscription::add_subscribed_topics;

pub(super) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// States of a classic group, by Kafka's names.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members; maybe offsets.
    Empty,
    /// Waiting for members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    Stable,
    /// Its end is on the way to the log.
    Dead,
}

impl GroupState {
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Invariants: `awaiting_join_count` members have a parked join; `static_members` and the members' instance ids say
/// the same; `leader` is a member, or none when there are none; `pending_syncs` are members; `pending_joins` are not.
pub(super) struct Group {
    pub(super) id: Arc<str>,
    state: GroupState,
    previous_state: GroupState,
    /// When the state began; absent in the oldest records.
    pub(super) state_since: Option<Timestamp>,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol_name: Option<String>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    static_members: BTreeMap<String, Arc<str>>,
    /// Member ids given out (MEMBER_ID_REQUIRED) that have not come back yet.
    pub(super) pending_joins: BTreeSet<Arc<str>>,
    /// Members of this generation that have not asked for their assignment yet.
    pub(super) pending_syncs: BTreeSet<Arc<str>>,
    /// How many members support a protocol.
    supported_protocols: BTreeMap<String, usize>,
    awaiting_join_count: usize,
    /// Somebody joined since the first rebalance last looked.
    pub(super) new_member_added: bool,
    /// Known for consumer groups whose subscriptions could be read.
    subscribed_topics: Option<BTreeSet<String>>,
    /// What is left of the first rebalance's waiting: (this wait, after this wait), in milliseconds.
    pub(super) initial_delay: Option<(i64, i64)>,
    /// The generation whose assignment is on the way to the log.
    pub(super) assignment_in_flight: Option<i32>,
    /// A record of this group is in the log or on the way: its end needs a tombstone.
    pub(super) logged: bool,
}

impl Group {
    pub(super) fn new(id: Arc<str>, now: Timestamp) -> Group {
        Group {
            id,
            state: GroupState::Empty,
            previous_state: GroupState::Dead,
            state_since: Some(now),
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            supported_protocols: BTreeMap::new(),
            awaiting_join_count: 0,
            new_member_added: false,
            subscribed_topics: None,
            initial_delay: None,
            assignment_in_flight: None,
            logged: false,
        }
    }

    pub(super) fn from_record(id: Arc<str>, value: GroupMetadataValue) -> Group {
        let mut group = Group::new(id, Timestamp(0));
        group.logged = true;
        group.state_since = value.current_state_timestamp;
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type).filter(|t| !t.is_empty());
        group.protocol_name = value.protocol;
        for record in value.members {
            let id: Arc<str> = record.member_id.as_str().into();
            let member = Member::from_record(record, group.protocol_name.as_deref());
            // a record that names an instance or a member twice is damaged: the first one stands
            let twice = group.members.contains_key(&id)
                || member
                    .group_instance_id
                    .as_ref()
                    .is_some_and(|i| group.static_members.contains_key(i));
            if !twice {
                group.add(id, member);
            }
        }
        if let Some(leader) = value.leader.and_then(|l| group.members.get_key_value(l.as_str())) {
            group.leader = Some(leader.0.clone());
        }
        if !group.members.is_empty() {
            group.state = GroupState::Stable;
        }
        group.subscribed_topics = group.compute_subscribed_topics();
        group
    }

    /// The record of this generation. `assignments` speaks for the members it names, the others get nothing.
    pub(super) fn to_record(&self, assignments: &BTreeMap<Arc<str>, Bytes>) -> GroupMetadataValue {
        GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol_name.clone(),
            leader: self.leader.as_deref().map(str::to_owned),
            current_state_timestamp: self.state_since,
            members: self
                .members
                .iter()
                .map(|(id, member)| {
                    let assignment = assignments.get(id).cloned().unwrap_or_default();
                    member.to_record(id, self.protocol_name.as_deref(), assignment)
                })
                .collect(),
        }
    }

    pub(super) fn state(&self) -> GroupState {
        self.state
    }

    pub(super) fn previous_state(&self) -> GroupState {
        self.previous_state
    }

    pub(super) fn transition_to(&mut self, state: GroupState, now: Timestamp) {
        use GroupState::*;
        debug_assert!(
            matches!(
                (self.state, state),
                (_, Dead)
                    | (PreparingRebalance, Empty | CompletingRebalance)
                    | (Empty | Stable | CompletingRebalance, PreparingRebalance)
                    | (CompletingRebalance, Stable)
            ),
            "group {} cannot go from {} to {state}",
            self.id,
            self.state
        );
        self.previous_state = self.state;
        self.state = state;
        self.state_since = Some(now);
    }

    /// Takes back a transition to `Dead` whose records never came to the log.
    pub(super) fn revive(&mut self) {
        if self.state == GroupState::Dead {
            self.state = GroupState::Empty;
        }
    }

    pub(super) fn can_rebalance(&self) -> bool {
        matches!(
            self.state,
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable
        )
    }

    pub(super) fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    // members

    pub(super) fn members(&self) -> &BTreeMap<Arc<str>, Member> {
        &self.members
    }

    /// For what the group does not count: assignments, timeouts, parked syncs.
    pub(super) fn members_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut Member)> {
        self.members.iter_mut()
    }

    pub(super) fn member(&self, member_id: &str) -> Option<&Member> {
        self.members.get(member_id)
    }

    pub(super) fn member_mut(&mut self, member_id: &str) -> Option<&mut Member> {
        self.members.get_mut(member_id)
    }

    pub(super) fn member_key(&self, member_id: &str) -> Option<Arc<str>> {
        self.members.get_key_value(member_id).map(|(id, _)| id.clone())
    }

    pub(super) fn has_member(&self, member_id: &str) -> bool {
        self.members.contains_key(member_id)
    }

    pub(super) fn static_member_id(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.static_members.get(instance_id)
    }

    pub(super) fn leader(&self) -> Option<&Arc<str>> {
        self.leader.as_ref()
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(super) fn awaiting_join_count(&self) -> usize {
        self.awaiting_join_count
    }

    /// Everybody known is waiting for the next generation, and nobody is on the way back with a new member id.
    pub(super) fn has_all_members_joined(&self) -> bool {
        self.members.len() == self.awaiting_join_count && self.pending_joins.is_empty()
    }

    /// The most patient member decides how long a rebalance may take.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        self.members
            .values()
            .map(|m| i64::from(m.rebalance_timeout_ms))
            .max()
            .unwrap_or(0)
    }

    /// The first member gives the group its protocol type and leads it.
    pub(super) fn add(&mut self, member_id: Arc<str>, member: Member) {
        debug_assert!(!self.members.contains_key(&member_id));
        if let Some(instance_id) = &member.group_instance_id {
            self.static_members.insert(instance_id.clone(), member_id.clone());
        }
        self.pending_joins.remove(&member_id);
        self.leader.get_or_insert_with(|| member_id.clone());
        self.count_protocols(&member.protocols, 1);
        self.awaiting_join_count += usize::from(member.awaiting_join.is_some());
        self.members.insert(member_id, member);
    }

    /// Takes the member out; its parked requests are the caller's to answer.
    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
        let member = self.members.remove(member_id)?;
        self.count_protocols(&member.protocols, -1);
        self.awaiting_join_count -= usize::from(member.awaiting_join.is_some());
        if let Some(instance_id) = &member.group_instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// A static member comes back under a new member id and takes over role, assignment and session; what its old
    /// self had parked is the caller's to answer.
    pub(super) fn replace_static_member(
        &mut self,
        old_member_id: &str,
        new_member_id: Arc<str>,
    ) -> (Option<Token>, Option<Token>) {
        let leads = self.is_leader(old_member_id);
        let Some(mut member) = self.remove(old_member_id) else {
            return (None, None);
        };
        let parked = (member.awaiting_join.take(), member.awaiting_sync.take());
        member.is_new = false;
        self.add(new_member_id.clone(), member);
        if leads {
            self.leader = Some(new_member_id);
        }
        parked
    }

    pub(super) fn update_member(
        &mut self,
        member_id: &str,
        protocols: Vec<JoinGroupProtocol>,
        rebalance_timeout_ms: i32,
        session_timeout_ms: i32,
    ) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        member.rebalance_timeout_ms = rebalance_timeout_ms;
        member.session_timeout_ms = session_timeout_ms;
        let before = std::mem::replace(&mut member.protocols, protocols.clone());
        self.count_protocols(&before, -1);
        self.count_protocols(&protocols, 1);
    }

    /// Parks a JoinGroup; one that was parked before is returned, to be answered.
    pub(super) fn park_join(&mut self, member_id: &str, token: Token) -> Option<Token> {
        let member = self.members.get_mut(member_id)?;
        let before = member.awaiting_join.replace(token);
        self.awaiting_join_count += usize::from(before.is_none());
        before
    }

    pub(super) fn unpark_join(&mut self, member_id: &str) -> Option<Token> {
        let token = self.members.get_mut(member_id)?.awaiting_join.take()?;
        self.awaiting_join_count -= 1;
        Some(token)
    }

    /// Makes a member that is here the leader. False when no member is.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let joined = |id: &Arc<str>| self.members.get(id).is_some_and(|m| m.awaiting_join.is_some());
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        match self.members.iter().find(|(_, m)| m.awaiting_join.is_some()) {
            Some((id, _)) => {
                self.leader = Some(id.clone());
                true
            }
            None => false,
        }
    }

    /// Whether this member may speak for itself: known, and not fenced by a newer owner of its instance id.
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(owner) if &**owner != member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.has_member(member_id) {
            Ok(())
        } else {
            Err(ErrorCode::UNKNOWN_MEMBER_ID)
        }
    }

    // protocols

    fn count_protocols(&mut self, protocols: &[JoinGroupProtocol], change: isize) {
        for protocol in protocols {
            let count = self.supported_protocols.get(&protocol.name).copied().unwrap_or(0);
            match count.saturating_add_signed(change) {
                0 => drop(self.supported_protocols.remove(&protocol.name)),
                count => drop(self.supported_protocols.insert(protocol.name.clone(), count)),
            }
        }
    }

    fn is_supported_by_all(&self, protocol: &str) -> bool {
        self.supported_protocols.get(protocol).copied().unwrap_or(0) == self.members.len()
    }

    /// Whether a member with these protocols leaves the group with one that all share.
    pub(super) fn supports_protocols(&self, protocol_type: &str, protocols: &[JoinGroupProtocol]) -> bool {
        match self.state {
            GroupState::Empty => !protocol_type.is_empty() && !protocols.is_empty(),
            _ => {
                self.protocol_type.as_deref() == Some(protocol_type)
                    && protocols.iter().any(|p| self.is_supported_by_all(&p.name))
            }
        }
    }

    /// Each member votes for its first choice among those all support; most votes win, and of equals the one the
    /// leader would rather have.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(choice) = member
                .protocols
                .iter()
                .find(|p| self.is_supported_by_all(&p.name))
            {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        let leader = self.members.get(self.leader.as_ref()?)?;
        let mut best: Option<(&str, usize)> = None;
        for protocol in &leader.protocols {
            let count = votes.get(protocol.name.as_str()).copied().unwrap_or(0);
            if count > best.map_or(0, |(_, most)| most) {
                best = Some((&protocol.name, count));
            }
        }
        best.map(|(name, _)| name.to_owned())
    }

    /// Counts the generation up and enters the state that goes with having members or not.
    pub(super) fn init_next_generation(&mut self, now: Timestamp) {
        // two thousand million rebalances later the count starts again; Kafka's would turn negative
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.pending_syncs.clear();
        if self.members.is_empty() {
            self.protocol_name = None;
            self.transition_to(GroupState::Empty, now);
        } else {
            self.protocol_name = self.select_protocol();
            self.transition_to(GroupState::CompletingRebalance, now);
        }
        self.subscribed_topics = self.compute_subscribed_topics();
    }

    // subscriptions

    fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.is_consumer_group() {
            return None;
        }
        let mut topics = BTreeSet::new();
        if self.members.is_empty() {
            return Some(topics);
        }
        let protocol = self.protocol_name.as_deref()?;
        let all_read = self.members.values().all(|member| {
            member
                .metadata(protocol)
                .is_some_and(|metadata| add_subscribed_topics(metadata, &mut topics))
        });
        all_read.then_some(topics)
    }

    pub(super) fn knows_subscribed_topics(&self) -> bool {
        self.subscribed_topics.is_some()
    }

    /// A consumer group whose subscriptions cannot be read might be subscribed to anything.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer_group(),
        }
    }

    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let parked = self
            .members
            .values()
            .filter(|m| m.awaiting_join.is_some())
            .count();
        assert_eq!(parked, self.awaiting_join_count, "{}", self.id);
        assert_eq!(self.leader.is_none(), self.members.is_empty(), "{}", self.id);
        assert!(self.leader.as_ref().is_none_or(|l| self.members.contains_key(l)));
        assert!(self.pending_syncs.iter().all(|m| self.members.contains_key(m)));
        assert!(self.pending_joins.iter().all(|m| !self.members.contains_key(m)));
        let instances: BTreeMap<_, _> = self
            .members
            .iter()
            .filter_map(|(id, m)| m.group_instance_id.clone().map(|i| (i, id.clone())))
            .collect();
        assert_eq!(instances, self.static_members);
        if matches!(self.state, GroupState::Stable | GroupState::CompletingRebalance) {
            assert!(
                !self.members.is_empty() && self.protocol_name.is_some(),
                "{} {}",
                self.id,
                self.state
            );
        }
        if matches!(self.state, GroupState::Empty | GroupState::Dead) {
            assert!(self.members.is_empty(), "{} {}", self.id, self.state);
        }
    }
}
