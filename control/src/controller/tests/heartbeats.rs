//! Brokers that start, hang, die, stop, lose disks and come back.

use super::*;

const MIN_ISR_2: (&str, Option<&str>) = ("min.insync.replicas", Some("2"));

fn replicated(cluster: &mut Cluster, name: &str, replicas: &[i32]) {
    cluster
        .create_one(by_hand(name, &[(0, replicas)]))
        .expect("created");
}

#[test]
fn a_broker_is_unfenced_once_it_has_read_what_made_it_a_broker() {
    // With an older image it would not know what it leads.
    let mut cluster = Cluster::new(1, "");
    let epoch = cluster.register(2, 1, PreviousShutdown::Clean);
    let mut beat = cluster.beat(2);
    beat.metadata_offset = Offset(epoch.0 - 1);
    let status = cluster.heartbeat(beat.clone()).expect("known");
    assert!(status.is_fenced && !status.is_caught_up);
    // its shards are not ready yet
    beat.metadata_offset = Offset(epoch.0);
    beat.want_fence = true;
    let status = cluster.heartbeat(beat.clone()).expect("known");
    assert!(status.is_fenced && status.is_caught_up);
    beat.want_fence = false;
    let status = cluster.heartbeat(beat).expect("known");
    assert!(!status.is_fenced && status.is_caught_up && !status.should_shut_down);
    assert!(cluster.is_active(2));
}

#[test]
fn a_heartbeat_of_an_earlier_process_is_refused() {
    let mut cluster = Cluster::new(1, "");
    let old = cluster.beat(1);
    cluster.register(1, 2, PreviousShutdown::Clean);
    let refused = cluster.heartbeat(old).map_err(|error| error.code);
    assert_eq!(refused, Err(ErrorCode::STALE_BROKER_EPOCH));
    let unknown = BrokerHeartbeat {
        broker_id: BrokerId(7),
        ..cluster.beat(1)
    };
    let refused = cluster.heartbeat(unknown).map_err(|error| error.code);
    assert_eq!(refused, Err(ErrorCode::STALE_BROKER_EPOCH));
}

#[test]
fn a_silent_leader_is_replaced_within_two_seconds_and_a_dead_one_at_once() {
    let mut cluster = Cluster::new(3, "");
    replicated(&mut cluster, "t", &[1, 2, 3]);
    cluster.pass(10_000, &[1, 2, 3]);
    assert_eq!(cluster.shape("t", 0), (Some(1), vec![1, 2, 3], vec![]));
    cluster.pass(1500, &[2, 3]);
    assert_eq!(cluster.shape("t", 0), (Some(2), vec![2, 3], vec![]));
    assert!(!cluster.is_active(1));
    cluster.kill(2);
    assert_eq!(cluster.shape("t", 0), (Some(3), vec![3], vec![]));
    // it comes back, and into the ISR only through its leader
    cluster.pass(200, &[1, 3]);
    assert!(cluster.is_active(1));
    assert_eq!(cluster.shape("t", 0), (Some(3), vec![3], vec![]));
}

#[test]
fn brokers_that_die_together_cost_one_change_a_partition() {
    let mut cluster = Cluster::new(3, "");
    replicated(&mut cluster, "t", &[1, 2, 3]);
    let before = cluster.partition("t", 0).partition_epoch;
    cluster.liveness.gone(cluster.now, BrokerId(1));
    cluster.liveness.gone(cluster.now, BrokerId(2));
    assert_eq!(cluster.tick(), 3, "one partition, two brokers");
    assert_eq!(cluster.shape("t", 0), (Some(3), vec![3], vec![]));
    assert_eq!(cluster.partition("t", 0).partition_epoch.0, before.0 + 1);
}

#[test]
fn the_last_in_sync_waits_for_itself() {
    // Any other would lack what it acknowledged.
    let mut cluster = Cluster::new(2, "");
    replicated(&mut cluster, "t", &[1, 2]);
    cluster.kill(2);
    cluster.kill(1);
    assert_eq!(cluster.shape("t", 0), (None, vec![], vec![1]));
    cluster.pass(200, &[2]);
    assert!(cluster.is_active(2));
    assert_eq!(cluster.shape("t", 0).0, None);
    cluster.register(1, 2, PreviousShutdown::Clean);
    cluster.pass(200, &[1, 2]);
    assert_eq!(cluster.shape("t", 0), (Some(1), vec![1], vec![]));
    assert_eq!(
        cluster.partition("t", 0).leader_recovery,
        LeaderRecovery::Recovered
    );
}

