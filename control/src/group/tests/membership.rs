use super::stage::{Commits, protocol};
use super::*;
use crate::group::{AppendFailure, ErrorCode, GroupConfig, JoinGroupProtocol};

/// The everyday story. If it fails, no consumer gets a partition.
#[test]
fn two_members_join_and_share() {
    let mut stage = Stage::with(GroupConfig::default());
    // given two consumers that start within the initial delay
    let (a, a_join) = stage.newcomer();
    stage.advance(1_000);
    let (b, b_join) = stage.newcomer();
    assert!(stage.is_parked(a_join) && stage.is_parked(b_join));
    assert_eq!(stage.state(), "PreparingRebalance");

    // when the delay, prolonged once for the second, is over
    stage.advance(1_999);
    assert!(stage.is_parked(a_join), "not before the first delay");
    stage.advance(3_001);

    // then both are in generation 1, and the first leads and sees both
    let (a_in, b_in) = (stage.joined(a_join), stage.joined(b_join));
    assert_eq!((a_in.error_code, a_in.generation_id), (ErrorCode::NONE, 1));
    assert_eq!(
        (b_in.generation_id, b_in.leader.as_str(), b_in.members.len()),
        (1, a.as_str(), 0)
    );
    assert_eq!((a_in.leader.as_str(), a_in.members.len()), (a.as_str(), 2));
    assert_eq!(a_in.protocol_name.as_deref(), Some("range"));
    assert_eq!(stage.state(), "CompletingRebalance");

    // and a follower waits for the leader's assignment, which both get when it is durable
    stage.commits = Commits::Later;
    let b_sync = stage.sync(&b, 1, &[]);
    let a_sync = stage.sync(&a, 1, &[(&a, "p0"), (&b, "p1"), ("stranger", "p2")]);
    assert!(stage.is_parked(a_sync) && stage.is_parked(b_sync));
    assert_eq!(stage.state(), "CompletingRebalance");
    stage.commit();
    assert_eq!(stage.synced(a_sync), Ok("p0".into()));
    assert_eq!(stage.synced(b_sync), Ok("p1".into()));
    assert_eq!(stage.state(), "Stable");
    assert_eq!(stage.heartbeat(&a, 1), ErrorCode::NONE);

    // and one who asks again gets the same
    let again = stage.sync(&b, 1, &[]);
    assert_eq!(stage.synced(again), Ok("p1".into()));
}

/// A newcomer must get its share without anybody being fenced.
#[test]
fn a_third_member_makes_the_others_join_again() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(2);
    let (c, c_join) = stage.newcomer();
    assert!(stage.is_parked(c_join));
    assert_eq!(
        stage.heartbeat(&ids[0], generation),
        ErrorCode::REBALANCE_IN_PROGRESS
    );
    assert_eq!(
        stage.heartbeat(&ids[1], generation),
        ErrorCode::REBALANCE_IN_PROGRESS
    );

    // commits of the old generation are still welcome, so that nothing is processed twice
    let commit = stage.commit_offset(&ids[1], generation, 5);
    assert_eq!(stage.committed(commit), ErrorCode::NONE);

    let joins = [stage.join(&ids[0]), stage.join(&ids[1]), c_join];
    for join in joins {
        assert_eq!(stage.joined(join).generation_id, generation + 1);
    }
    // but no longer once the new one is being formed
    let commit = stage.commit_offset(&ids[1], generation, 6);
    assert_eq!(stage.committed(commit), ErrorCode::ILLEGAL_GENERATION);
    let commit = stage.commit_offset(&ids[1], generation + 1, 6);
    assert_eq!(stage.committed(commit), ErrorCode::REBALANCE_IN_PROGRESS);
    stage.share_out(&[ids[0].clone(), ids[1].clone(), c], generation + 1);
    assert_eq!(stage.fetched(), 5);
}

