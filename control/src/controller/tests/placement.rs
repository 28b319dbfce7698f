//! Where replicas go: over brokers, racks and shards.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Replicas of each partition of a new topic.
fn place(cluster: &mut Cluster, name: &str, partitions: i32, factor: i16) -> Vec<Vec<i32>> {
    cluster
        .create_one(new_topic(name, partitions, factor))
        .expect("created");
    let topic = cluster.image.topic_by_name(name).expect("created");
    let replicas = topic.partitions.values().map(|partition| {
        let distinct: BTreeSet<_> = partition.replicas.iter().collect();
        assert_eq!(distinct.len(), partition.replicas.len());
        partition.replicas.iter().map(|id| id.0).collect()
    });
    replicas.collect()
}

/// The most and the least of what brokers `1..=brokers` have.
fn extremes<'a>(brokers: i32, given: impl Iterator<Item = &'a i32>) -> (usize, usize) {
    let mut counts: BTreeMap<i32, usize> = (1..=brokers).map(|id| (id, 0)).collect();
    for id in given {
        *counts.entry(*id).or_default() += 1;
    }
    let (least, most) = (counts.values().min(), counts.values().max());
    (most.copied().unwrap_or(0), least.copied().unwrap_or(0))
}

#[test]
fn leaders_and_followers_are_even_however_many_brokers_there_are() {
    for brokers in 1..=7 {
        for factor in 1..=brokers.min(4) {
            let mut cluster = Cluster::new(brokers, "");
            for partitions in [1, 5, brokers * 4, 100] {
                let name = format!("t{partitions}");
                let placed = place(&mut cluster, &name, partitions, factor as i16);
                let (most, least) = extremes(brokers, placed.iter().map(|replicas| &replicas[0]));
                assert!(
                    most - least <= 1,
                    "leaders of {partitions} on {brokers}: {placed:?}"
                );
                let (most, least) = extremes(brokers, placed.iter().flatten());
                assert!(
                    most - least <= 2,
                    "{factor} replicas of {partitions} on {brokers}: {placed:?}"
                );
            }
        }
    }
}

#[test]
fn a_brokers_leaders_are_even_over_its_shards() {
    // A partition's shard is its number, counted on from the topic's id: were leaders counted through in the same way, brokers
    // of two cores would lead on one of them.
    for (brokers, shards) in [(2, 2), (2, 4), (2, 8), (3, 3), (4, 2), (4, 4), (3, 2), (6, 4)] {
        let mut cluster = Cluster::new(brokers, "");
        let partitions = brokers * shards * 4;
        let placed = place(&mut cluster, "t", partitions, 1);
        let mut counts: BTreeMap<(i32, i32), i32> = BTreeMap::new();
        for (number, replicas) in (0..).zip(&placed) {
            *counts.entry((replicas[0], number % shards)).or_default() += 1;
        }
        assert_eq!(counts.len(), (brokers * shards) as usize, "{brokers} x {shards}");
        let most = counts.values().max().copied().unwrap_or(0);
        assert!(most <= 8, "{brokers} x {shards}: {counts:?}");
    }
}

#[test]
fn two_brokers_do_not_share_all_their_partitions() {
    // One's death would double the load of one other, and leave the rest idle.
    let mut cluster = Cluster::new(5, "");
    let placed = place(&mut cluster, "t", 100, 2);
    let pairs: BTreeSet<_> = placed.iter().map(|replicas| (replicas[0], replicas[1])).collect();
    assert!(pairs.len() >= 15, "{pairs:?}");
}

#[test]
fn replicas_lie_on_different_racks() {
    let racks = [Some("a"), Some("a"), Some("b"), Some("b"), Some("c"), Some("c")];
    let mut cluster = Cluster::of_racks(&racks);
    let placed = place(&mut cluster, "t", 60, 3);
    for replicas in &placed {
        let used: BTreeSet<_> = replicas.iter().map(|id| racks[*id as usize - 1]).collect();
        assert_eq!(used.len(), 3, "{replicas:?}");
    }
    assert_eq!(extremes(6, placed.iter().map(|replicas| &replicas[0])), (10, 10));
    let (most, least) = extremes(6, placed.iter().flatten());
    assert!(most - least <= 2, "{placed:?}");
}

#[test]
fn unequal_racks_still_hold_one_copy_each() {
    // With the row alone, the last of the larger rack would follow its neighbour of the same rack.
    let racks = [Some("a"), Some("a"), Some("a"), Some("b"), None];
    let mut cluster = Cluster::of_racks(&racks);
    for (name, factor, expected) in [("t", 2, 2), ("u", 3, 3), ("v", 4, 3)] {
        for replicas in place(&mut cluster, name, 50, factor) {
            let used: BTreeSet<_> = replicas.iter().map(|id| racks[*id as usize - 1]).collect();
            assert_eq!(used.len(), expected, "{replicas:?}");
        }
    }
    // leaders are even over brokers all the same
    let leaders = place(&mut cluster, "w", 50, 2);
    assert_eq!(extremes(5, leaders.iter().map(|replicas| &replicas[0])), (10, 10));
}

#[test]
fn fenced_brokers_never_lead_and_stand_in_for_their_rack() {
    let racks = [Some("a"), Some("a"), Some("b")];
    let mut cluster = Cluster::of_racks(&racks);
    cluster.kill(3);
    for replicas in place(&mut cluster, "t", 20, 2) {
        assert_ne!(replicas[0], 3);
        assert_eq!(replicas[1], 3, "the other rack, though its only broker is away");
    }
    assert_eq!(cluster.partition("t", 0).isr.len(), 1);
    // without racks, those that are there come first
    let mut cluster = Cluster::new(3, "");
    cluster.kill(3);
    for replicas in place(&mut cluster, "t", 20, 2) {
        assert!(!replicas.contains(&3));
    }
    for replicas in place(&mut cluster, "u", 20, 3) {
        assert_eq!(replicas[2], 3);
    }
}

#[test]
fn who_is_about_to_stop_gets_nothing_new() {
    let mut cluster = Cluster::new(3, "");
    cluster
        .create_one(by_hand("t", &[(0, &[3, 1])]))
        .expect("created");
    let request = BrokerHeartbeat {
        want_shutdown: true,
        ..cluster.beat(3)
    };
    cluster.heartbeat(request).expect("known");
    for replicas in place(&mut cluster, "u", 20, 2) {
        assert!(!replicas.contains(&3));
    }
    let refused = cluster.create_one(new_topic("v", 1, 3));
    assert_eq!(
        refused.map_err(|error| error.code).map(|_| ()),
        Err(ErrorCode::INVALID_REPLICATION_FACTOR)
    );
}

#[test]
fn an_internal_topic_makes_do_with_the_brokers_there_are() {
    // offsets.topic.replication.factor is 3, and a cluster of two has groups as well.
    for (brokers, expected) in [(1, 1), (2, 2), (5, 3)] {
        let mut cluster = Cluster::new(brokers, "");
        let names = vec![InternalTopic::OFFSETS.to_owned()];
        cluster
            .call(Request::AutoCreateTopics(AutoCreateTopics { names }))
            .expect("created");
        let partition = cluster.partition(InternalTopic::OFFSETS, 0);
        assert_eq!(partition.replicas.len(), expected);
    }
}