#[test]
fn all_machines_lose_power_and_every_partition_is_led_again() {
    // Each comes back unclean; the last one that could have acknowledged leads, and is marked.
    let mut cluster = Cluster::new(3, "");
    cluster
        .create_one(NewTopic {
            configs: vec![("min.insync.replicas".to_owned(), Some("2".to_owned()))],
            ..by_hand("t", &[(0, &[1, 2, 3]), (1, &[2, 3, 1]), (2, &[3, 1, 2])])
        })
        .expect("created");
    for id in 1..=3 {
        cluster.register(id, 2, PreviousShutdown::Unclean);
    }
    for number in 0..3 {
        assert_eq!(cluster.shape("t", number), (None, vec![], vec![]));
    }
    cluster.pass(300, &[1, 2]);
    assert_eq!(cluster.shape("t", 0).0, None, "3 was the last in sync");
    cluster.pass(300, &[1, 2, 3]);
    for number in 0..3 {
        assert_eq!(cluster.shape("t", number), (Some(3), vec![3], vec![]));
        assert_eq!(
            cluster.partition("t", number).leader_recovery,
            LeaderRecovery::Recovering
        );
    }
}

#[test]
fn a_broker_that_flaps_stays_away_for_a_while() {
    let mut cluster = Cluster::new(2, "");
    for _ in 0..2 {
        cluster.kill(2);
        cluster.pass(100, &[1, 2]);
        assert!(cluster.is_active(2));
    }
    cluster.kill(2);
    cluster.pass(900, &[1, 2]);
    assert!(!cluster.is_active(2));
    let status = cluster.heartbeat(cluster.beat(2)).expect("known");
    assert!(status.is_fenced && status.is_caught_up);
    cluster.pass(200, &[1, 2]);
    assert!(cluster.is_active(2));
    // a process that crashes and restarts before anybody missed it flaps as well
    for incarnation in 2..5 {
        cluster.register(2, incarnation, PreviousShutdown::Unclean);
        cluster.pass(5000, &[1, 2]);
    }
    assert!(!cluster.is_active(2), "held for 8 s by now");
    cluster.pass(4000, &[1, 2]);
    assert!(cluster.is_active(2));
}

#[test]
fn a_controlled_shutdown_moves_leaders_first() {
    // The clients of a broker that is restarted notice nothing but a change of leaders.
    let mut cluster = Cluster::new(3, "");
    cluster
        .create_one(by_hand("t", &[(0, &[1, 2]), (1, &[2, 1])]))
        .expect("created");
    cluster.create_one(by_hand("u", &[(0, &[1])])).expect("created");
    let stopping = |cluster: &Cluster| BrokerHeartbeat {
        want_shutdown: true,
        ..cluster.beat(1)
    };
    cluster.pass(100, &[1, 2, 3]);
    let request = stopping(&cluster);
    let status = cluster.heartbeat(request).expect("known");
    assert!(!status.should_shut_down && !status.is_fenced);
    assert_eq!(cluster.shape("t", 0), (Some(2), vec![2], vec![]));
    assert_eq!(cluster.shape("t", 1), (Some(2), vec![2], vec![]));
    assert_eq!(cluster.shape("u", 0), (Some(1), vec![1], vec![]));
    assert!(!cluster.is_active(1));
    // the others have to know before it goes
    let request = stopping(&cluster);
    assert!(!cluster.heartbeat(request).expect("known").should_shut_down);
    cluster.heartbeat(cluster.beat(2)).expect("known");
    let request = stopping(&cluster);
    assert!(!cluster.heartbeat(request).expect("known").should_shut_down);
    cluster.heartbeat(cluster.beat(3)).expect("known");
    let request = stopping(&cluster);
    let status = cluster.heartbeat(request).expect("known");
    assert!(status.should_shut_down && status.is_fenced);
    assert_eq!(cluster.shape("u", 0), (None, vec![1], vec![]));
    assert!(cluster.image.broker(BrokerId(1)).expect("registered").fenced);
    // a fenced one may go at once
    let request = stopping(&cluster);
    assert!(cluster.heartbeat(request).expect("known").should_shut_down);
    // and its successor is not held down for it
    cluster.register(1, 2, PreviousShutdown::Clean);
    cluster.pass(100, &[1, 2, 3]);
    assert!(cluster.is_active(1));
    assert_eq!(cluster.shape("u", 0), (Some(1), vec![1], vec![]));
}

#[test]
fn the_only_broker_may_stop_at_once_and_nothing_is_written() {
    // A record for each partition would make its next start slower.
    let mut cluster = Cluster::new(1, "");
    cluster.create_one(new_topic("t", 5, 1)).expect("created");
    let before = cluster.next_offset;
    let request = BrokerHeartbeat {
        want_shutdown: true,
        ..cluster.beat(1)
    };
    assert!(cluster.heartbeat(request).expect("known").should_shut_down);
    assert_eq!(cluster.next_offset, before);
}

#[test]
fn a_broker_that_wants_to_be_fenced_is() {
    let mut cluster = Cluster::new(2, "");
    replicated(&mut cluster, "t", &[1, 2]);
    let request = BrokerHeartbeat {
        want_fence: true,
        ..cluster.beat(1)
    };
    assert!(cluster.heartbeat(request).expect("known").is_fenced);
    assert_eq!(cluster.shape("t", 0), (Some(2), vec![2], vec![]));
}

