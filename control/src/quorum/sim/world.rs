//! Several machines, a network that loses, doubles, delays and reorders, and one seed that decides everything.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use bytes::Bytes;
use engine::types::Offset;
use reactor::Instant;
use uuid::Uuid;

use super::check::{Checker, hash};
use super::node::{Disk, Node, Snapshot, Waiting};
use crate::config::Endpoint;
use crate::quorum::{
    Action, AddVoter, Core, CoreConfig, Event, FetchOutcome, FetchResponse, FetchSnapshotResponse, NoAnswer,
    Refusal, RemoveVoter, ReplicaKey, Request, RequestId, Response, SnapshotPart, Timers, UpdateVoter, Voter,
    VoterChange, VoterSet,
};
use crate::record::{BrokerId, DirectoryId};
use crate::store::SnapshotId;
use reactor::Chance;

/// The busiest schedules take about 20,000.
const TURNS_MAX: u64 = 200_000;
const SNAPSHOT_BYTES: usize = 30;
const SNAPSHOT_PART_BYTES: usize = 12;

/// What goes wrong how often; per mille of the messages, or of the chances a fault has.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) nodes: i32,
    pub(super) voters: i32,
    pub(super) drop: u64,
    pub(super) double: u64,
    /// Longest delay of a message.
    pub(super) delay: Duration,
    /// Longest sync.
    pub(super) sync: Duration,
    /// Crashes between two actions.
    pub(super) crash: u64,
    /// Faults that somebody thinks of every 20 ms: crash, restart, partition, pause, full disk, clock.
    pub(super) faults: u64,
    pub(super) changes: u64,
    pub(super) snapshots: u64,
    pub(super) proposals: u64,
    pub(super) chaos: Duration,
}

impl Plan {
    /// Drawn by lot: some schedules are gentle and long, others wild.
    pub(super) fn draw(chance: &mut Chance) -> Plan {
        let mut pick = |choices: &[u64]| choices[chance.below(choices.len() as u64) as usize];
        let voters = pick(&[1, 2, 3, 3, 3, 3, 4, 5]) as i32;
        Plan {
            nodes: voters + pick(&[0, 1, 2]) as i32,
            voters,
            drop: pick(&[0, 10, 100, 300]),
            double: pick(&[0, 20, 100]),
            delay: Duration::from_millis(pick(&[1, 10, 50, 400])),
            sync: Duration::from_millis(pick(&[1, 5, 50, 300])),
            crash: pick(&[0, 1, 5, 20]),
            faults: pick(&[0, 50, 200, 500]),
            changes: pick(&[0, 0, 50, 300]),
            snapshots: pick(&[0, 20, 100]),
            proposals: pick(&[100, 500, 900]),
            chaos: Duration::from_millis(pick(&[1000, 3000, 6000])),
        }
    }
}

/// Hard schedules, where mistakes show soon: crashes within elections, slow disks, little peace.
#[cfg(feature = "planted-bugs")]
pub(super) fn hard(seed: u64) -> Plan {
    let mut chance = Chance::new(!seed);
    let mut pick = |choices: &[u64]| choices[chance.below(choices.len() as u64) as usize];
    let voters = pick(&[3, 3, 4, 5]) as i32;
    Plan {
        nodes: voters + pick(&[0, 1]) as i32,
        voters,
        drop: pick(&[0, 100, 300]),
        double: pick(&[0, 100]),
        delay: Duration::from_millis(pick(&[10, 50, 200])),
        sync: Duration::from_millis(pick(&[5, 50, 300])),
        crash: pick(&[5, 20, 60]),
        faults: pick(&[300, 600]),
        changes: pick(&[0, 0, 300, 900]),
        snapshots: pick(&[0, 20, 100]),
        proposals: pick(&[100, 300, 700]),
        chaos: Duration::from_millis(pick(&[3000, 6000])),
    }
}

/// What happens at some time.
enum Happening {
    Tick {
        node: BrokerId,
        number: u64,
    },
    Ask {
        from: BrokerId,
        incarnation: u64,
        to: BrokerId,
        request: Request,
    },
    Answer {
        from: BrokerId,
        to: BrokerId,
        incarnation: u64,
        request: Request,
        response: Response,
    },
    NoAnswer {
        from: BrokerId,
        incarnation: u64,
        to: BrokerId,
        request: Request,
        why: NoAnswer,
    },
    Written {
        node: BrokerId,
        incarnation: u64,
        write: u64,
    },
    Chore,
}

pub(super) struct World {
    pub(super) now: Instant,
    chance: Chance,
    plan: Plan,
    pub(super) nodes: BTreeMap<BrokerId, Node>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    next: u64,
    turns: u64,
    /// Directions that nothing passes.
    blocked: BTreeSet<(BrokerId, BrokerId)>,
    pub(super) checker: Checker,
    up_front: VoterSet,
    calm: bool,
    /// Batches to propose while it is calm.
    calm_left: u64,
    proposed: u64,
    pub(super) trace: Option<Vec<String>>,
}

