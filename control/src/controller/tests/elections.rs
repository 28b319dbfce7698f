//! Elections that an operator asks for, that a config allows, and that time brings.

use super::*;
use crate::store::Plan;

fn elect(
    cluster: &mut Cluster,
    election_type: ElectionType,
    partitions: Option<&[(&str, &[i32])]>,
) -> Vec<(String, i32, Result<(), ErrorCode>)> {
    let partitions = partitions.map(|topics| {
        let topics = topics.iter();
        topics
            .map(|(name, numbers)| {
                (
                    (*name).to_owned(),
                    numbers.iter().copied().map(PartitionId).collect(),
                )
            })
            .collect()
    });
    let request = ElectLeaders {
        election_type,
        partitions,
    };
    match cluster.call(Request::ElectLeaders(request)) {
        Ok(Response::ElectLeaders(results)) => results
            .into_iter()
            .map(|elected| {
                let result = elected.result.map_err(|error| error.code);
                (elected.topic, elected.partition.0, result)
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// Partition 0 is led by its second replica, 1 by its first, 2 by nobody: its only in-sync replica, broker 3, is dead.
fn unbalanced() -> Cluster {
    let mut cluster = Cluster::new(3, "");
    cluster
        .create_one(by_hand("t", &[(0, &[1, 2]), (1, &[2, 1]), (2, &[3, 1])]))
        .expect("created");
    cluster.set_isr("t", 2, &[3]);
    cluster.kill(1);
    cluster.kill(3);
    cluster.pass(100, &[1, 2]);
    cluster.set_isr("t", 0, &[2, 1]);
    assert_eq!(cluster.shape("t", 0).0, Some(2));
    assert_eq!(cluster.shape("t", 2), (None, vec![], vec![3]));
    cluster
}

#[test]
fn preferred_elections_answer_as_kafka_does() {
    let mut cluster = unbalanced();
    let named: &[(&str, &[i32])] = &[("t", &[0, 1, 2, 7]), ("u", &[0])];
    let answer = |partition, result| ("t".to_owned(), partition, result);
    assert_eq!(
        elect(&mut cluster, ElectionType::Preferred, Some(named)),
        [
            answer(0, Ok(())),
            answer(1, Err(ErrorCode::ELECTION_NOT_NEEDED)),
            answer(2, Err(ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE)),
            answer(7, Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
            ("u".to_owned(), 0, Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
        ]
    );
    assert_eq!(cluster.shape("t", 0), (Some(1), vec![2, 1], vec![]));
    // of all, only those that need one are told
    assert_eq!(
        elect(&mut cluster, ElectionType::Preferred, None),
        [answer(2, Err(ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE))]
    );
}

#[test]
fn an_unclean_election_by_hand_needs_no_permission_but_a_live_replica() {
    let mut cluster = unbalanced();
    let answer = |partition, result| ("t".to_owned(), partition, result);
    assert_eq!(
        elect(&mut cluster, ElectionType::Unclean, Some(&[("t", &[0, 2])])),
        [answer(0, Err(ErrorCode::ELECTION_NOT_NEEDED)), answer(2, Ok(()))]
    );
    assert_eq!(cluster.shape("t", 2), (Some(1), vec![1], vec![]));
    assert_eq!(
        cluster.partition("t", 2).leader_recovery,
        LeaderRecovery::Recovering
    );
    cluster.kill(1);
    cluster.kill(2);
    // 1 leads it as soon as it is back; until then there is nobody
    assert_eq!(
        elect(&mut cluster, ElectionType::Unclean, Some(&[("t", &[2])])),
        [answer(2, Err(ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE))]
    );
}

#[test]
fn leaders_go_back_by_themselves() {
    // After a rolling restart one broker would serve most of the clients, until an operator noticed.
    let mut cluster = unbalanced();
    cluster.liveness.took_over(cluster.now, &cluster.image, None);
    cluster.pass(299_000, &[1, 2]);
    assert_eq!(cluster.shape("t", 0).0, Some(2));
    cluster.pass(1000, &[1, 2]);
    assert_eq!(cluster.shape("t", 0).0, Some(1));
    let mut cluster = unbalanced();
    cluster.alter(4, "1", &[]).expect("nothing to alter");
    let mut config = (*cluster.controller.config).clone();
    config.cluster.leader_balance_interval_ms = None;
    cluster.liveness = Liveness::new(&config.cluster);
    cluster.liveness.took_over(cluster.now, &cluster.image, None);
    cluster.pass(301_000, &[1, 2]);
    assert_eq!(cluster.shape("t", 0).0, Some(2), "disabled");
}

#[test]
fn many_elections_come_in_goes() {
    // The store has other things to do as well.
    let mut cluster = Cluster::new(2, "");
    cluster.create_one(new_topic("t", 3000, 2)).expect("created");
    cluster.kill(2);
    cluster.pass(100, &[1, 2]);
    for number in 0..3000 {
        cluster.set_isr("t", number, &[1, 2]);
    }
    let away = |cluster: &Cluster| {
        let topic = cluster.image.topic_by_name("t").expect("created");
        let partitions = topic.partitions.values();
        partitions
            .filter(|partition| partition.leader != partition.replicas.first().copied())
            .count()
    };
    assert_eq!(away(&cluster), 1500);
    cluster.liveness.leader_balance().hurry(cluster.now);
    assert_eq!(cluster.tick(), 1000);
    assert_eq!(cluster.tick(), 0);
    cluster.now += Duration::from_millis(50);
    assert_eq!(cluster.tick(), 500);
    assert_eq!(away(&cluster), 0);
}

#[test]
fn allowing_unclean_elections_has_them_at_once() {
    // An operator that gives up the lost records waits for nothing.
    let mut cluster = unbalanced();
    cluster.pass(600_000, &[1, 2]);
    assert_eq!(cluster.shape("t", 2).0, None);
    cluster
        .alter(2, "t", &[("unclean.leader.election.enable", 0, Some("true"))])
        .expect("altered");
    cluster.tick();
    assert_eq!(cluster.shape("t", 2), (Some(1), vec![1], vec![]));
    // and from then on a death brings one on
    cluster.set_isr("t", 0, &[2]);
    cluster.kill(2);
    assert_eq!(cluster.shape("t", 0), (Some(1), vec![1], vec![]));
    assert_eq!(
        cluster.partition("t", 0).leader_recovery,
        LeaderRecovery::Recovering
    );
}

#[test]
fn a_lower_min_insync_replicas_ends_eligibility() {
    // The high watermark goes on without them: elected later, they would take acknowledged records with them.
    let mut cluster = Cluster::new(3, "");
    let topic = by_hand("t", &[(0, &[1, 2, 3])]);
    cluster
        .create_one(with_config(topic, "min.insync.replicas", Some("2")))
        .expect("created");
    cluster.set_isr("t", 0, &[1]);
    assert_eq!(cluster.shape("t", 0), (Some(1), vec![1], vec![2, 3]));
    cluster
        .alter(2, "t", &[("min.insync.replicas", 0, Some("3"))])
        .expect("altered");
    assert_eq!(cluster.shape("t", 0), (Some(1), vec![1], vec![2, 3]));
    cluster
        .alter(2, "t", &[("min.insync.replicas", 1, None)])
        .expect("altered");
    assert_eq!(cluster.shape("t", 0), (Some(1), vec![1], vec![]));
}

#[test]
fn a_death_costs_what_the_broker_has() {
    // 100,000 partitions of others must not be looked at, nor those that only have the broker outside of their ISR written.
    let mut cluster = Cluster::new(4, "");
    cluster
        .create_one(by_hand("mine", &[(0, &[1, 2]), (1, &[2, 1])]))
        .expect("created");
    cluster
        .create_one(by_hand("others", &[(0, &[3, 4]), (1, &[4, 3])]))
        .expect("created");
    cluster.set_isr("mine", 1, &[2]);
    cluster.liveness.gone(cluster.now, BrokerId(1));
    assert_eq!(cluster.tick(), 2, "one partition and the broker");
    assert_eq!(cluster.shape("mine", 1), (Some(2), vec![2], vec![]));
}

/// Appends to the store that these records take, and their bytes.
fn appends(records: &[Record]) -> (usize, usize) {
    let mut plan = Plan::default();
    plan.push(records).expect("fits");
    let bytes = plan
        .batches()
        .iter()
        .flatten()
        .map(|record| record.encode().len())
        .sum();
    (plan.batches().len(), bytes)
}

#[test]
fn a_death_costs_at_most_two_appends_for_ten_thousand_partitions() {
    // Every broker reads what is appended, and the store has a bound on a value.
    let mut cluster = Cluster::new(3, "");
    cluster.create_one(new_topic("t", 10_000, 3)).expect("created");
    cluster
        .alter(2, "t", &[("min.insync.replicas", 0, Some("3"))])
        .expect("altered");
    let dead = [BrokerId(1)].into();
    let records = cluster.controller.fence(&dead, &cluster.image);
    assert_eq!(records.len(), 10_001);
    let (count, bytes) = appends(&records);
    assert!(count <= 2, "{count} appends of {bytes} bytes");
    assert!(bytes < 700_000, "{bytes}");
}
