//! What the replicas want done: writes, messages, answers.

use std::time::Duration;

use bytes::Bytes;

use super::super::check::hash;
use super::{Happening, SNAPSHOT_BYTES, SNAPSHOT_PART_BYTES, World};
use crate::quorum::{
    Action, Core, Event, FetchOutcome, FetchResponse, FetchSnapshotResponse, NoAnswer, Refusal, Request,
    RequestId, Response, SnapshotPart,
};
use crate::record::BrokerId;
use crate::store::SnapshotId;

impl World {
    pub(super) fn act(
        &mut self,
        id: BrokerId,
        step: impl FnOnce(&mut Core) -> Vec<Action>,
    ) -> Result<(), String> {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("there");
        let Some(core) = node.core.as_mut() else {
            return Ok(());
        };
        let is_full = node.disk_full_until > now;
        let before = is_full.then(|| core.clone());
        let actions = step(core);
        let writes = actions
            .iter()
            .any(|action| matches!(action, Action::Persist(_) | Action::Append { .. }));
        if let Some(before) = before
            && writes
        {
            node.core = Some(before);
            self.note(|| format!("{id}: the disk is full"));
            return self.schedule(id, Duration::from_millis(50));
        }
        for action in actions {
            if self.one_in(self.plan.crash) {
                self.crash(id);
                return Ok(());
            }
            self.act_one(id, action)?;
            if !self.nodes[&id].is_up() {
                return Ok(());
            }
        }
        self.observe(id)?;
        self.schedule(id, Duration::ZERO)
    }

    pub(super) fn schedule(&mut self, id: BrokerId, not_before: Duration) -> Result<(), String> {
        let own_now = self.clock(id);
        let node = self.nodes.get_mut(&id).expect("there");
        let Some(core) = &node.core else {
            return Ok(());
        };
        node.tick += 1;
        let wait = core.next_deadline().saturating_since(own_now).max(not_before);
        let (number, time) = (node.tick, self.now + wait);
        if wait < Duration::from_secs(1000) {
            self.at(time, Happening::Tick { node: id, number });
        }
        Ok(())
    }

    fn act_one(&mut self, id: BrokerId, action: Action) -> Result<(), String> {
        self.note(|| format!("{id} -> {action:?}"));
        let now = self.now;
        let longest_sync = if self.calm {
            Duration::from_millis(2)
        } else {
            self.plan.sync
        };
        let sync = Duration::from_micros(50 + self.chance.below(longest_sync.as_micros() as u64));
        let node = self.nodes.get_mut(&id).expect("there");
        match action {
            Action::Persist(state) => node.disk.election = state,
            Action::Append { write, entries } => {
                for entry in entries {
                    let before = node.disk.last_epoch();
                    self.checker.appended(&entry, before)?;
                    if entry.base_offset != node.disk.end() {
                        return Err(format!("node {id} leaves a gap before {}", entry.base_offset));
                    }
                    node.disk.log.push(entry);
                }
                let end = node.disk.end();
                // one after the other
                node.writes.push_back((write, end));
                let incarnation = node.incarnation;
                self.at(
                    now + sync,
                    Happening::Written {
                        node: id,
                        incarnation,
                        write,
                    },
                );
            }
            Action::Truncate { end_offset } => {
                node.disk.truncate(end_offset);
                if node.disk.end() != end_offset {
                    return Err(format!("node {id} cuts a batch in two at {end_offset}"));
                }
                for (_, end) in &mut node.writes {
                    *end = (*end).min(end_offset);
                }
            }
            Action::Ask { to, request } => {
                let incarnation = node.incarnation;
                self.send(
                    id,
                    to,
                    |_| Happening::Ask {
                        from: id,
                        incarnation,
                        to,
                        request: request.clone(),
                    },
                    Some((incarnation, request.clone())),
                );
            }
            Action::Answer { id: asked, response } => self.answer(id, asked, response),
            Action::AnswerRecords {
                id: asked,
                view,
                high_watermark,
                from,
                end,
            } => {
                let most = 1 + self.chance.below(8) as usize;
                let log = &self.nodes[&id].disk.log;
                let entries = log
                    .iter()
                    .filter(|entry| entry.base_offset >= from && entry.last_offset < end)
                    .take(most)
                    .cloned()
                    .collect();
                let response = Response::Fetch(FetchResponse {
                    view,
                    high_watermark,
                    outcome: FetchOutcome::Records(entries),
                });
                self.answer(id, asked, response);
            }
            Action::AnswerSnapshot {
                id: asked,
                view,
                snapshot,
                position,
            } => {
                let known = node.disk.snapshot.as_ref().filter(|known| known.id == snapshot);
                let part = match known {
                    None => Err(Refusal::SnapshotNotFound),
                    Some(_) if position > SNAPSHOT_BYTES as u64 => Err(Refusal::PositionOutOfRange),
                    Some(_) => {
                        let left = SNAPSHOT_BYTES - position as usize;
                        Ok(SnapshotPart {
                            id: snapshot,
                            size_bytes: SNAPSHOT_BYTES as u64,
                            position,
                            bytes: Bytes::from(vec![7; left.min(SNAPSHOT_PART_BYTES)]),
                        })
                    }
                };
                let response = FetchSnapshotResponse { view, part };
                self.answer(id, asked, Response::FetchSnapshot(response));
            }
            Action::StoreSnapshot {
                id: snapshot,
                position,
                bytes,
            } => {
                if position == 0 {
                    node.partial = Some((snapshot, Vec::new()));
                }
                match &mut node.partial {
                    Some((known, stored)) if *known == snapshot && stored.len() as u64 == position => {
                        stored.extend_from_slice(&bytes);
                    }
                    other => {
                        return Err(format!(
                            "node {id} stores {snapshot:?} at {position} behind {other:?}"
                        ));
                    }
                }
            }
            Action::InstallSnapshot { id: snapshot } => {
                let whole = node.partial.take();
                if whole.is_none_or(|(known, bytes)| known != snapshot || bytes.len() != SNAPSHOT_BYTES) {
                    return Err(format!("node {id} installs {snapshot:?} without having it"));
                }
                return self.install(id, snapshot);
            }
            Action::AnswerChange { .. } => {}
            Action::Fault(what) => return Err(format!("node {id}: {what}")),
        }
        Ok(())
    }

