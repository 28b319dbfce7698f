//! AlterPartition: what leaders ask for, and what they are told.

use super::*;

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(4, "");
    cluster
        .create_one(by_hand("t", &[(0, &[1, 2, 3])]))
        .expect("created");
    cluster
}

#[test]
fn an_isr_shrinks_and_grows_at_its_leaders_request() {
    let mut cluster = cluster();
    let request = cluster.ask_isr("t", 0, &[1, 3]);
    let state = cluster.alter_partition(request).expect("altered");
    let partition = cluster.partition("t", 0);
    assert_eq!(
        state,
        PartitionState {
            leader: Some(BrokerId(1)),
            leader_epoch: partition.leader_epoch,
            isr: ids(&[1, 3]),
            leader_recovery: LeaderRecovery::Recovered,
            partition_epoch: PartitionEpoch(1),
        }
    );
    assert_eq!(partition.leader_epoch.0, 0);
    cluster.set_isr("t", 0, &[1, 3, 2]);
    assert_eq!(cluster.shape("t", 0), (Some(1), vec![1, 3, 2], vec![]));
    // asked for what is, it answers with what is
    let before = cluster.next_offset;
    cluster.set_isr("t", 0, &[1, 3, 2]);
    assert_eq!(cluster.next_offset, before);
}

#[test]
fn what_does_not_fit_is_refused_with_kafkas_codes() {
    // Each of these tells the leader what to do next: ask again, find the controller, give up leading, or wait.
    let mut cluster = cluster();
    // epochs above 0, so that there are smaller ones
    cluster.kill(1);
    cluster.pass(100, &[1, 2, 3]);
    cluster.kill(3);
    let good = cluster.ask_isr("t", 0, &[2, 1]);
    type Edit = fn(&mut AlterPartition, &mut AlterPartitionItem);
    let cases: [(Edit, ErrorCode); 14] = [
        (
            |_, item| item.topic_id = Uuid::from_u128(1),
            ErrorCode::UNKNOWN_TOPIC_ID,
        ),
        (
            |_, item| item.partition = PartitionId(9),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ),
        (|_, item| item.leader_epoch.0 += 1, ErrorCode::NOT_CONTROLLER),
        (|_, item| item.partition_epoch.0 += 1, ErrorCode::NOT_CONTROLLER),
        (|_, item| item.leader_epoch.0 -= 1, ErrorCode::FENCED_LEADER_EPOCH),
        (
            |_, item| item.partition_epoch.0 -= 1,
            ErrorCode::INVALID_UPDATE_VERSION,
        ),
        (
            |_, item| item.new_isr.push((BrokerId(4), BrokerEpoch(-1))),
            ErrorCode::INVALID_REQUEST,
        ),
        (
            |_, item| item.new_isr.push((BrokerId(1), BrokerEpoch(-1))),
            ErrorCode::INVALID_REQUEST,
        ),
        (
            |_, item| {
                item.new_isr.remove(0);
            },
            ErrorCode::INVALID_REQUEST,
        ),
        (|_, item| item.new_isr.clear(), ErrorCode::INVALID_REQUEST),
        (
            |_, item| item.leader_recovery = LeaderRecovery::Recovering,
            ErrorCode::INVALID_REQUEST,
        ),
        (
            |_, item| {
                item.leader_recovery = LeaderRecovery::Recovering;
                item.new_isr.truncate(1);
            },
            ErrorCode::INVALID_REQUEST,
        ),
        (
            |_, item| item.new_isr.push((BrokerId(3), BrokerEpoch(-1))),
            ErrorCode::INELIGIBLE_REPLICA,
        ),
        (|_, item| item.new_isr[1].1.0 += 1, ErrorCode::INELIGIBLE_REPLICA),
    ];
    for (number, (edit, code)) in cases.into_iter().enumerate() {
        let mut request = good.clone();
        let mut item = request.partitions.remove(0);
        edit(&mut request, &mut item);
        request.partitions.push(item);
        let result = cluster.alter_partition(request).map_err(|error| error.code);
        assert_eq!(result, Err(code), "case {number}");
    }
    let mut of_another = good.clone();
    of_another.broker_id = BrokerId(1);
    of_another.broker_epoch = cluster.epoch(1);
    let result = cluster.alter_partition(of_another).map_err(|error| error.code);
    assert_eq!(result, Err(ErrorCode::INVALID_REQUEST));
    let mut of_the_past = good.clone();
    of_the_past.broker_epoch.0 -= 1;
    let result = cluster.alter_partition(of_the_past).map_err(|error| error.code);
    assert_eq!(result, Err(ErrorCode::STALE_BROKER_EPOCH));
    assert!(cluster.alter_partition(good).is_ok());
}

#[test]
fn a_rebooted_replica_comes_back_by_its_new_registration_only() {
    // What the leader saw of it was fetched by a process whose disk may have lost it since (KIP-903).
    let mut cluster = cluster();
    cluster.set_isr("t", 0, &[1, 2]);
    let stale = cluster.ask_isr("t", 0, &[1, 2, 3]);
    cluster.register(3, 2, PreviousShutdown::Unclean);
    cluster.pass(100, &[1, 2, 3]);
    let result = cluster.alter_partition(stale).map_err(|error| error.code);
    assert_eq!(result, Err(ErrorCode::INELIGIBLE_REPLICA));
    cluster.set_isr("t", 0, &[1, 2, 3]);
}

#[test]
fn who_is_about_to_stop_does_not_come_into_the_isr() {
    let mut cluster = cluster();
    cluster
        .create_one(by_hand("u", &[(0, &[3, 1])]))
        .expect("created");
    let request = BrokerHeartbeat {
        want_shutdown: true,
        ..cluster.beat(3)
    };
    cluster.heartbeat(request).expect("known");
    let request = cluster.ask_isr("t", 0, &[1, 2, 3]);
    let result = cluster.alter_partition(request).map_err(|error| error.code);
    assert_eq!(result, Err(ErrorCode::INELIGIBLE_REPLICA));
}

#[test]
fn a_recovered_leader_says_so_and_lets_others_in() {
    let mut cluster = cluster();
    cluster.set_isr("t", 0, &[1]);
    cluster
        .alter(2, "t", &[("unclean.leader.election.enable", 0, Some("true"))])
        .expect("altered");
    cluster.kill(1);
    let partition = cluster.partition("t", 0);
    assert_eq!(partition.leader_recovery, LeaderRecovery::Recovering);
    let mut early = cluster.ask_isr("t", 0, &[2, 3]);
    early.partitions[0].leader_recovery = LeaderRecovery::Recovering;
    assert!(cluster.alter_partition(early).is_err());
    cluster.set_isr("t", 0, &[2, 3]);
    let partition = cluster.partition("t", 0);
    assert_eq!(
        (partition.leader_recovery, partition.isr.clone()),
        (LeaderRecovery::Recovered, ids(&[2, 3]))
    );
}

#[test]
fn one_partition_twice_is_altered_once() {
    let mut cluster = cluster();
    let mut request = cluster.ask_isr("t", 0, &[1, 2]);
    let mut again = request.partitions[0].clone();
    again.new_isr.truncate(1);
    request.partitions.push(again);
    match cluster.call(Request::AlterPartition(request)) {
        Ok(Response::AlterPartition(results)) => {
            assert!(results[0].result.is_ok());
            assert_eq!(results[1].result, Err(ApiError::of(ErrorCode::INVALID_REQUEST)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(cluster.shape("t", 0).1, [1, 2]);
}
