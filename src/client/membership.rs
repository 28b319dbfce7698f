//! A member of a group in the classic protocol: join, sync, heartbeat, commit, leave; range assignor.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest,
    TopicName,
};
use net::ErrorCode;

use super::assignment::{
    TopicPartitions, assign_ranges, decode_assignment, decode_subscription, encode_assignment,
    encode_subscription,
};
use super::{AskError, Cluster, refused, retry, text};

const PROTOCOL_TYPE: &str = "consumer";
const ASSIGNOR: &str = "range";

#[derive(Debug, Clone)]
pub struct MembershipConfig {
    pub group: String,
    pub topics: Vec<String>,
    pub session_timeout: Duration,
    /// Also how long a join may take: others have that time to join, too.
    pub rebalance_timeout: Duration,
}

/// What the group gave a member, until the next rebalance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub generation: i32,
    pub partitions: TopicPartitions,
}

pub struct Membership {
    config: MembershipConfig,
    coordinator: RefCell<Option<i32>>,
    member_id: RefCell<String>,
    generation: RefCell<i32>,
}

impl Membership {
    pub fn new(config: MembershipConfig) -> Membership {
        Membership {
            config,
            coordinator: RefCell::new(None),
            member_id: RefCell::default(),
            generation: RefCell::new(-1),
        }
    }

    fn group(&self) -> GroupId {
        GroupId(text(&self.config.group))
    }

    fn what(&self) -> String {
        format!("group {}", self.config.group)
    }

    async fn coordinator(&self, cluster: &Cluster) -> Result<i32, AskError> {
        let known = *self.coordinator.borrow();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = cluster.coordinator(&self.config.group).await?;
        *self.coordinator.borrow_mut() = Some(found);
        Ok(found)
    }

    /// After an answer that says the coordinator is another one, or a lost connection: look for it again.
    fn judge(&self, code: i16) -> Result<(), AskError> {
        let outcome = refused(self.what(), code, None);
        if outcome.as_ref().is_err_and(AskError::is_retriable) {
            *self.coordinator.borrow_mut() = None;
        }
        if ErrorCode::from_code(code) == ErrorCode::UnknownMemberId {
            self.member_id.borrow_mut().clear();
        }
        outcome
    }

    /// Joins, or joins again after a rebalance began, until there is an assignment.
    pub async fn join(&self, cluster: &Cluster) -> Result<Assignment, AskError> {
        loop {
            let joined = retry(cluster.timeout(), async || self.join_once(cluster).await).await?;
            *self.generation.borrow_mut() = joined.generation_id;
            let assignments = match joined.leader == joined.member_id {
                true => self.assign(cluster, &joined).await?,
                false => Vec::new(),
            };
            match self.sync(cluster, &joined, assignments).await {
                Ok(partitions) => {
                    return Ok(Assignment {
                        generation: joined.generation_id,
                        partitions,
                    });
                }
                Err(error) if calls_for_rejoin(&error) => continue,
                Err(error) => return Err(error),
            }
        }
    }

