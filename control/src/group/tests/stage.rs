//! The host of a story: it keeps the log, commits what it is given and moves the clock.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use uuid::Uuid;

use crate::group::record::{EncodedRecord, Record};
use crate::group::request::*;
use crate::group::response::*;
use crate::group::*;

/// What the host does with appends.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Commits {
    AtOnce,
    /// When the story says so.
    Later,
}

pub(super) struct Stage {
    pub(super) shard: GroupShard,
    pub(super) config: GroupConfig,
    pub(super) commits: Commits,
    pub(super) version: i16,
    pub(super) now_ms: u64,
    /// Of every member that joins.
    pub(super) session_timeout_ms: i32,
    /// What is in the log, durable or not, by append.
    pub(super) log: Vec<(Ticket, Option<ProducerId>, Vec<EncodedRecord>)>,
    /// How many of those appends are durable for certain.
    pub(super) committed_count: usize,
    answers: BTreeMap<Token, Response>,
    asked: u64,
    performed: u64,
    uuids: u128,
}

/// Wall clock at the start of a story.
const EPOCH_MS: i64 = 1_700_000_000_000;

impl Stage {
    pub(super) fn new() -> Stage {
        Stage::with(GroupConfig {
            initial_rebalance_delay_ms: 0,
            ..GroupConfig::default()
        })
    }

    pub(super) fn with(config: GroupConfig) -> Stage {
        let mut stage = Stage {
            shard: GroupShard::new(config.clone()),
            config,
            commits: Commits::AtOnce,
            version: 9,
            now_ms: 1_000,
            session_timeout_ms: 10_000,
            log: Vec::new(),
            committed_count: 0,
            answers: BTreeMap::new(),
            asked: 0,
            performed: 0,
            uuids: 0,
        };
        stage.shard.loaded(stage.now());
        stage
    }

    pub(super) fn now(&self) -> Now {
        Now {
            monotonic: MonotonicMs(self.now_ms),
            wall: Timestamp(EPOCH_MS + self.now_ms as i64),
        }
    }

    // the host's part

    pub(super) fn ask(&mut self, request: Request) -> Token {
        self.asked += 1;
        let token = Token(self.asked);
        let context = RequestContext {
            api_version: self.version,
            client_id: "client".into(),
            client_host: "/10.0.0.1".into(),
        };
        self.handle(Event::Request {
            token,
            context,
            request,
        });
        token
    }

    pub(super) fn handle(&mut self, event: Event) {
        self.shard.handle(self.now(), event);
        self.perform();
    }

    fn perform(&mut self) {
        loop {
            let mut last = None;
            while let Some(action) = self.shard.poll_action() {
                match action {
                    Action::Respond { token, response } => {
                        let twice = self.answers.insert(token, response);
                        assert!(twice.is_none(), "{token:?} answered twice");
                    }
                    Action::Append {
                        ticket,
                        producer,
                        records,
                    } => {
                        assert!(self.log.last().is_none_or(|(t, ..)| *t < ticket), "tickets grow");
                        self.log.push((ticket, producer.map(|(id, _)| id), records));
                        last = Some(ticket);
                    }
                }
            }
            // why not always: with a thousand members that would be most of the test's time
            self.performed += 1;
            if self.shard.size() < 50 || self.performed.is_multiple_of(97) {
                self.shard.assert_invariants();
            }
            match last {
                Some(up_to) if self.commits == Commits::AtOnce => {
                    self.shard.handle(self.now(), Event::Committed { up_to });
                }
                _ => return,
            }
        }
    }

    /// Everything appended is committed.
    pub(super) fn commit(&mut self) {
        if let Some((up_to, ..)) = self.log.last() {
            let up_to = *up_to;
            self.committed_count = self.log.len();
            self.handle(Event::Committed { up_to });
        }
    }

    /// The last append is refused.
    pub(super) fn fail_append(&mut self, failure: AppendFailure) {
        let (ticket, ..) = self.log.pop().expect("something appended");
        self.handle(Event::AppendFailed { ticket, failure });
    }

    /// Time passes; everything due in it is done when it is due.
    pub(super) fn advance(&mut self, ms: u64) {
        let target = self.now_ms + ms;
        let mut ticks = 0;
        while let Some(deadline) = self.shard.next_deadline().filter(|d| d.0 <= target) {
            self.now_ms = self.now_ms.max(deadline.0);
            self.handle(Event::Tick);
            ticks += 1;
            assert!(ticks < 1_000_000, "a timer that is always due");
        }
        self.now_ms = target;
        self.handle(Event::Tick);
    }

    /// The coordinator is gone; another one is made from the log.
    pub(super) fn restart(&mut self) {
        self.shard = GroupShard::new(self.config.clone());
        for (_, producer, records) in &self.log {
            for record in records {
                let record = Record::decode(&record.key, record.value.as_deref()).expect("we wrote it");
                self.shard.replay(*producer, record);
            }
        }
        self.shard.loaded(self.now());
        self.log.iter_mut().for_each(|(ticket, ..)| *ticket = Ticket(0));
        self.perform();
    }

