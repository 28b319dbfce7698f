use super::*;
use crate::group::ErrorCode;

/// A dead consumer's partitions must go to the living within its session timeout.
#[test]
fn a_silent_member_is_removed() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(2);
    stage.advance(6_000);
    assert_eq!(stage.heartbeat(&ids[0], generation), ErrorCode::NONE);
    stage.advance(3_999);
    assert_eq!(stage.heartbeat(&ids[0], generation), ErrorCode::NONE);
    stage.advance(1);
    assert_eq!(
        stage.heartbeat(&ids[0], generation),
        ErrorCode::REBALANCE_IN_PROGRESS
    );
    assert_eq!(stage.heartbeat(&ids[1], generation), ErrorCode::UNKNOWN_MEMBER_ID);
    let join = stage.join(&ids[0]);
    assert_eq!(
        (stage.joined(join).generation_id, stage.joined(join).members.len()),
        (generation + 1, 1)
    );
}

/// A consumer that commits is alive, even if its heartbeat thread is starved.
#[test]
fn a_commit_counts_as_a_heartbeat() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(1);
    for _ in 0..5 {
        stage.advance(9_000);
        let commit = stage.commit_offset(&ids[0], generation, 1);
        assert_eq!(stage.committed(commit), ErrorCode::NONE);
    }
    stage.advance(10_000);
    assert_eq!(stage.state(), "Empty");
}

/// While its JoinGroup is parked a member cannot send heartbeats and must not lose its place.
#[test]
fn waiting_members_do_not_expire() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(2);
    let waiting = stage.join_with(&ids[1], |r| r.protocols = vec![stage::protocol("range", &["x"])]);
    for _ in 0..5 {
        stage.advance(8_000);
        assert_eq!(
            stage.heartbeat(&ids[0], generation),
            ErrorCode::REBALANCE_IN_PROGRESS
        );
    }
    assert!(stage.is_parked(waiting), "four sessions long");
    stage.join(&ids[0]);
    assert_eq!(stage.join_error(waiting), ErrorCode::NONE);
}

/// A client that crashed in its first JoinGroup must not be waited for at every rebalance for ever.
#[test]
fn a_new_member_that_never_hears_its_answer_times_out() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(1);
    let patient = |r: &mut crate::group::request::JoinGroupRequest| r.rebalance_timeout_ms = 600_000;
    let change = stage.join_with(&ids[0], patient);
    assert_eq!(stage.joined(change).generation_id, generation + 1);
    stage.share_out(&ids, generation + 1);

    let (_, new_join) = stage.newcomer();
    for _ in 0..60 {
        stage.advance(5_000);
        stage.heartbeat(&ids[0], generation + 1);
    }
    assert_eq!(stage.join_error(new_join), ErrorCode::UNKNOWN_MEMBER_ID);
}

/// Ids given out and never used must not block a rebalance, nor stay for ever.
#[test]
fn pending_members_expire() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(1);
    stage.new_member_id();
    let rejoin = stage.join(&ids[0]);
    assert!(stage.is_parked(rejoin), "the pending one may come any moment");
    stage.advance(10_000);
    assert_eq!(stage.joined(rejoin).generation_id, generation + 1);

    // in a group that has nothing else, the group goes with it
    let mut stage = Stage::new();
    stage.new_member_id();
    assert_eq!(stage.state(), "Empty");
    stage.advance(10_000);
    assert_eq!(stage.state(), "Dead");
}

/// A member that joined but never asks for its assignment holds partitions it does not know of.
#[test]
fn members_that_do_not_sync_are_removed() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(2);
    let joins = [stage.join(&ids[0]), stage.join(&ids[1])];
    assert_eq!(stage.joined(joins[1]).generation_id, generation + 1);
    let sync = stage.sync(&ids[0], generation + 1, &[(&ids[0], "all")]);
    assert_eq!(stage.synced(sync), Ok("all".into()));
    for _ in 0..12 {
        stage.advance(5_000);
        stage.heartbeat(&ids[0], generation + 1);
        stage.heartbeat(&ids[1], generation + 1);
    }
    assert_eq!(
        stage.heartbeat(&ids[1], generation + 1),
        ErrorCode::UNKNOWN_MEMBER_ID
    );
    assert_eq!(
        stage.heartbeat(&ids[0], generation + 1),
        ErrorCode::REBALANCE_IN_PROGRESS
    );
}

/// After a coordinator moved nobody's heartbeats were heard for a while: that must not look like death.
#[test]
fn loaded_members_get_a_fresh_session() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(2);
    stage.now_ms += 600_000;
    stage.restart();
    stage.advance(9_999);
    assert_eq!(stage.heartbeat(&ids[0], generation), ErrorCode::NONE);
    stage.advance(1);
    assert_eq!(stage.heartbeat(&ids[1], generation), ErrorCode::UNKNOWN_MEMBER_ID);
}

/// Negative and huge timeouts are a client's mistake, not a busy loop.
#[test]
fn odd_timeouts_are_survived() {
    for timeout in [i32::MIN, -1, 0, i32::MAX] {
        let mut stage = Stage::new();
        let first = stage.join_with("", |r| {
            r.rebalance_timeout_ms = timeout;
            r.group_instance_id = Some("i".into());
        });
        stage.advance(20_000);
        assert!(!stage.is_parked(first), "{timeout}");
    }
}