    async fn join_once(&self, cluster: &Cluster) -> Result<JoinGroupResponse, AskError> {
        let coordinator = self.coordinator(cluster).await?;
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text(ASSIGNOR))
            .with_metadata(encode_subscription(&self.config.topics));
        loop {
            let member_id = self.member_id.borrow().clone();
            let request = JoinGroupRequest::default()
                .with_group_id(self.group())
                .with_session_timeout_ms(self.config.session_timeout.as_millis() as i32)
                .with_rebalance_timeout_ms(self.config.rebalance_timeout.as_millis() as i32)
                .with_member_id(text(&member_id))
                .with_protocol_type(text(PROTOCOL_TYPE))
                .with_protocols(vec![protocol.clone()]);
            let answer = self.ask(cluster.ask_broker(coordinator, &request).await)?;
            if ErrorCode::from_code(answer.error_code) == ErrorCode::MemberIdRequired {
                // the first answer only gives the id to join with (KIP-394)
                *self.member_id.borrow_mut() = answer.member_id.to_string();
                continue;
            }
            if ErrorCode::from_code(answer.error_code) == ErrorCode::UnknownMemberId && !member_id.is_empty()
            {
                self.member_id.borrow_mut().clear();
                continue;
            }
            self.judge(answer.error_code)?;
            *self.member_id.borrow_mut() = answer.member_id.to_string();
            return Ok(answer);
        }
    }

    /// The leader's work: partitions of all subscribed topics to all members.
    async fn assign(
        &self,
        cluster: &Cluster,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, AskError> {
        let mut members = Vec::new();
        let mut counts = BTreeMap::new();
        for member in &joined.members {
            let topics = decode_subscription(&member.metadata).unwrap_or_default();
            for topic in &topics {
                if !counts.contains_key(topic) {
                    let count = cluster
                        .topic(topic)
                        .await
                        .map_or(0, |topic| topic.partitions.len() as i32);
                    counts.insert(topic.clone(), count);
                }
            }
            members.push((member.member_id.to_string(), topics));
        }
        let assigned = assign_ranges(&members, &counts);
        let assignment = |(member, partitions): (String, TopicPartitions)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(&member))
                .with_assignment(encode_assignment(&partitions))
        };
        Ok(assigned.into_iter().map(assignment).collect())
    }

    async fn sync(
        &self,
        cluster: &Cluster,
        joined: &JoinGroupResponse,
        assignments: Vec<SyncGroupRequestAssignment>,
    ) -> Result<TopicPartitions, AskError> {
        let coordinator = self.coordinator(cluster).await?;
        let request = SyncGroupRequest::default()
            .with_group_id(self.group())
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_protocol_type(Some(text(PROTOCOL_TYPE)))
            .with_protocol_name(Some(text(ASSIGNOR)))
            .with_assignments(assignments);
        let answer = self.ask(cluster.ask_broker(coordinator, &request).await)?;
        self.judge(answer.error_code)?;
        let assignment: Bytes = answer.assignment;
        decode_assignment(&assignment).map_err(|error| AskError::Incomplete {
            what: "SyncGroup",
            lacks: format!("an assignment that can be read ({error})"),
        })
    }

    /// Whether the member may go on; `false` when it must join again.
    pub async fn heartbeat(&self, cluster: &Cluster) -> Result<bool, AskError> {
        let coordinator = self.coordinator(cluster).await?;
        let request = HeartbeatRequest::default()
            .with_group_id(self.group())
            .with_generation_id(*self.generation.borrow())
            .with_member_id(text(&self.member_id.borrow()));
        let answer = self.ask(cluster.ask_broker(coordinator, &request).await)?;
        rejoins(self.judge(answer.error_code))
    }

    /// Commits positions; `false` when a rebalance took them away.
    pub async fn commit(
        &self,
        cluster: &Cluster,
        offsets: &BTreeMap<(String, i32), i64>,
    ) -> Result<bool, AskError> {
        if offsets.is_empty() {
            return Ok(true);
        }
        let committed = retry(cluster.timeout(), async || {
            self.commit_once(cluster, offsets).await
        })
        .await;
        rejoins(committed)
    }

    async fn commit_once(
        &self,
        cluster: &Cluster,
        offsets: &BTreeMap<(String, i32), i64>,
    ) -> Result<(), AskError> {
        let coordinator = self.coordinator(cluster).await?;
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group())
            .with_generation_id_or_member_epoch(*self.generation.borrow())
            .with_member_id(text(&self.member_id.borrow()))
            .with_retention_time_ms(-1)
            .with_topics(commit_topics(offsets));
        let answer = self.ask(cluster.ask_broker(coordinator, &request).await)?;
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            self.judge(partition.error_code)?;
        }
        Ok(())
    }

    /// Leaves, so that the others need not wait for the session to end.
    pub async fn leave(&self, cluster: &Cluster) -> Result<(), AskError> {
        let member_id = self.member_id.borrow().clone();
        if member_id.is_empty() {
            return Ok(());
        }
        let coordinator = self.coordinator(cluster).await?;
        let version = cluster
            .broker(coordinator)
            .await?
            .version_of::<LeaveGroupRequest>()?;
        let request = LeaveGroupRequest::default().with_group_id(self.group());
        // one member up to v2, a list from v3 on
        let request = match version {
            0..=2 => request.with_member_id(text(&member_id)),
            _ => request.with_members(vec![MemberIdentity::default().with_member_id(text(&member_id))]),
        };
        let answer = cluster.ask_broker(coordinator, &request).await?;
        refused(self.what(), answer.error_code, None)
    }

    fn ask<T>(&self, answer: Result<T, AskError>) -> Result<T, AskError> {
        if answer.as_ref().is_err_and(AskError::is_lost_connection) {
            *self.coordinator.borrow_mut() = None;
        }
        answer
    }
}

/// Offsets by topic, as a commit takes them.
pub fn commit_topics(offsets: &BTreeMap<(String, i32), i64>) -> Vec<OffsetCommitRequestTopic> {
    let mut by_topic: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, partition), offset) in offsets {
        let committed = OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text("")));
        by_topic.entry(topic).or_default().push(committed);
    }
    let topic = |(name, partitions)| {
        OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(name)))
            .with_partitions(partitions)
    };
    by_topic.into_iter().map(topic).collect()
}

fn calls_for_rejoin(error: &AskError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId)
    )
}

fn rejoins(outcome: Result<(), AskError>) -> Result<bool, AskError> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if calls_for_rejoin(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