/// Members that do not come back within the rebalance timeout must not hold up the others.
#[test]
fn who_does_not_rejoin_is_left_out_and_another_leads() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(3);
    let (b_join, c_join) = (
        stage.join_with(&ids[1], |r| r.protocols = vec![protocol("range", &["more"])]),
        { stage.join(&ids[2]) },
    );
    for _ in 0..12 {
        stage.advance(5_000);
        if stage.is_parked(b_join) {
            // the leader is alive but does not join
            assert_eq!(
                stage.heartbeat(&ids[0], generation),
                ErrorCode::REBALANCE_IN_PROGRESS
            );
        }
    }
    let leader = stage.joined(b_join).leader;
    assert_ne!(leader, ids[0]);
    assert_eq!(stage.joined(c_join).leader, leader);
    assert_eq!(stage.joined(b_join).generation_id, generation + 1);
    assert_eq!(stage.heartbeat(&ids[0], generation), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_member_leaves_and_the_rest_rebalances_until_nobody_is_left() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(2);
    let left = stage.leave(&[(&ids[0], None), ("nobody", None)]);
    let errors: Vec<ErrorCode> = stage.left(left).members.iter().map(|m| m.error_code).collect();
    assert_eq!(errors, [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID]);

    // the one that stays leads alone
    assert_eq!(
        stage.heartbeat(&ids[1], generation),
        ErrorCode::REBALANCE_IN_PROGRESS
    );
    let join = stage.join(&ids[1]);
    assert_eq!(stage.joined(join).leader, ids[1]);
    stage.share_out(&ids[1..], generation + 1);

    // the last one is told when the log knows
    stage.commits = Commits::Later;
    let left = stage.leave(&[(&ids[1], None)]);
    assert!(stage.is_parked(left));
    stage.commit();
    assert_eq!(stage.left(left).members[0].error_code, ErrorCode::NONE);
    assert_eq!(stage.state(), "Empty");
    stage.restart();
    assert_eq!(
        (stage.state().as_str(), stage.describe().protocol_type.as_str()),
        ("Empty", "consumer")
    );
}

/// A stale member that thinks it still owns partitions must be stopped at every door.
#[test]
fn generations_fence() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(1);
    assert_eq!(
        stage.heartbeat(&ids[0], generation - 1),
        ErrorCode::ILLEGAL_GENERATION
    );
    assert_eq!(stage.heartbeat("other", generation), ErrorCode::UNKNOWN_MEMBER_ID);
    let sync = stage.sync(&ids[0], generation + 1, &[]);
    assert_eq!(stage.synced(sync), Err(ErrorCode::ILLEGAL_GENERATION));
    let sync = stage.sync("other", generation, &[]);
    assert_eq!(stage.synced(sync), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    for (member, generation, error) in [
        (ids[0].as_str(), generation - 1, ErrorCode::ILLEGAL_GENERATION),
        ("other", generation, ErrorCode::UNKNOWN_MEMBER_ID),
        ("", -1, ErrorCode::UNKNOWN_MEMBER_ID), // a standalone consumer while the group has members
        (ids[0].as_str(), generation, ErrorCode::NONE),
    ] {
        let commit = stage.commit_offset(member, generation, 1);
        assert_eq!(stage.committed(commit), error, "{member} {generation}");
    }
}

/// A leader joins again when it sees new partitions; a follower that only lost an answer must not disturb anybody.
#[test]
fn joining_again_means_different_things() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(2);
    let follower = stage.join(&ids[1]);
    assert_eq!(stage.joined(follower).generation_id, generation);
    assert!(stage.joined(follower).members.is_empty());
    assert_eq!(stage.state(), "Stable");

    let leader = stage.join(&ids[0]);
    assert!(stage.is_parked(leader));
    assert_eq!(stage.state(), "PreparingRebalance");

    // while completing: same metadata, same answer; other metadata, another round
    let follower = stage.join(&ids[1]);
    assert_eq!(stage.joined(follower).generation_id, generation + 1);
    let again = stage.join(&ids[0]);
    assert_eq!(
        (
            stage.joined(again).generation_id,
            stage.joined(again).members.len()
        ),
        (generation + 1, 2)
    );
    let waiting = stage.sync(&ids[1], generation + 1, &[]);
    let other = stage.join_with(&ids[0], |r| r.protocols = vec![protocol("range", &["new"])]);
    assert!(stage.is_parked(other));
    assert_eq!(stage.synced(waiting), Err(ErrorCode::REBALANCE_IN_PROGRESS));
}

