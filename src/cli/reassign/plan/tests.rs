//! Small clusters with a right answer, and many random ones with rules that no plan may break.

use super::super::layout::Broker;
use super::*;

const MB: u64 = 1_000_000;

fn brokers(racks: &[Option<&str>]) -> Vec<Broker> {
    let broker = |(id, rack): (i32, &Option<&str>)| Broker {
        id,
        rack: rack.map(str::to_owned),
    };
    (1..).zip(racks).map(broker).collect()
}

fn partition(index: i32, replicas: &[i32], bytes: u64) -> Partition {
    Partition {
        topic: "t".to_owned(),
        index,
        replicas: replicas.to_vec(),
        bytes,
        bytes_per_second: 0.0,
        freedom: Freedom::Any,
    }
}

fn balance() -> Goal {
    Goal {
        drained: BTreeSet::new(),
        tolerance: 0.1,
        scope: Scope::Balance,
    }
}

fn drain(broker: i32) -> Goal {
    Goal {
        drained: BTreeSet::from([broker]),
        scope: Scope::Needed,
        ..balance()
    }
}

fn bytes(plan: &Plan) -> Vec<(i32, u64)> {
    let after = plan.after.iter();
    after.map(|(id, load)| (*id, load.bytes.round() as u64)).collect()
}

#[test]
fn an_even_cluster_is_left_alone() {
    // A tool that always finds something to move costs the network a copy of everything each time it is run.
    let layout = Layout {
        brokers: brokers(&[None; 3]),
        partitions: (0..30)
            .map(|at| {
                partition(
                    at,
                    &[at % 3 + 1, (at + 1) % 3 + 1],
                    100 * MB + at as u64 * MB / 10,
                )
            })
            .collect(),
    };
    assert_eq!(plan(&layout, &balance()).unwrap().moves, []);
}

#[test]
fn a_new_broker_gets_its_share_and_nothing_else_moves() {
    let layout = Layout {
        brokers: brokers(&[None; 4]),
        partitions: (0..12)
            .map(|at| partition(at, &[at % 3 + 1, (at + 1) % 3 + 1], 100 * MB))
            .collect(),
    };
    let plan = plan(&layout, &balance()).unwrap();
    // 24 replicas on 4 brokers: 6 each
    assert_eq!(bytes(&plan), [1, 2, 3, 4].map(|id| (id, 600 * MB)));
    assert_eq!(plan.moves.iter().map(|moved| moved.bytes).sum::<u64>(), 600 * MB);
    assert!(plan.moves.iter().all(|moved| moved.added().eq([4])));
}

#[test]
fn large_partitions_weigh_more_than_many() {
    let mut partitions = vec![partition(0, &[1], 900 * MB)];
    partitions.extend((1..10).map(|at| partition(at, &[1], 100 * MB)));
    let layout = Layout {
        brokers: brokers(&[None; 2]),
        partitions,
    };
    let plan = plan(&layout, &balance()).unwrap();
    assert_eq!(bytes(&plan), [(1, 900 * MB), (2, 900 * MB)]);
    assert_eq!(
        plan.moves.len(),
        1,
        "one large move rather than nine small ones: {:?}",
        plan.moves
    );
}

#[test]
fn without_bytes_or_traffic_replicas_and_leaders_are_counted() {
    let layout = Layout {
        brokers: brokers(&[None; 3]),
        partitions: (0..9).map(|at| partition(at, &[1, 2], 0)).collect(),
    };
    let plan = plan(&layout, &balance()).unwrap();
    for load in plan.after.values() {
        assert!(
            (load.replicas - 6.0).abs() < 1.0 && (load.leaders - 3.0).abs() < 1.0,
            "{:?}",
            plan.after
        );
    }
}

