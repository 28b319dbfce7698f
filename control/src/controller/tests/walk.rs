//! A random walk over a cluster whose brokers hold logs: whatever happens, in whatever order, one leader an epoch, and none that
//! lacks what was acknowledged.
//!
//! The brokers here follow the protocol as brokers do: each acts on the partition as it was when it last looked, leaders
//! acknowledge when all in sync have fetched, and ask for another ISR knowing less than the controller does. A log is the
//! leader epochs of its records: two logs that agree in one of them agree in all before.

use std::collections::{BTreeMap, BTreeSet};

use engine::types::LeaderEpoch;

use super::*;
use crate::image::PartitionImage;

const BROKERS: i32 = 5;
const PARTITIONS: i32 = 3;

#[derive(Clone, Copy, PartialEq)]
enum Disks {
    /// What was fetched is there after a crash.
    KeepAll,
    /// A crash may lose the end of a log.
    MayForget,
}

/// What a broker knows and has of one partition.
#[derive(Clone, Default)]
struct Replica {
    log: Vec<i32>,
    view: Option<(PartitionImage, usize)>,
    /// As leader: up to where each follower has fetched, and with which registration.
    fetched: BTreeMap<i32, (usize, BrokerEpoch)>,
    /// As leader: members that were asked for, and whose answer has not been seen.
    pending: Vec<i32>,
}

struct Walk {
    cluster: Cluster,
    random: u64,
    disks: Disks,
    alive: BTreeMap<i32, bool>,
    stopping: Vec<i32>,
    incarnation: u128,
    replicas: BTreeMap<(i32, i32), Replica>,
    /// By partition, what producers were told is safe.
    acknowledged: Vec<Vec<i32>>,
    leaders: BTreeMap<(i32, LeaderEpoch), BrokerId>,
    may_lose: bool,
    /// Brokers and partitions: only replicas that lost records.
    forgot_alone: BTreeSet<(i32, i32)>,
    /// By partition, the epoch that began with a loss: what earlier leaders say counts no more.
    lost_at: Vec<LeaderEpoch>,
    acknowledgement_count: usize,
    election_count: usize,
}

