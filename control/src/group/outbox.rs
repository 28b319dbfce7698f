//! Where rules put what they decided, and what they need to decide it: the moment, the settings, the timers.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::types::{ProducerEpoch, ProducerId};

use super::appends::{Appends, Then};
use super::clock::{MonotonicMs, Now};
use super::config::GroupConfig;
use super::record::{EncodedRecord, Record};
use super::response::{JoinGroupResponse, Response, SyncGroupResponse};
use super::shard::{Action, Counters, Ticket, Token};
use super::timers::{Timer, Timers};

#[derive(Default)]
pub(super) struct Outbox {
    pub(super) now: Now,
    pub(super) config: GroupConfig,
    pub(super) timers: Timers,
    pub(super) appends: Appends,
    pub(super) actions: VecDeque<Action>,
    pub(super) counters: Counters,
}

impl Outbox {
    pub(super) fn respond(&mut self, token: Token, response: Response) {
        self.actions.push_back(Action::Respond { token, response });
    }

    /// Answers a parked JoinGroup, if there is one.
    pub(super) fn respond_join(
        &mut self,
        token: Option<Token>,
        response: impl FnOnce() -> JoinGroupResponse,
    ) {
        if let Some(token) = token {
            self.respond(token, Response::JoinGroup(response()));
        }
    }

    /// Answers a parked SyncGroup, if there is one.
    pub(super) fn respond_sync(
        &mut self,
        token: Option<Token>,
        response: impl FnOnce() -> SyncGroupResponse,
    ) {
        if let Some(token) = token {
            self.respond(token, Response::SyncGroup(response()));
        }
    }

    pub(super) fn append(&mut self, records: Vec<Record>, then: Then) -> Ticket {
        self.append_as(None, records, then)
    }

    pub(super) fn append_as(
        &mut self,
        producer: Option<(ProducerId, ProducerEpoch)>,
        records: Vec<Record>,
        then: Then,
    ) -> Ticket {
        debug_assert!(!records.is_empty(), "an append without records commits never");
        let encoded: Vec<EncodedRecord> = records.iter().filter_map(Record::encode).collect();
        let ticket = self.appends.push(producer.map(|(id, _)| id), records, then);
        self.actions.push_back(Action::Append {
            ticket,
            producer,
            records: encoded,
        });
        ticket
    }

    /// The member is expected to show itself within `timeout_ms`.
    pub(super) fn expect_heartbeat(&mut self, group: &Arc<str>, member: &Arc<str>, timeout_ms: i64) {
        let timer = Timer::Session {
            group: group.clone(),
            member: member.clone(),
        };
        self.timers.set(timer, self.deadline(timeout_ms));
    }

    pub(super) fn expect_no_heartbeat(&mut self, group: &Arc<str>, member: &Arc<str>) {
        self.timers.cancel(&Timer::Session {
            group: group.clone(),
            member: member.clone(),
        });
    }

    pub(super) fn deadline(&self, timeout_ms: i64) -> MonotonicMs {
        self.now.monotonic.after_ms(timeout_ms)
    }
}