#[test]
fn leaders_change_place_without_copying() {
    // All lead on broker 1 after a rolling restart, and it alone sends to all followers.
    let partitions = (0..6).map(|at| Partition {
        bytes_per_second: 10.0 * MB as f64,
        ..partition(at, &[1, at % 2 + 2, 3 - at % 2], 100 * MB)
    });
    let layout = Layout {
        brokers: brokers(&[None; 3]),
        partitions: partitions.collect(),
    };
    let plan = plan(&layout, &balance()).unwrap();
    assert!(
        plan.moves.iter().all(|moved| moved.bytes == 0),
        "{:?}",
        plan.moves
    );
    assert_eq!(
        plan.after.values().map(|load| load.leaders).collect::<Vec<_>>(),
        [2.0; 3]
    );
    assert_eq!(plan.moves.len(), 4);
}

#[test]
fn a_drained_broker_is_empty_and_the_rest_carries_it_evenly() {
    let layout = Layout {
        brokers: brokers(&[None; 4]),
        partitions: (0..24)
            .map(|at| partition(at, &[at % 4 + 1, (at + 1) % 4 + 1, (at + 2) % 4 + 1], 10 * MB))
            .collect(),
    };
    let plan = plan(&layout, &drain(2)).unwrap();
    assert_eq!(
        bytes(&plan),
        [(1, 240 * MB), (2, 0), (3, 240 * MB), (4, 240 * MB)]
    );
    // what broker 2 had is copied once, nothing else
    assert_eq!(plan.moves.iter().map(|moved| moved.bytes).sum::<u64>(), 180 * MB);
    assert!(
        plan.moves
            .iter()
            .all(|moved| moved.from.contains(&2) && moved.to.len() == 3)
    );
}

#[test]
fn a_dead_broker_that_is_not_registered_any_more_can_be_drained() {
    let layout = Layout {
        brokers: brokers(&[None; 2]),
        partitions: vec![Partition {
            freedom: Freedom::IfNeeded,
            ..partition(0, &[1, 9], MB)
        }],
    };
    let moves = plan(&layout, &drain(9)).unwrap().moves;
    assert_eq!(moves[0].to, [1, 2]);
    assert_eq!(plan(&layout, &drain(7)), Err(PlanError::UnknownBroker(7)));
}

#[test]
fn replication_is_never_lowered() {
    let layout = Layout {
        brokers: brokers(&[None; 3]),
        partitions: vec![partition(0, &[1, 2, 3], MB)],
    };
    let refused = PlanError::TooFewBrokers {
        topic: "t".to_owned(),
        index: 0,
        replicas: 3,
        brokers: 2,
    };
    assert_eq!(plan(&layout, &drain(3)), Err(refused));
}

#[test]
fn copies_stay_in_as_many_racks_as_they_are() {
    // Broker 3 is as empty as 4, but in the rack of the copy that stays.
    let layout = Layout {
        brokers: brokers(&[Some("a"), Some("b"), Some("a"), Some("b")]),
        partitions: (0..6).map(|at| partition(at, &[1, 2], 10 * MB)).collect(),
    };
    let moves = plan(&layout, &drain(2)).unwrap().moves;
    assert_eq!(moves.len(), 6);
    assert!(moves.iter().all(|moved| moved.to == [1, 4]), "{moves:?}");
}

#[test]
fn copies_that_share_a_rack_are_spread() {
    let layout = Layout {
        brokers: brokers(&[Some("a"), Some("a"), Some("b")]),
        partitions: vec![partition(0, &[1, 2], MB)],
    };
    let moves = plan(&layout, &balance()).unwrap().moves;
    assert_eq!(moves[0].to, [1, 3], "the leader stays where it is");
}

#[test]
fn what_is_not_asked_for_stays_but_weighs() {
    let fixed = |freedom| {
        let mut partitions: Vec<_> = (0..4).map(|at| partition(at, &[1], 100 * MB)).collect();
        partitions[0].freedom = freedom;
        partitions[1].freedom = freedom;
        Layout {
            brokers: brokers(&[None; 2]),
            partitions,
        }
    };
    for freedom in [Freedom::Fixed, Freedom::IfNeeded] {
        let plan = plan(&fixed(freedom), &balance()).unwrap();
        assert_eq!(
            plan.moves.iter().map(|moved| moved.index).collect::<Vec<_>>(),
            [2, 3]
        );
    }
}

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

