//! Several machines, a network that loses, doubles, delays and reorders, and one seed that decides everything.

mod acts;
mod chores;
mod plan;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use engine::types::Offset;
use reactor::{Chance, Instant};
use uuid::Uuid;

pub(super) use self::plan::Plan;
#[cfg(feature = "planted-bugs")]
pub(super) use self::plan::hard;
use super::check::Checker;
use super::node::{Disk, Node, Waiting};
use crate::config::Endpoint;
use crate::quorum::{Core, Event, NoAnswer, ReplicaKey, Request, RequestId, Response, Voter, VoterSet};
use crate::record::{BrokerId, DirectoryId};

/// The busiest schedules take about 20,000.
const TURNS_MAX: u64 = 200_000;
const SNAPSHOT_BYTES: usize = 30;
const SNAPSHOT_PART_BYTES: usize = 12;

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
}