fn voter(id: i32, directory: DirectoryId) -> Voter {
    Voter {
        key: ReplicaKey::new(BrokerId(id), directory),
        endpoint: Endpoint {
            host: format!("n{id}"),
            port: 9093,
        },
    }
}

impl World {
    pub(super) fn new(seed: u64, plan: Option<Plan>) -> World {
        let mut chance = Chance::new(seed);
        let plan = plan.unwrap_or_else(|| Plan::draw(&mut chance));
        let up_front = VoterSet::new((1..=plan.voters).map(|id| voter(id, DirectoryId::MIGRATING)));
        let mut world = World {
            now: Instant::from_nanos(1_000_000_000),
            chance,
            nodes: BTreeMap::new(),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            next: 0,
            turns: 0,
            blocked: BTreeSet::new(),
            checker: Checker::default(),
            up_front,
            calm: false,
            calm_left: 5,
            proposed: 0,
            trace: None,
            plan,
        };
        for id in 1..=world.plan.nodes {
            let directory = DirectoryId(Uuid::from_u128(1000 + id as u128));
            let id = BrokerId(id);
            world.nodes.insert(
                id,
                Node {
                    id,
                    key: ReplicaKey::new(id, directory),
                    core: None,
                    incarnation: 0,
                    disk: Disk::default(),
                    writes: Default::default(),
                    waiting: Waiting::new(),
                    clock_ahead_ns: 0,
                    paused_until: Instant::default(),
                    disk_full_until: Instant::default(),
                    applied: (Offset::ZERO, 0),
                    partial: None,
                    was_leader: None,
                    tick: 0,
                },
            );
        }
        world
    }