    pub(super) fn answer(&self, token: Token) -> Option<&Response> {
        self.answers.get(&token)
    }

    pub(super) fn is_parked(&self, token: Token) -> bool {
        !self.answers.contains_key(&token)
    }

    // the clients' part

    pub(super) fn join_request(&mut self, member_id: &str) -> JoinGroupRequest {
        self.uuids += 1;
        JoinGroupRequest {
            group_id: "g".into(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: 60_000,
            member_id: member_id.into(),
            group_instance_id: None,
            protocol_type: "consumer".into(),
            protocols: vec![protocol("range", &["orders"])],
            reason: None,
            member_uuid: Uuid::from_u128(self.uuids),
        }
    }

    pub(super) fn join_with(&mut self, member_id: &str, edit: impl FnOnce(&mut JoinGroupRequest)) -> Token {
        let mut request = self.join_request(member_id);
        edit(&mut request);
        self.ask(Request::JoinGroup(request))
    }

    pub(super) fn join(&mut self, member_id: &str) -> Token {
        self.join_with(member_id, |_| {})
    }

    /// A dynamic member's first step: the member id it is to come back with.
    pub(super) fn new_member_id(&mut self) -> String {
        let token = self.join("");
        let answer = self.joined(token);
        assert_eq!(answer.error_code, ErrorCode::MEMBER_ID_REQUIRED);
        answer.member_id
    }

    /// A dynamic member, parked in its JoinGroup.
    pub(super) fn newcomer(&mut self) -> (String, Token) {
        let id = self.new_member_id();
        let token = self.join(&id);
        (id, token)
    }

    /// A static member's first JoinGroup.
    pub(super) fn join_static(&mut self, instance_id: &str, member_id: &str) -> Token {
        self.join_with(member_id, |r| r.group_instance_id = Some(instance_id.into()))
    }

    pub(super) fn joined(&self, token: Token) -> JoinGroupResponse {
        match self.answer(token) {
            Some(Response::JoinGroup(answer)) => answer.clone(),
            other => panic!("{token:?}: {other:?}"),
        }
    }

    pub(super) fn join_error(&self, token: Token) -> ErrorCode {
        self.joined(token).error_code
    }

    pub(super) fn sync_with(
        &mut self,
        member_id: &str,
        generation_id: i32,
        assignments: &[(&str, &str)],
        edit: impl FnOnce(&mut SyncGroupRequest),
    ) -> Token {
        let mut request = SyncGroupRequest {
            group_id: "g".into(),
            generation_id,
            member_id: member_id.into(),
            group_instance_id: None,
            protocol_type: None,
            protocol_name: None,
            assignments: assignments
                .iter()
                .map(|(id, a)| SyncGroupAssignment {
                    member_id: (*id).into(),
                    assignment: Bytes::copy_from_slice(a.as_bytes()),
                })
                .collect(),
        };
        edit(&mut request);
        self.ask(Request::SyncGroup(request))
    }

    pub(super) fn sync(&mut self, member_id: &str, generation: i32, assignments: &[(&str, &str)]) -> Token {
        self.sync_with(member_id, generation, assignments, |_| {})
    }

    pub(super) fn synced(&self, token: Token) -> Result<String, ErrorCode> {
        match self.answer(token) {
            Some(Response::SyncGroup(answer)) if answer.error_code.is_error() => Err(answer.error_code),
            Some(Response::SyncGroup(answer)) => Ok(String::from_utf8(answer.assignment.to_vec()).unwrap()),
            other => panic!("{token:?}: {other:?}"),
        }
    }

    pub(super) fn heartbeat(&mut self, member_id: &str, generation_id: i32) -> ErrorCode {
        self.heartbeat_of(member_id, generation_id, None)
    }

    pub(super) fn heartbeat_of(
        &mut self,
        member_id: &str,
        generation_id: i32,
        instance: Option<&str>,
    ) -> ErrorCode {
        let token = self.ask(Request::Heartbeat(HeartbeatRequest {
            group_id: "g".into(),
            generation_id,
            member_id: member_id.into(),
            group_instance_id: instance.map(Into::into),
        }));
        match self.answer(token) {
            Some(Response::Heartbeat(answer)) => answer.error_code,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Token {
        self.ask(Request::LeaveGroup(LeaveGroupRequest {
            group_id: "g".into(),
            members: members
                .iter()
                .map(|(id, instance)| MemberIdentity {
                    member_id: (*id).into(),
                    group_instance_id: instance.map(Into::into),
                    reason: None,
                })
                .collect(),
        }))
    }

    pub(super) fn left(&self, token: Token) -> LeaveGroupResponse {
        match self.answer(token) {
            Some(Response::LeaveGroup(answer)) => answer.clone(),
            other => panic!("{token:?}: {other:?}"),
        }
    }

    pub(super) fn commit_request(
        &self,
        member_id: &str,
        generation_id: i32,
        offset: i64,
    ) -> OffsetCommitRequest {
        OffsetCommitRequest {
            group_id: "g".into(),
            generation_id,
            member_id: member_id.into(),
            group_instance_id: None,
            retention_time_ms: -1,
            topics: commit_topics("orders", 0, offset),
        }
    }

    pub(super) fn commit_offset(&mut self, member_id: &str, generation_id: i32, offset: i64) -> Token {
        let request = self.commit_request(member_id, generation_id, offset);
        self.ask(Request::OffsetCommit(request))
    }

    /// The error of the one partition committed.
    pub(super) fn committed(&self, token: Token) -> ErrorCode {
        match self.answer(token) {
            Some(Response::OffsetCommit(a) | Response::TxnOffsetCommit(a)) => {
                a.topics[0].partitions[0].error_code
            }
            other => panic!("{token:?}: {other:?}"),
        }
    }

    pub(super) fn commit_in_transaction(&mut self, producer: i64, generation_id: i32, offset: i64) -> Token {
        self.ask(Request::TxnOffsetCommit(TxnOffsetCommitRequest {
            group_id: "g".into(),
            producer_id: ProducerId(producer),
            producer_epoch: ProducerEpoch(0),
            generation_id,
            member_id: String::new(),
            group_instance_id: None,
            topics: commit_topics("orders", 0, offset),
        }))
    }

    pub(super) fn fetch(&mut self, require_stable: bool) -> OffsetFetchResponsePartition {
        let topic = OffsetFetchTopic {
            name: "orders".into(),
            topic_id: None,
            partition_indexes: vec![0],
        };
        let answer = self.fetch_topics(Some(vec![topic]), require_stable);
        answer.topics[0].partitions[0].clone()
    }

    pub(super) fn fetched(&mut self) -> i64 {
        self.fetch(false).committed_offset.0
    }

    pub(super) fn fetch_topics(
        &mut self,
        topics: Option<Vec<OffsetFetchTopic>>,
        require_stable: bool,
    ) -> OffsetFetchResponse {
        let request = OffsetFetchRequest {
            group_id: "g".into(),
            topics,
            require_stable,
        };
        let token = self.ask(Request::OffsetFetch(request));
        match self.answer(token) {
            Some(Response::OffsetFetch(answer)) => answer.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn describe(&mut self) -> DescribedGroup {
        let token = self.ask(Request::DescribeGroups(DescribeGroupsRequest {
            groups: vec!["g".into()],
        }));
        match self.answer(token) {
            Some(Response::DescribeGroups(answer)) => answer.groups[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn state(&mut self) -> String {
        self.describe().group_state
    }

    /// A stable group of `count` dynamic members: their ids, the leader first, and the generation. Member `n` is
    /// assigned `p<n>`.
    pub(super) fn stable_group(&mut self, count: usize) -> (Vec<String>, i32) {
        let mut members: Vec<(String, Token)> = Vec::new();
        for _ in 0..count {
            members.push(self.newcomer());
            for (id, token) in members.clone() {
                if !self.is_parked(token) && self.joined(token).generation_id > 0 {
                    let again = self.join(&id);
                    let at = members.iter().position(|(m, _)| *m == id).unwrap();
                    members[at].1 = again;
                }
            }
        }
        self.advance(self.config.initial_rebalance_delay_ms as u64);
        let generation = self.joined(members[0].1).generation_id;
        let leader = self.joined(members[0].1).leader;
        members.sort_by_key(|(id, _)| *id != leader);
        let ids: Vec<String> = members.into_iter().map(|(id, _)| id).collect();
        self.share_out(&ids, generation);
        (ids, generation)
    }

    /// Everybody syncs, the leader (first) last.
    pub(super) fn share_out(&mut self, ids: &[String], generation: i32) {
        let names: Vec<String> = (0..ids.len()).map(|n| format!("p{n}")).collect();
        let shares: Vec<(&str, &str)> = ids
            .iter()
            .map(String::as_str)
            .zip(names.iter().map(String::as_str))
            .collect();
        let followers: Vec<Token> = ids[1..].iter().map(|id| self.sync(id, generation, &[])).collect();
        let leader = self.sync(&ids[0], generation, &shares);
        assert_eq!(self.synced(leader), Ok("p0".into()));
        for (n, token) in followers.into_iter().enumerate() {
            assert_eq!(self.synced(token), Ok(format!("p{}", n + 1)));
        }
    }
}

pub(super) fn commit_topics(topic: &str, partition: i32, offset: i64) -> Vec<OffsetCommitTopic> {
    vec![OffsetCommitTopic {
        name: topic.into(),
        topic_id: None,
        partitions: vec![OffsetCommitPartition {
            partition_index: partition,
            committed_offset: Offset(offset),
            committed_leader_epoch: LeaderEpoch(3),
            committed_metadata: None,
        }],
    }]
}

/// A protocol with a consumer subscription, version 0.
pub(super) fn protocol(name: &str, topics: &[&str]) -> JoinGroupProtocol {
    let mut metadata = vec![0, 0];
    metadata.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        metadata.extend((topic.len() as i16).to_be_bytes());
        metadata.extend(topic.as_bytes());
    }
    metadata.extend((-1i32).to_be_bytes());
    JoinGroupProtocol {
        name: name.into(),
        metadata: metadata.into(),
    }
}