fn common(a: &[i32], b: &[i32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

impl Walk {
    fn new(seed: u64, disks: Disks) -> Self {
        let mut cluster = Cluster::new(BROKERS, "");
        let topic = by_hand("t", &[(0, &[1, 2, 3]), (1, &[3, 4, 5]), (2, &[2, 5, 1])]);
        cluster
            .create_one(with_config(topic, "min.insync.replicas", Some("2")))
            .expect("created");
        cluster.liveness.took_over(cluster.now, &cluster.image, None);
        Walk {
            cluster,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            disks,
            alive: (1..=BROKERS).map(|id| (id, true)).collect(),
            stopping: Vec::new(),
            incarnation: 1,
            replicas: BTreeMap::new(),
            acknowledged: vec![Vec::new(); PARTITIONS as usize],
            leaders: BTreeMap::new(),
            may_lose: false,
            forgot_alone: BTreeSet::new(),
            lost_at: vec![LeaderEpoch(0); PARTITIONS as usize],
            acknowledgement_count: 0,
            election_count: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    fn broker(&mut self) -> i32 {
        1 + self.below(BROKERS as u64) as i32
    }

    fn min_insync(&self) -> usize {
        let own = self
            .cluster
            .config(ResourceKind::Topic, "t", "min.insync.replicas");
        own.and_then(|own| own.parse().ok()).unwrap_or(1)
    }

    fn replica(&mut self, broker: i32, partition: i32) -> &mut Replica {
        self.replicas.entry((broker, partition)).or_default()
    }

    fn step(&mut self) {
        let before: Vec<PartitionImage> = (0..PARTITIONS).map(|number| self.state(number)).collect();
        let (broker, partition) = (self.broker(), self.below(PARTITIONS as u64) as i32);
        match self.below(100) {
            0..20 => self.produce(broker, partition),
            20..50 => self.fetch(broker, partition),
            50..62 => self.ask_isr(broker, partition),
            62..72 => self.look(broker, partition),
            72..88 => self.time_passes(),
            88..90 => self.crash(broker),
            90..95 => self.restart(),
            95 => self.stopping.push(broker),
            96 => drop(self.cluster.call(Request::ElectLeaders(ElectLeaders {
                election_type: ElectionType::Preferred,
                partitions: None,
            }))),
            97 => self.set_min_insync(),
            _ => self.reassign(partition),
        }
        for number in 0..PARTITIONS {
            self.check(number, &before[number as usize]);
        }
    }

    fn state(&self, partition: i32) -> PartitionImage {
        self.cluster.partition("t", partition).clone()
    }

    fn look(&mut self, broker: i32, partition: i32) {
        if self.alive[&broker] {
            let view = (self.state(partition), self.min_insync());
            let replica = self.replica(broker, partition);
            replica.learn(view);
        }
    }

    fn produce(&mut self, broker: i32, partition: i32) {
        let is_alive = self.alive[&broker];
        let replica = self.replica(broker, partition);
        if let Some(epoch) = replica.leads(broker).filter(|_| is_alive) {
            replica.log.push(epoch.0);
        }
        self.acknowledge(broker, partition);
    }

    /// `broker` fetches from whom it believes to lead, who believes the same.
    fn fetch(&mut self, broker: i32, partition: i32) {
        self.look(broker, partition);
        let Some((view, _)) = self.replica(broker, partition).view.clone() else {
            return;
        };
        let Some(leader) = view.leader.map(|leader| leader.0) else {
            return;
        };
        if leader == broker || !self.alive[&leader] || !self.alive[&broker] {
            return;
        }
        if !view.replicas.contains(&BrokerId(broker)) {
            return;
        }
        let source = self.replica(leader, partition).clone();
        if source.leads(leader) != Some(view.leader_epoch) {
            return;
        }
        let epoch = self.cluster.epoch(broker);
        let follower = self.replica(broker, partition);
        let kept = common(&follower.log, &source.log);
        follower.log.truncate(kept);
        let end = source.log.len().min(kept + 2);
        follower.log.extend(&source.log[kept..end]);
        let end = follower.log.len();
        self.replica(leader, partition)
            .fetched
            .insert(broker, (end, epoch));
        self.acknowledge(leader, partition);
    }

    fn acknowledge(&mut self, leader: i32, partition: i32) {
        if !self.alive[&leader] {
            return;
        }
        let replica = self.replica(leader, partition).clone();
        let Some((view, min_insync)) = &replica.view else {
            return;
        };
        let required = (*min_insync).min(view.replicas.len());
        let is_past = view.leader_epoch < self.lost_at[partition as usize];
        if replica.leads(leader).is_none() || view.isr.len() < required || is_past {
            return;
        }
        let isr = view.isr.iter().map(|member| member.0);
        let members = isr.chain(replica.pending.iter().copied());
        let ends = members.map(|member| match replica.fetched.get(&member) {
            _ if member == leader => replica.log.len(),
            Some((end, _)) => *end,
            None => 0,
        });
        let end = ends.min().unwrap_or(0);
        let safe = &replica.log[..end];
        let known = &mut self.acknowledged[partition as usize];
        let agreed = common(safe, known);
        assert!(
            agreed == safe.len().min(known.len()),
            "{leader} acknowledges {safe:?} of partition {partition}, others {known:?}"
        );
        if safe.len() > known.len() {
            *known = safe.to_vec();
            self.acknowledgement_count += 1;
        }
    }

    fn ask_isr(&mut self, leader: i32, partition: i32) {
        let replica = self.replica(leader, partition).clone();
        let Some((view, _)) = replica.view.clone() else {
            return;
        };
        if replica.leads(leader).is_none() || !self.alive[&leader] || !replica.pending.is_empty() {
            return;
        }
        let other = view.replicas[self.below(view.replicas.len() as u64) as usize].0;
        if other == leader {
            return;
        }
        let mut isr: Vec<i32> = view.isr.iter().map(|member| member.0).collect();
        let mut expands = false;
        if isr.contains(&other) {
            isr.retain(|member| *member != other);
        } else {
            // Caught up means: to the leader's end, so also past the high watermark.
            let caught_up =
                matches!(replica.fetched.get(&other), Some((end, _)) if *end == replica.log.len());
            if !caught_up {
                return;
            }
            isr.push(other);
            expands = true;
        }
        let epoch_of = |member: i32| {
            let fetched = replica.fetched.get(&member);
            fetched.map_or(BrokerEpoch(-1), |(_, epoch)| *epoch)
        };
        let request = AlterPartition {
            broker_id: BrokerId(leader),
            broker_epoch: self.cluster.epoch(leader),
            partitions: vec![AlterPartitionItem {
                topic_id: self.cluster.image.topic_id("t").expect("topic"),
                partition: PartitionId(partition),
                leader_epoch: view.leader_epoch,
                partition_epoch: view.partition_epoch,
                new_isr: isr.iter().map(|id| (BrokerId(*id), epoch_of(*id))).collect(),
                leader_recovery: LeaderRecovery::Recovered,
            }],
        };
        let result = self.cluster.alter_partition(request);
        let is_lost = self.below(4) == 0;
        let (after, min_insync) = (self.state(partition), self.min_insync());
        let replica = self.replica(leader, partition);
        // Done, though it reads as an error: until the image says more, the added one counts.
        let is_deposed = matches!(&result, Err(error) if error.code == ErrorCode::NEW_LEADER_ELECTED);
        if is_lost || is_deposed {
            replica.pending.extend(expands.then_some(other));
        } else if result.is_ok() {
            replica.learn((after, min_insync));
        }
    }

    fn time_passes(&mut self) {
        let passed = 100 + self.below(600);
        self.cluster.now += Duration::from_millis(passed);
        for id in 1..=BROKERS {
            if self.alive[&id] && self.below(10) > 0 {
                let beat = BrokerHeartbeat {
                    want_shutdown: self.stopping.contains(&id),
                    ..self.cluster.beat(id)
                };
                let status = self.cluster.heartbeat(beat).expect("registered");
                if status.should_shut_down {
                    self.stopping.retain(|stopping| *stopping != id);
                    self.down(id);
                }
            }
        }
        self.cluster.tick();
    }

    fn down(&mut self, id: i32) {
        self.alive.insert(id, false);
        for number in 0..PARTITIONS {
            let replica = self.replica(id, number);
            *replica = Replica {
                log: std::mem::take(&mut replica.log),
                ..Replica::default()
            };
        }
    }

    fn crash(&mut self, id: i32) {
        self.down(id);
        self.stopping.retain(|stopping| *stopping != id);
        if self.below(2) == 0 {
            self.cluster.kill(id);
        }
    }

    fn restart(&mut self) {
        let dead: Vec<i32> = (1..=BROKERS).filter(|id| !self.alive[id]).collect();
        if dead.is_empty() {
            return;
        }
        let id = dead[self.below(dead.len() as u64) as usize];
        let mut shutdown = PreviousShutdown::Clean;
        if self.disks == Disks::MayForget && self.below(2) == 0 {
            shutdown = PreviousShutdown::Unclean;
            self.may_lose = true;
            for number in 0..PARTITIONS {
                let lost = self.below(3) as usize;
                if self.state(number).replicas == [BrokerId(id)] {
                    self.forgot_alone.insert((id, number));
                }
                let log = &mut self.replica(id, number).log;
                log.truncate(log.len().saturating_sub(lost));
            }
        }
        self.incarnation += 1;
        self.cluster.register(id, self.incarnation, shutdown);
        self.alive.insert(id, true);
    }

    fn set_min_insync(&mut self) {
        let value = (1 + self.below(3)).to_string();
        self.cluster
            .alter(2, "t", &[("min.insync.replicas", 0, Some(&value))])
            .expect("altered");
    }

    fn reassign(&mut self, partition: i32) {
        let mut target: Vec<i32> = (1..=BROKERS).collect();
        for index in (1..target.len()).rev() {
            let other = self.below(index as u64 + 1) as usize;
            target.swap(index, other);
        }
        target.truncate(1 + self.below(3) as usize);
        let target = (self.below(3) > 0).then(|| ids(&target));
        let request = AlterPartitionReassignments {
            topics: vec![TopicReassignments {
                name: "t".to_owned(),
                partitions: vec![(PartitionId(partition), target)],
            }],
            allow_replication_factor_change: true,
        };
        self.cluster
            .call(Request::AlterPartitionReassignments(request))
            .expect("answered");
    }

    fn check(&mut self, number: i32, before: &PartitionImage) {
        let after = self.state(number);
        let at = format!("partition {number}: {before:?} -> {after:?}");
        let distinct = |brokers: &[BrokerId]| {
            let set: std::collections::BTreeSet<_> = brokers.iter().collect();
            set.len() == brokers.len()
        };
        assert!(distinct(&after.replicas) && distinct(&after.isr), "{at}");
        assert!(
            after.isr.iter().all(|member| after.replicas.contains(member)),
            "{at}"
        );
        assert_eq!(after.directories.len(), after.replicas.len(), "{at}");
        let eligible = &after.eligible_leader_replicas;
        assert!(
            eligible
                .iter()
                .all(|id| after.replicas.contains(id) && !after.isr.contains(id)),
            "{at}"
        );
        assert!(
            eligible.is_empty() || after.isr.len() < self.min_insync().min(after.replicas.len()),
            "{at}"
        );
        assert!(after.leader_epoch >= before.leader_epoch, "{at}");
        assert!(
            after == *before || after.partition_epoch > before.partition_epoch,
            "{at}"
        );
        let Some(leader) = after.leader else {
            return;
        };
        assert!(after.isr.contains(&leader), "{at}");
        assert!(
            self.cluster.is_active(leader.0) || self.stopping_or_alone(&after),
            "{at}"
        );
        let known = *self.leaders.entry((number, after.leader_epoch)).or_insert(leader);
        assert_eq!(known, leader, "two leaders of one epoch; {at}");
        if after.leader_epoch == before.leader_epoch || after.leader == before.leader {
            return;
        }
        self.election_count += 1;
        let log = self.replica(leader.0, number).log.clone();
        let safe = &mut self.acknowledged[number as usize];
        let kept = common(&log, safe);
        if kept < safe.len() {
            // Where it was all there was, nobody else has more, and there is nothing to recover.
            let was_alone = self.forgot_alone.contains(&(leader.0, number));
            assert!(
                was_alone || after.leader_recovery == LeaderRecovery::Recovering,
                "{leader} lacks what was acknowledged; {at}"
            );
            assert!(self.may_lose, "no disk forgot anything; {at}");
            safe.truncate(kept);
            self.lost_at[number as usize] = after.leader_epoch;
        }
    }

    /// A partition's only replica leads until its broker is fenced.
    fn stopping_or_alone(&self, partition: &PartitionImage) -> bool {
        partition.replicas.len() == 1
    }
}

impl Replica {
    fn leads(&self, broker: i32) -> Option<LeaderEpoch> {
        let (view, _) = self.view.as_ref()?;
        (view.leader == Some(BrokerId(broker))).then_some(view.leader_epoch)
    }

    fn learn(&mut self, view: (PartitionImage, usize)) {
        let epoch_before = self.view.as_ref().map(|(view, _)| view.leader_epoch);
        if epoch_before != Some(view.0.leader_epoch) {
            self.fetched.clear();
        }
        self.pending.clear();
        self.view = Some(view);
    }
}

fn walk(disks: Disks, seeds: u64) {
    let (mut acknowledgements, mut elections) = (0, 0);
    for seed in 0..seeds {
        let mut walk = Walk::new(seed, disks);
        for _ in 0..600 {
            walk.step();
        }
        acknowledgements += walk.acknowledgement_count;
        elections += walk.election_count;
    }
    // A walk on which nothing happens proves nothing.
    assert!(acknowledgements as u64 > seeds, "{acknowledgements}");
    assert!(elections as u64 > seeds, "{elections}");
}

#[test]
fn no_acknowledged_record_is_lost_while_disks_keep_what_they_have() {
    walk(Disks::KeepAll, 100);
}

#[test]
fn what_is_lost_with_disks_that_forget_is_marked() {
    walk(Disks::MayForget, 100);
}