    fn install(&mut self, id: BrokerId, snapshot: SnapshotId) -> Result<(), String> {
        let snapshot = self.checker.known_snapshot(snapshot)?;
        let node = self.nodes.get_mut(&id).expect("there");
        node.applied = (snapshot.id.end_offset, snapshot.state);
        node.writes.clear();
        let event = Event::SnapshotInstalled {
            id: snapshot.id,
            voters: snapshot.voters.clone(),
        };
        node.disk.replace(snapshot);
        self.deliver_later(id, event)
    }

    /// In a step of its own, which the host takes at once.
    fn deliver_later(&mut self, id: BrokerId, event: Event) -> Result<(), String> {
        let own_now = self.clock(id);
        self.act(id, |core| core.step(own_now, event))
    }

    fn answer(&mut self, id: BrokerId, asked: RequestId, response: Response) {
        let node = self.nodes.get_mut(&id).expect("there");
        let Some((to, request)) = node.waiting.remove(&asked) else {
            return;
        };
        let incarnation = self.nodes[&to].incarnation;
        self.send(
            id,
            to,
            |_| Happening::Answer {
                from: id,
                to,
                incarnation,
                request: request.clone(),
                response: response.clone(),
            },
            None,
        );
    }

    fn send(
        &mut self,
        from: BrokerId,
        to: BrokerId,
        message: impl Fn(&()) -> Happening,
        request: Option<(u64, Request)>,
    ) {
        if self.blocked.contains(&(from, to)) || self.one_in(self.plan.drop) {
            // sometimes the connection tells that it broke, sometimes nobody does
            if let Some((incarnation, request)) = request
                && self.chance.below(2) == 0
            {
                let at = self.now + Duration::from_millis(self.chance.below(50));
                let why = NoAnswer::Lost;
                self.at(
                    at,
                    Happening::NoAnswer {
                        from,
                        incarnation,
                        to,
                        request,
                        why,
                    },
                );
            }
            return;
        }
        let copies = 1 + u64::from(self.one_in(self.plan.double));
        for _ in 0..copies {
            let longest = if self.calm {
                Duration::from_millis(2)
            } else {
                self.plan.delay
            };
            let delay = Duration::from_micros(50 + self.chance.below(longest.as_micros() as u64));
            self.at(self.now + delay, message(&()));
        }
    }

    /// After a step: what it shows to the outside must fit what all have shown before.
    fn observe(&mut self, id: BrokerId) -> Result<(), String> {
        let node = self.nodes.get_mut(&id).expect("there");
        let Some(core) = &node.core else {
            return Ok(());
        };
        if core.log().end() != node.disk.end() || core.high_watermark() > core.log().end() {
            return Err(format!(
                "node {id}: log to {}, {} on disk, high watermark {}",
                core.log().end(),
                node.disk.end(),
                core.high_watermark()
            ));
        }
        if core.high_watermark() < node.applied.0 {
            return Err(format!(
                "node {id}: the high watermark went back from {}",
                node.applied.0
            ));
        }
        let mut applied = node.applied;
        while applied.0 < core.high_watermark() {
            let Some(entry) = node.disk.entry_at(applied.0) else {
                return Err(format!("node {id}: nothing at {}, which is committed", applied.0));
            };
            applied = (entry.last_offset.next(), hash(applied.1, entry));
            self.checker.committed(id, entry, applied.1)?;
        }
        node.applied = applied;
        if core.is_leader() {
            self.checker.leads(core)?;
            if node.was_leader != Some(core.epoch()) {
                node.was_leader = Some(core.epoch());
                self.checker.is_complete(node)?;
            }
        }
        Ok(())
    }
}
