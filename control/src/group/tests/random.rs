//! Many clients that behave badly, at random but from a seed. What must hold whatever they do:
//! generations only grow; a generation has one assignment; every request is answered, once; a coordinator made from
//! the log agrees with the one that wrote it.

use std::collections::BTreeMap;

use super::Stage;
use super::stage::{Commits, protocol};
use crate::group::record::Record;
use crate::group::response::Response;
use crate::group::*;

/// xorshift64*: enough chance for a test, the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

#[derive(Clone, Default)]
struct Client {
    member_id: String,
    instance: Option<String>,
    generation: i32,
    is_synced: bool,
    parked: Option<Token>,
    leads: bool,
    members: Vec<String>,
}

struct World {
    stage: Stage,
    chance: Chance,
    clients: Vec<Client>,
    asked: Vec<Token>,
    /// Assignment by generation and instance or member, as handed out.
    handed_out: BTreeMap<(i32, String), String>,
    logged_generation: i32,
    seen_log: usize,
    syncs: u64,
    rebalances: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut stage = Stage::with(GroupConfig {
            initial_rebalance_delay_ms: 500,
            max_size: 5,
            ..GroupConfig::default()
        });
        stage.commits = Commits::Later;
        let client = |n: usize| Client {
            instance: n.is_multiple_of(3).then(|| format!("i{}", n / 4)),
            ..Client::default()
        };
        World {
            stage,
            chance: Chance(seed | 1),
            clients: (0..7).map(client).collect(),
            asked: Vec::new(),
            handed_out: BTreeMap::new(),
            logged_generation: 0,
            seen_log: 0,
            syncs: 0,
            rebalances: 0,
        }
    }

    fn step(&mut self) {
        let n = self.chance.next(self.clients.len() as u64) as usize;
        self.hear(n);
        let client = self.clients[n].clone();
        match self.chance.next(60) {
            // mostly as a consumer does: join, sync, heartbeat until told otherwise
            0..=35 if client.parked.is_some() => self.stage.commit(),
            0..=35 if client.generation == 0 => self.join(n),
            0..=35 if !client.is_synced => self.sync(n),
            0..=35 => self.heartbeat(n),
            // and now and then not
            36..=37 if client.parked.is_none() => self.join(n),
            38..=39 if client.parked.is_none() && client.generation > 0 => self.sync(n),
            40..=42 => {
                let offset = self.chance.next(1_000) as i64;
                let token = self
                    .stage
                    .commit_offset(&client.member_id, client.generation, offset);
                self.asked.push(token);
            }
            43 => {
                let token = self
                    .stage
                    .leave(&[(&client.member_id, client.instance.as_deref())]);
                self.asked.push(token);
            }
            44 => {
                // the client process starts anew and forgets everything
                let instance = client.instance.clone();
                self.clients[n] = Client {
                    instance,
                    ..Client::default()
                };
            }
            45..=52 => self.stage.commit(),
            53 => {
                let committed_or_not = self.chance.next(2) == 0;
                if self.stage.log.len() > self.seen_log && committed_or_not {
                    self.stage.fail_append(AppendFailure::NotEnoughReplicas);
                }
            }
            54 if self.chance.next(5) == 0 => self.move_coordinator(),
            _ => {
                let ms = self.chance.next(3_000);
                self.stage.advance(ms);
            }
        }
        self.check();
    }

    /// The partition goes to another leader, which may not have what was not committed.
    fn move_coordinator(&mut self) {
        self.stage.shard.unload();
        self.stage.handle(Event::Tick);
        if self.chance.next(2) == 0 {
            self.stage.log.truncate(self.stage.committed_count);
            self.seen_log = 0;
            self.logged_generation = 0;
        }
        self.rebalances += self.stage.shard.counters().rebalances_completed;
        self.stage.restart();
        self.stage.committed_count = self.stage.log.len();
    }

    fn heartbeat(&mut self, n: usize) {
        let client = &mut self.clients[n];
        match self
            .stage
            .heartbeat_of(&client.member_id, client.generation, client.instance.as_deref())
        {
            ErrorCode::NONE => {}
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID => {
                client.member_id.clear();
                client.generation = 0;
            }
            _ => client.generation = 0,
        }
    }

    fn join(&mut self, n: usize) {
        let client = self.clients[n].clone();
        let topics = if self.chance.next(6) == 0 {
            &["orders", "more"][..]
        } else {
            &["orders"]
        };
        let token = self.stage.join_with(&client.member_id, |r| {
            r.group_instance_id = client.instance;
            r.protocols = vec![protocol("range", topics), protocol("sticky", topics)];
        });
        self.asked.push(token);
        self.clients[n].parked = Some(token);
    }

    fn sync(&mut self, n: usize) {
        let client = self.clients[n].clone();
        self.syncs += 1;
        let share = format!("share {}", self.syncs);
        let shares: Vec<(&str, &str)> = if client.leads {
            client
                .members
                .iter()
                .map(|m| (m.as_str(), share.as_str()))
                .collect()
        } else {
            Vec::new()
        };
        let token = self
            .stage
            .sync_with(&client.member_id, client.generation, &shares, |r| {
                r.group_instance_id = client.instance.clone();
            });
        self.asked.push(token);
        self.clients[n].parked = Some(token);
    }

    fn hear(&mut self, n: usize) {
        let Some(token) = self.clients[n].parked else {
            return;
        };
        let Some(answer) = self.stage.answer(token).cloned() else {
            return;
        };
        let client = &mut self.clients[n];
        client.parked = None;
        match answer {
            Response::JoinGroup(answer) => match answer.error_code {
                ErrorCode::NONE => {
                    assert!(answer.generation_id > 0);
                    client.generation = answer.generation_id;
                    client.is_synced = false;
                    client.leads = answer.leader == answer.member_id && !answer.skip_assignment;
                    client.members = answer.members.into_iter().map(|m| m.member_id).collect();
                    client.member_id = answer.member_id;
                }
                ErrorCode::MEMBER_ID_REQUIRED => client.member_id = answer.member_id,
                ErrorCode::UNKNOWN_MEMBER_ID
                | ErrorCode::FENCED_INSTANCE_ID
                | ErrorCode::GROUP_MAX_SIZE_REACHED => {
                    client.member_id.clear();
                    client.generation = 0;
                }
                ErrorCode::REBALANCE_IN_PROGRESS
                | ErrorCode::COORDINATOR_NOT_AVAILABLE
                | ErrorCode::NOT_COORDINATOR => {}
                other => panic!("{other:?}"),
            },
            Response::SyncGroup(answer) => match answer.error_code {
                ErrorCode::NONE => {
                    client.is_synced = true;
                    let who = client
                        .instance
                        .clone()
                        .unwrap_or_else(|| client.member_id.clone());
                    let what = String::from_utf8(answer.assignment.to_vec()).unwrap();
                    let before = self
                        .handed_out
                        .insert((client.generation, who.clone()), what.clone());
                    let same = before.as_ref().is_none_or(|b| *b == what);
                    assert!(
                        same,
                        "generation {} of {who}: {before:?} then {what}",
                        client.generation
                    );
                }
                ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID => {
                    client.member_id.clear();
                    client.generation = 0;
                }
                ErrorCode::REBALANCE_IN_PROGRESS
                | ErrorCode::ILLEGAL_GENERATION
                | ErrorCode::COORDINATOR_NOT_AVAILABLE
                | ErrorCode::NOT_COORDINATOR => client.generation = 0,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// Generations in the log never go back.
    fn check(&mut self) {
        for (_, _, records) in self.stage.log.iter().skip(self.seen_log) {
            for record in records {
                let record = Record::decode(&record.key, record.value.as_deref()).unwrap();
                if let Record::GroupMetadata {
                    value: Some(value), ..
                } = record
                {
                    assert!(value.generation >= self.logged_generation);
                    self.logged_generation = value.generation;
                }
            }
        }
        self.seen_log = self.stage.log.len();
    }

    /// Everybody falls silent; what is left waiting then waits for ever.
    fn settle(&mut self) {
        for _ in 0..40 {
            self.stage.commit();
            self.stage.advance(60_000);
        }
        self.stage.commit();
        self.rebalances += self.stage.shard.counters().rebalances_completed;
        for token in &self.asked {
            assert!(!self.stage.is_parked(*token), "{token:?} was never answered");
        }
        let before: Vec<_> = self
            .stage
            .shard
            .committed_offsets()
            .map(|(g, t, p, o)| (g.to_owned(), t.to_owned(), p, o))
            .collect();
        let counts = self.stage.shard.group_counts();
        self.stage.restart();
        let after: Vec<_> = self
            .stage
            .shard
            .committed_offsets()
            .map(|(g, t, p, o)| (g.to_owned(), t.to_owned(), p, o))
            .collect();
        assert_eq!(before, after);
        assert_eq!(counts, self.stage.shard.group_counts());
    }
}

#[test]
fn whatever_clients_do() {
    let mut rebalances = 0;
    for seed in 1..=60u64 {
        let mut world = World::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..1_200 {
            world.step();
        }
        world.settle();
        rebalances += world.rebalances;
    }
    assert!(
        rebalances > 500,
        "{rebalances} rebalances: clients too wild to meet anything"
    );
}