#[test]
fn protocols_are_chosen_by_votes_and_refused_without_a_common_one() {
    let mut stage = Stage::with(GroupConfig::default());
    let offer = |names: &[&str]| names.iter().map(|n| protocol(n, &["t"])).collect::<Vec<_>>();
    let mut tokens = Vec::new();
    for names in [
        &["range", "sticky"][..],
        &["sticky", "range"],
        &["sticky", "range", "other"],
    ] {
        let id = stage.new_member_id();
        tokens.push(stage.join_with(&id, |r| r.protocols = offer(names)));
    }
    for (kind, names) in [
        ("consumer", &["other"][..]),
        ("connect", &["sticky"]),
        ("consumer", &[]),
    ] {
        let refused = stage.join_with("", |r| {
            r.protocol_type = kind.into();
            r.protocols = offer(names);
        });
        assert_eq!(
            stage.join_error(refused),
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
            "{kind} {names:?}"
        );
    }
    stage.advance(10_000);
    for token in tokens {
        assert_eq!(stage.joined(token).protocol_name.as_deref(), Some("sticky"));
    }
}

#[test]
fn a_protocol_named_twice_counts_once() {
    let mut stage = Stage::new();
    let id = stage.new_member_id();
    let join = stage.join_with(&id, |r| {
        r.protocols = vec![protocol("range", &["t"]), protocol("range", &["u"])]
    });
    assert_eq!(stage.joined(join).protocol_name.as_deref(), Some("range"));
}

#[test]
fn a_member_that_says_too_much_is_refused_and_nothing_of_its_request_is_kept() {
    // A hundred members with 5 MB of metadata each took 500 MB until their sessions ended.
    let mut stage = Stage::new();
    let said = |bytes: usize| JoinGroupProtocol {
        name: "range".to_owned(),
        metadata: bytes::Bytes::from(vec![0; bytes]),
    };
    let id = stage.new_member_id();
    let join = stage.join_with(&id, |r| r.protocols = vec![said(2 << 20)]);
    assert_eq!(stage.join_error(join), ErrorCode::INVALID_REQUEST);
    let request = bytes::Bytes::from(vec![7; 1 << 20]);
    let join = stage.join_with(&id, |r| {
        r.protocols = vec![JoinGroupProtocol {
            name: "range".to_owned(),
            metadata: request.slice(5..10),
        }]
    });
    assert_eq!(stage.joined(join).error_code, ErrorCode::NONE);
    assert!(request.is_unique(), "the member keeps a copy of its own");
}

#[test]
fn the_group_is_full() {
    let mut stage = Stage::with(GroupConfig {
        max_size: 2,
        initial_rebalance_delay_ms: 0,
        ..GroupConfig::default()
    });
    let (ids, generation) = stage.stable_group(2);
    let third = stage.join("");
    assert_eq!(stage.join_error(third), ErrorCode::GROUP_MAX_SIZE_REACHED);
    let known = stage.join(&ids[1]);
    assert_eq!(stage.join_error(known), ErrorCode::NONE);
    assert_eq!(stage.heartbeat(&ids[0], generation), ErrorCode::NONE);

    // the limit was lowered while the coordinator was away: whoever joins first stays
    stage.config.max_size = 1;
    stage.restart();
    assert_eq!(stage.state(), "PreparingRebalance");
    let first = stage.join(&ids[1]);
    let second = stage.join(&ids[0]);
    assert_eq!(stage.join_error(second), ErrorCode::GROUP_MAX_SIZE_REACHED);
    assert_eq!(stage.joined(first).members.len(), 1);
}