#[test]
fn a_failed_directory_costs_what_lies_in_it() {
    let mut cluster = Cluster::new(2, "");
    let other = DirectoryId(Uuid::from_u128(7777));
    let request = AssignDirectories {
        broker_id: BrokerId(1),
        broker_epoch: cluster.epoch(1),
        online: vec![directory(1), other],
        assignments: Vec::new(),
    };
    cluster.call(Request::AssignDirectories(request)).expect("told");
    cluster
        .create_one(by_hand("t", &[(0, &[1, 2]), (1, &[1, 2])]))
        .expect("created");
    let lies_in = |cluster: &Cluster, number| cluster.partition("t", number).directories[0];
    assert_eq!(
        (lies_in(&cluster, 0), lies_in(&cluster, 1)),
        (directory(1), other)
    );
    let request = BrokerHeartbeat {
        offline_log_dirs: vec![other],
        ..cluster.beat(1)
    };
    let status = cluster.heartbeat(request.clone()).expect("known");
    assert!(!status.is_fenced);
    assert_eq!(cluster.shape("t", 0), (Some(1), vec![1, 2], vec![]));
    assert_eq!(cluster.shape("t", 1), (Some(2), vec![2], vec![]));
    assert_eq!(
        cluster.image.broker(BrokerId(1)).expect("registered").log_dirs,
        [directory(1)]
    );
    // told again, nothing is left to do
    let before = cluster.next_offset;
    cluster.heartbeat(request).expect("known");
    assert_eq!(cluster.next_offset, before);
    // 1 cannot lead what it cannot read, not even as the last one
    cluster.kill(2);
    assert_eq!(cluster.shape("t", 1), (None, vec![], vec![2]));
}

#[test]
fn a_second_broker_of_the_same_id_is_refused_and_a_successor_is_not() {
    // Two processes that both believe to be broker 1 would answer for each other's partitions.
    let mut cluster = Cluster::new(2, "");
    let stranger = RegisterBroker {
        log_dirs: vec![directory(70)],
        ..registration(1, 8, PreviousShutdown::Clean)
    };
    let register = |cluster: &mut Cluster, request: &RegisterBroker| {
        let result = cluster.call(Request::RegisterBroker(request.clone()));
        result.map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(
        register(&mut cluster, &stranger),
        Err(ErrorCode::DUPLICATE_BROKER_REGISTRATION)
    );
    let successor = registration(1, 2, PreviousShutdown::Clean);
    assert_eq!(register(&mut cluster, &successor), Ok(()));
    // A request of the first process that was on its way for long. Taken, it would fence the living, whom nobody would let in again.
    let predecessor = RegisterBroker {
        known_epoch: None,
        ..registration(1, 1, PreviousShutdown::Clean)
    };
    let living = cluster.epoch(1);
    for _ in 0..2 {
        assert_eq!(
            register(&mut cluster, &predecessor),
            Err(ErrorCode::STALE_BROKER_EPOCH)
        );
        assert_eq!(cluster.epoch(1), living);
        cluster.liveness.took_over(cluster.now, &cluster.image, None); // another controller has not seen them come
    }
    // where the registered one is dead, its id is free
    cluster.pass(1600, &[1]);
    assert!(!cluster.is_active(2));
    let replacement = RegisterBroker {
        log_dirs: vec![directory(71)],
        ..registration(2, 9, PreviousShutdown::Clean)
    };
    assert_eq!(register(&mut cluster, &replacement), Ok(()));
}

#[test]
fn a_forgotten_broker_has_nothing_left() {
    let mut cluster = Cluster::new(3, "");
    cluster
        .create_one(NewTopic {
            configs: vec![(MIN_ISR_2.0.to_owned(), MIN_ISR_2.1.map(str::to_owned))],
            ..by_hand("t", &[(0, &[1, 2, 3])])
        })
        .expect("created");
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(cluster.shape("t", 0), (Some(3), vec![3], vec![2]));
    let unregister = |cluster: &mut Cluster, id| {
        let request = UnregisterBroker {
            broker_id: BrokerId(id),
        };
        cluster.call(Request::UnregisterBroker(request))
    };
    assert_eq!(unregister(&mut cluster, 2), Ok(Response::UnregisterBroker));
    assert_eq!(cluster.shape("t", 0), (Some(3), vec![3], vec![]));
    assert!(cluster.image.broker(BrokerId(2)).is_none());
    assert_eq!(
        unregister(&mut cluster, 2),
        Err(ApiError::new(
            ErrorCode::BROKER_ID_NOT_REGISTERED,
            "Broker ID 2 is not currently registered"
        ))
    );
    // also one that is alive, which then has to register anew
    assert_eq!(unregister(&mut cluster, 3), Ok(Response::UnregisterBroker));
    assert_eq!(cluster.shape("t", 0), (None, vec![], vec![]));
    assert_eq!(cluster.tick(), 0);
}