    pub(super) fn ids(&self) -> Vec<BrokerId> {
        self.nodes.keys().copied().collect()
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3} {}", self.now.as_nanos() as f64 / 1e9, what()));
        }
    }

    fn at(&mut self, time: Instant, happening: Happening) {
        self.next += 1;
        self.queue.push(Reverse((time, self.next)));
        self.happenings.insert(self.next, happening);
    }

    fn one_in(&mut self, per_mille: u64) -> bool {
        !self.calm && self.chance.below(1000) < per_mille
    }

    fn pick(&mut self) -> BrokerId {
        let ids = self.ids();
        ids[self.chance.below(ids.len() as u64) as usize]
    }

    /// Chaos for as long as planned, then calm: a leader is there and everybody has everything within ten seconds.
    pub(super) fn run(&mut self) -> Result<(), String> {
        for id in self.ids() {
            self.start(id)?;
        }
        self.at(self.now, Happening::Chore);
        let until = self.now + self.plan.chaos;
        while self.now < until {
            self.turn()?;
        }
        self.heal()?;
        let until = self.now + Duration::from_secs(10);
        while self.now < until {
            self.turn()?;
            if self.calm_left == 0 && self.has_converged() {
                return Ok(());
            }
        }
        Err(format!(
            "ten seconds after everything healed: {:?}",
            self.nodes
                .values()
                .filter_map(|node| node.core.as_ref())
                .map(|core| (
                    core.node().id,
                    core.epoch(),
                    core.leader(),
                    core.high_watermark(),
                    core.log().end()
                ))
                .collect::<Vec<_>>()
        ))
    }

    pub(super) fn heal(&mut self) -> Result<(), String> {
        self.note(|| "healed".to_owned());
        self.calm = true;
        self.blocked.clear();
        for id in self.ids() {
            let now = self.now;
            let node = self.nodes.get_mut(&id).expect("there");
            node.paused_until = now;
            node.disk_full_until = now;
            if !node.is_up() {
                self.start(id)?;
            }
        }
        Ok(())
    }

    /// Everybody follows the one leader, has all it has, and knows that it is committed.
    pub(super) fn has_converged(&self) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        let (epoch, end) = (leader.epoch(), leader.log().end());
        leader.high_watermark() == end
            && self.nodes.values().all(|node| {
                node.core
                    .as_ref()
                    .is_some_and(|core| core.epoch() == epoch && core.high_watermark() == end)
            })
    }

    pub(super) fn leader(&self) -> Option<&Core> {
        let cores = self.nodes.values().filter_map(|node| node.core.as_ref());
        cores
            .filter(|core| core.is_ready())
            .max_by_key(|core| core.epoch())
    }

    pub(super) fn turn(&mut self) -> Result<(), String> {
        self.turns += 1;
        if self.turns > TURNS_MAX {
            return Err(format!("{TURNS_MAX} turns: the replicas keep each other busy"));
        }
        let Some(Reverse((time, number))) = self.queue.pop() else {
            return Err("nothing is going to happen any more".to_owned());
        };
        self.now = self.now.max(time);
        let Some(happening) = self.happenings.remove(&number) else {
            return Ok(());
        };
        match happening {
            Happening::Chore => {
                self.at(self.now + Duration::from_millis(20), Happening::Chore);
                self.chore()
            }
            Happening::Tick { node, number } => {
                if self.nodes[&node].tick == number {
                    return self.deliver(node, None, Event::Tick);
                }
                Ok(())
            }
            Happening::Ask {
                from,
                incarnation,
                to,
                request,
            } => self.asked(from, incarnation, to, request),
            Happening::Answer {
                from,
                to,
                incarnation,
                request,
                response,
            } => {
                let event = Event::Answered {
                    from,
                    request,
                    response,
                };
                self.deliver(to, Some(incarnation), event)
            }
            Happening::NoAnswer {
                from,
                incarnation,
                to,
                request,
                why,
            } => self.deliver(from, Some(incarnation), Event::Unanswered { to, request, why }),
            Happening::Written {
                node,
                incarnation,
                write,
            } => {
                let machine = self.nodes.get_mut(&node).expect("there");
                if machine.incarnation != incarnation {
                    return Ok(());
                }
                while let Some((number, end)) = machine.writes.front().copied() {
                    if number > write {
                        break;
                    }
                    machine.disk.sync(end);
                    machine.writes.pop_front();
                }
                self.deliver(node, Some(incarnation), Event::Written { write })
            }
        }
    }

    fn asked(
        &mut self,
        from: BrokerId,
        incarnation: u64,
        to: BrokerId,
        request: Request,
    ) -> Result<(), String> {
        let is_up = self.nodes.get(&to).is_some_and(Node::is_up);
        if !is_up {
            let open = !self.blocked.contains(&(to, from)) && !self.blocked.contains(&(from, to));
            let why = if open { NoAnswer::Refused } else { NoAnswer::Lost };
            let at = self.now + Duration::from_millis(1);
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
            return Ok(());
        }
        self.next += 1;
        let id = RequestId(self.next);
        let node = self.nodes.get_mut(&to).expect("there");
        node.waiting.insert(id, (from, request.clone()));
        self.deliver(to, None, Event::Asked { id, request })
    }

    /// Lets a node take an event, if the process it was meant for is there.
    fn deliver(&mut self, id: BrokerId, incarnation: Option<u64>, event: Event) -> Result<(), String> {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("there");
        if incarnation.is_some_and(|meant| meant != node.incarnation) {
            return Ok(());
        }
        if node.core.is_none() {
            return Ok(());
        }
        if node.paused_until > now {
            // The process is stopped: it goes on, and takes all of this, later.
            node.tick += 1;
            let (number, until, incarnation) = (node.tick, node.paused_until, node.incarnation);
            self.at(until, Happening::Tick { node: id, number });
            // messages are lost, the disk's news is not
            if let Event::Written { write } = event {
                let written = Happening::Written {
                    node: id,
                    incarnation,
                    write,
                };
                self.at(until, written);
            }
            return Ok(());
        }
        self.note(|| format!("{id} <- {event:?}"));
        let own_now = self.clock(id);
        self.act(id, |core| core.step(own_now, event))
    }

    fn clock(&self, id: BrokerId) -> Instant {
        self.now + Duration::from_nanos(self.nodes[&id].clock_ahead_ns)
    }

    fn act(&mut self, id: BrokerId, step: impl FnOnce(&mut Core) -> Vec<Action>) -> Result<(), String> {
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

    fn schedule(&mut self, id: BrokerId, not_before: Duration) -> Result<(), String> {
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

    pub(super) fn crash(&mut self, id: BrokerId) {
        self.note(|| format!("{id} crashes"));
        let node = self.nodes.get_mut(&id).expect("there");
        node.crash(&mut self.chance);
    }

    pub(super) fn start(&mut self, id: BrokerId) -> Result<(), String> {
        self.note(|| format!("{id} starts"));
        let own_now = self.clock(id);
        let seed = self.chance.next_u64();
        let node = self.nodes.get_mut(&id).expect("there");
        let config = CoreConfig {
            node: node.key,
            voters: self.up_front.clone(),
            timers: Timers::default(),
            seed,
        };
        let snapshot = node.disk.snapshot.as_ref();
        node.applied = snapshot.map_or((Offset::ZERO, 0), |snapshot| {
            (snapshot.id.end_offset, snapshot.state)
        });
        node.incarnation += 1;
        let core = Core::new(
            own_now,
            config,
            node.disk.election.clone(),
            node.disk.starting_log(),
        );
        node.core = Some(core);
        self.act(id, |core| core.step(own_now, Event::Tick))
    }

    fn chore(&mut self) -> Result<(), String> {
        let everybody = self.ids();
        for id in everybody {
            let is_due = (self.calm && self.calm_left > 0) || self.one_in(self.plan.proposals);
            if is_due {
                self.propose(id)?;
            }
            if self.one_in(self.plan.snapshots) {
                self.make_snapshot(id)?;
            }
        }
        if self.one_in(self.plan.changes) {
            self.change_voters()?;
        }
        if self.one_in(self.plan.faults) {
            self.fault()?;
        }
        Ok(())
    }

    pub(super) fn propose(&mut self, id: BrokerId) -> Result<(), String> {
        let (own_now, now) = (self.clock(id), self.now);
        let count = 1 + self.chance.below(3) as i64;
        let node = &self.nodes[&id];
        let Some(core) = node.core.as_ref().filter(|core| core.is_leader()) else {
            return Ok(());
        };
        if node.paused_until > now || node.disk_full_until > now || node.writes.len() > 3 {
            return Ok(());
        }
        let (epoch, base) = (core.epoch(), core.log().end());
        self.proposed += 1;
        self.calm_left -= u64::from(self.calm);
        let batch = Bytes::from(self.proposed.to_le_bytes().to_vec());
        let last = base.saturating_add(count - 1);
        self.act(id, |core| {
            core.propose(own_now, epoch, base, last, batch)
                .unwrap_or_default()
        })
    }

    pub(super) fn make_snapshot(&mut self, id: BrokerId) -> Result<(), String> {
        let own_now = self.clock(id);
        let node = self.nodes.get_mut(&id).expect("there");
        let Some(core) = &node.core else {
            return Ok(());
        };
        let end = node.applied.0.min(core.log().durable());
        let Some(entry) = node.disk.entry_at(end.saturating_add(-1)) else {
            return Ok(());
        };
        if entry.last_offset.next() != end || end != node.applied.0 {
            return Ok(());
        }
        let snapshot_id = SnapshotId {
            end_offset: end,
            epoch: entry.epoch,
        };
        let snapshot = Snapshot {
            id: snapshot_id,
            state: node.applied.1,
            voters: core.log().voters_at(end).cloned(),
        };
        self.checker.snapshot(id, &snapshot)?;
        let kept = node
            .disk
            .snapshot
            .as_ref()
            .map_or(Offset::ZERO, |older| older.id.end_offset);
        let log_start = if self.chance.below(2) == 0 { end } else { kept };
        node.disk.snapshot = Some(snapshot);
        node.disk.forget_behind(log_start);
        let event = Event::SnapshotWritten {
            id: snapshot_id,
            log_start,
        };
        self.act(id, |core| core.step(own_now, event))
    }

    pub(super) fn change_voters(&mut self) -> Result<(), String> {
        let leaders: Vec<BrokerId> = self
            .nodes
            .values()
            .filter(|node| node.core.as_ref().is_some_and(Core::is_leader))
            .map(|node| node.id)
            .collect();
        let subject = self.pick();
        let key = self.nodes[&subject].key;
        let kind = self.chance.below(8);
        for id in leaders {
            let core = self.nodes[&id].core.as_ref().expect("leads");
            let voter = voter(subject.0, key.directory);
            let change = if core.voters().contains(&key) {
                match kind {
                    0 => VoterChange::Update(UpdateVoter { voter }),
                    _ => VoterChange::Remove(RemoveVoter { key }),
                }
            } else {
                VoterChange::Add(AddVoter { voter })
            };
            self.next += 1;
            let request = RequestId(self.next);
            self.deliver(id, None, Event::Change { id: request, change })?;
        }
        Ok(())
    }

    fn fault(&mut self) -> Result<(), String> {
        let id = self.pick();
        let other = self.pick();
        match self.chance.below(12) {
            0 | 1 => self.crash(id),
            2..=4 => {
                if !self.nodes[&id].is_up() {
                    self.start(id)?;
                }
            }
            5 => {
                for id in self.ids() {
                    self.crash(id);
                }
            }
            6 => {
                self.blocked.insert((id, other));
            }
            7 => {
                for third in self.ids() {
                    self.blocked.insert((id, third));
                    self.blocked.insert((third, id));
                }
            }
            8 => self.blocked.clear(),
            9 => {
                let pause = Duration::from_millis(self.chance.below(1500));
                self.nodes.get_mut(&id).expect("there").paused_until = self.now + pause;
            }
            10 => {
                let full = Duration::from_millis(self.chance.below(800));
                self.nodes.get_mut(&id).expect("there").disk_full_until = self.now + full;
            }
            _ => {
                let jump = self.chance.below(5_000_000_000);
                self.nodes.get_mut(&id).expect("there").clock_ahead_ns += jump;
                self.schedule(id, Duration::ZERO)?;
            }
        }
        Ok(())
    }
}