/// Requests to a group nobody knows, or without a name.
#[test]
fn nobody_home() {
    let mut stage = Stage::new();
    let join = stage.join("ghost");
    assert_eq!(stage.join_error(join), ErrorCode::UNKNOWN_MEMBER_ID);
    let sync = stage.sync("ghost", 1, &[]);
    assert_eq!(stage.synced(sync), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(stage.heartbeat("ghost", 1), ErrorCode::UNKNOWN_MEMBER_ID);
    let leave = stage.leave(&[("ghost", None)]);
    assert_eq!(
        stage.left(leave).members[0].error_code,
        ErrorCode::UNKNOWN_MEMBER_ID
    );
    for group_id in [String::new(), "g".repeat(40_000)] {
        let join = stage.join_with("", |r| r.group_id = group_id);
        assert_eq!(stage.join_error(join), ErrorCode::INVALID_GROUP_ID);
    }
    for session_timeout_ms in [5_999, 1_800_001, -1] {
        let join = stage.join_with("", |r| r.session_timeout_ms = session_timeout_ms);
        assert_eq!(stage.join_error(join), ErrorCode::INVALID_SESSION_TIMEOUT);
    }
    assert!(stage.shard.group_counts().is_empty(), "talk alone makes no group");
}

/// A rebalance must stay affordable in large groups: nothing in it may be quadratic in members.
#[test]
fn a_thousand_members_join() {
    let mut stage = Stage::with(GroupConfig::default());
    let newcomers: Vec<_> = (0..1_000).map(|_| stage.newcomer()).collect();
    stage.advance(6_000);
    let leader = stage.joined(newcomers[0].1).leader;
    let of_leader = newcomers.iter().find(|(id, _)| *id == leader).unwrap();
    assert_eq!(stage.joined(of_leader.1).members.len(), 1_000);
    let mut ids: Vec<String> = newcomers.iter().map(|(id, _)| id.clone()).collect();
    ids.sort_by_key(|id| *id != leader);
    stage.share_out(&ids, 1);
    assert_eq!(stage.shard.counters().rebalances_completed, 1);
    stage.restart();
    assert_eq!(
        (stage.state().as_str(), stage.describe().members.len()),
        ("Stable", 1_000)
    );
}

/// The coordinator moves while members are joining: the last generation that was logged is what there is.
#[test]
fn restart_in_the_middle_of_a_rebalance() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(2);
    let (_, newcomer_join) = stage.newcomer();
    let rejoin = stage.join(&ids[0]);
    assert!(stage.is_parked(rejoin) && stage.is_parked(newcomer_join));

    // whoever waits is sent away
    stage.shard.unload();
    stage.handle(crate::group::Event::Tick);
    assert_eq!(stage.join_error(rejoin), ErrorCode::NOT_COORDINATOR);
    assert_eq!(stage.join_error(newcomer_join), ErrorCode::NOT_COORDINATOR);
    assert_eq!(stage.heartbeat(&ids[0], generation), ErrorCode::NOT_COORDINATOR);

    stage.restart();
    assert_eq!(stage.state(), "Stable");
    assert_eq!(stage.heartbeat(&ids[0], generation), ErrorCode::NONE);
    assert_eq!(stage.heartbeat(&ids[1], generation), ErrorCode::NONE);
    let again = stage.sync(&ids[1], generation, &[]);
    assert_eq!(stage.synced(again), Ok("p1".into()));

    // the leader's assignment of a generation that is not in the log is nobody's
    let (c, c_join) = stage.newcomer();
    let joins = [stage.join(&ids[0]), stage.join(&ids[1])];
    assert_eq!(stage.joined(joins[0]).generation_id, generation + 1);
    stage.commits = Commits::Later;
    let sync = stage.sync(&ids[0], generation + 1, &[(&c, "p9")]);
    let waiting = stage.sync(&c, generation + 1, &[]);
    stage.fail_append(AppendFailure::NotEnoughReplicas);
    assert_eq!(stage.synced(sync), Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    assert_eq!(stage.synced(waiting), Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    assert_eq!(stage.state(), "PreparingRebalance");
    stage.restart();
    assert_eq!(stage.heartbeat(&ids[0], generation), ErrorCode::NONE);
    assert_eq!(stage.joined(c_join).member_id, c);
}