fn random_layout(dice: &mut Dice) -> Layout {
    const RACKS: [&str; 3] = ["a", "b", "c"];
    let count = 2 + dice.roll(7);
    let has_racks = dice.roll(2) == 0;
    let racks: Vec<Option<&str>> = (0..count)
        .map(|_| has_racks.then(|| RACKS[dice.roll(3)]))
        .collect();
    let partitions = (0..1 + dice.roll(40) as i32).map(|index| {
        let mut free: Vec<i32> = (1..=count as i32).collect();
        let replicas = (0..1 + dice.roll(count.min(3)))
            .map(|_| free.swap_remove(dice.roll(free.len())))
            .collect::<Vec<_>>();
        Partition {
            bytes_per_second: dice.roll(3) as f64 * dice.roll(5_000_000) as f64,
            freedom: [Freedom::Any, Freedom::Any, Freedom::IfNeeded, Freedom::Fixed][dice.roll(4)],
            ..partition(
                index,
                &replicas,
                dice.roll(3) as u64 * dice.roll(1_000) as u64 * MB,
            )
        }
    });
    Layout {
        partitions: partitions.collect(),
        brokers: brokers(&racks),
    }
}

/// The sum of squared deviations over all brokers.
fn unevenness(loads: &BTreeMap<i32, Load>) -> f64 {
    let all = loads.values();
    let mean = all.clone().map(|load| load.bytes).sum::<f64>() / loads.len() as f64;
    all.map(|load| (load.bytes - mean).powi(2)).sum()
}

#[test]
fn no_plan_breaks_the_rules() {
    for seed in 1..400 {
        let mut dice = Dice((seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let layout = random_layout(&mut dice);
        let goal = match dice.roll(2) {
            0 => balance(),
            _ => drain(1 + dice.roll(layout.brokers.len()) as i32),
        };
        let planned = match plan(&layout, &goal) {
            Ok(planned) => planned,
            Err(PlanError::TooFewBrokers {
                replicas, brokers, ..
            }) => {
                assert!(replicas > brokers, "seed {seed}");
                continue;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        };
        assert_eq!(
            plan(&layout, &goal).unwrap(),
            planned,
            "seed {seed}: another plan for the same cluster"
        );
        for moved in &planned.moves {
            let partition = &layout.partitions[moved.index as usize];
            assert_ne!(partition.freedom, Freedom::Fixed, "seed {seed}");
            assert_eq!(moved.from.len(), moved.to.len(), "seed {seed}: {moved:?}");
            let distinct: BTreeSet<_> = moved.to.iter().collect();
            assert_eq!(distinct.len(), moved.to.len(), "seed {seed}: {moved:?}");
            assert!(
                moved.to.iter().all(|id| !goal.drained.contains(id)),
                "seed {seed}: {moved:?}"
            );
            if goal.scope == Scope::Balance {
                let racks = |replicas: &[i32]| layout.rack_count(replicas);
                assert!(racks(&moved.to) >= racks(&moved.from), "seed {seed}: {moved:?}");
                assert_eq!(partition.freedom, Freedom::Any, "seed {seed}: {moved:?}");
            }
        }
        let has_racks = layout.brokers.iter().any(|broker| broker.rack.is_some());
        let has_traffic = layout
            .partitions
            .iter()
            .any(|partition| partition.bytes_per_second > 0.0);
        if goal.scope == Scope::Balance && !has_racks && !has_traffic {
            assert!(
                unevenness(&planned.after) <= unevenness(&planned.before),
                "seed {seed}"
            );
        }
    }
}
