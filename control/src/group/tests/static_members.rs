use super::stage::{Commits, protocol};
use super::*;
use crate::group::{AppendFailure, ErrorCode};

/// A stable group of two static members `i0` (leader) and `i1`, with member ids.
fn static_group(stage: &mut Stage) -> (String, String, i32) {
    let a = stage.join_static("i0", "");
    let a_id = stage.joined(a).member_id;
    let b = stage.join_static("i1", "");
    let a = stage.join_static("i0", &a_id);
    let (a_in, b_in) = (stage.joined(a), stage.joined(b));
    assert_eq!(
        (a_in.generation_id, a_in.leader.as_str()),
        (b_in.generation_id, a_id.as_str())
    );
    stage.share_out(&[a_id.clone(), b_in.member_id.clone()], a_in.generation_id);
    (a_id, b_in.member_id, a_in.generation_id)
}

/// The point of static membership: a rolling restart must not move a single partition.
#[test]
fn a_restarted_member_takes_its_place_without_a_rebalance() {
    let mut stage = Stage::new();
    let (_, b, generation) = static_group(&mut stage);
    assert!(b.starts_with("i1-"));

    stage.commits = Commits::Later;
    let join = stage.join_static("i1", "");
    assert!(stage.is_parked(join), "until the log knows the new id");
    stage.commit();
    let back = stage.joined(join);
    assert_eq!(
        (back.error_code, back.generation_id),
        (ErrorCode::NONE, generation)
    );
    assert!(!back.skip_assignment && back.member_id != b);
    assert_eq!(stage.state(), "Stable");
    let sync = stage.sync(&back.member_id, generation, &[]);
    assert_eq!(stage.synced(sync), Ok("p1".into()));

    // the old self is fenced wherever it names its instance, and unknown where it does not
    assert_eq!(
        stage.heartbeat_of(&b, generation, Some("i1")),
        ErrorCode::FENCED_INSTANCE_ID
    );
    assert_eq!(stage.heartbeat(&b, generation), ErrorCode::UNKNOWN_MEMBER_ID);
    let rejoin = stage.join_static("i1", &b);
    assert_eq!(stage.join_error(rejoin), ErrorCode::FENCED_INSTANCE_ID);
    let sync = stage.sync_with(&b, generation, &[], |r| r.group_instance_id = Some("i1".into()));
    assert_eq!(stage.synced(sync), Err(ErrorCode::FENCED_INSTANCE_ID));

    // and the new id survives the coordinator
    stage.restart();
    assert_eq!(
        stage.heartbeat_of(&back.member_id, generation, Some("i1")),
        ErrorCode::NONE
    );
}

/// A restarted leader of version 9 is told to keep the assignment; an older one is kept from leading.
#[test]
fn a_restarted_leader_does_not_assign_anew() {
    let mut stage = Stage::new();
    let (a, _, generation) = static_group(&mut stage);
    let join = stage.join_static("i0", "");
    let back = stage.joined(join);
    assert!(back.skip_assignment);
    assert_eq!(
        (back.leader.as_str(), back.members.len()),
        (back.member_id.as_str(), 2)
    );

    stage.version = 8;
    let join = stage.join_static("i0", "");
    let older = stage.joined(join);
    assert_eq!((older.skip_assignment, older.members.len()), (false, 0));
    assert_eq!(older.leader, back.member_id, "the leader before: not itself");
    assert_ne!(older.member_id, a);
    assert_eq!(stage.heartbeat(&older.member_id, generation), ErrorCode::NONE);
}

/// Two processes configured with the same instance id: one must win, visibly.
#[test]
fn a_duplicate_instance_fences_the_one_that_waits() {
    let mut stage = Stage::new();
    let (a, b, generation) = static_group(&mut stage);
    let rebalance = stage.join_static("i0", &a);
    assert!(stage.is_parked(rebalance));
    let usurper = stage.join_static("i0", "");
    assert_eq!(stage.join_error(rebalance), ErrorCode::FENCED_INSTANCE_ID);
    let b_join = stage.join_static("i1", &b);
    assert_eq!(stage.joined(usurper).generation_id, generation + 1);

    // also while the assignment is being made: the leader counted on the old id
    let waiting = stage.sync(&b, generation + 1, &[]);
    let usurper = stage.join_static("i1", "");
    assert_eq!(stage.synced(waiting), Err(ErrorCode::FENCED_INSTANCE_ID));
    assert!(stage.is_parked(usurper));
    assert_eq!(stage.state(), "PreparingRebalance");
    assert_eq!(stage.join_error(b_join), ErrorCode::NONE);
}

/// A restart with another assignor changes what the group can agree on.
#[test]
fn a_restart_that_changes_the_protocol_rebalances() {
    let mut stage = Stage::new();
    let both = || vec![protocol("range", &["t"]), protocol("sticky", &["t"])];
    let join = stage.join_with("", |r| {
        r.group_instance_id = Some("i0".into());
        r.protocols = both();
    });
    let first = stage.joined(join);
    stage.share_out(&[first.member_id], 1);
    let join = stage.join_with("", |r| {
        r.group_instance_id = Some("i0".into());
        r.protocols = both().into_iter().rev().collect();
    });
    assert_eq!(stage.joined(join).generation_id, 2);
    assert_eq!(stage.joined(join).protocol_name.as_deref(), Some("sticky"));
}

/// A member away for longer than a rebalance but not a session stays in the group; then its session ends.
#[test]
fn an_absent_static_member_keeps_its_place_for_its_session() {
    let mut stage = Stage::new();
    let a = stage.join_with("", |r| {
        r.group_instance_id = Some("i0".into());
        r.session_timeout_ms = 120_000;
        r.rebalance_timeout_ms = 10_000;
    });
    let a = stage.joined(a).member_id;
    stage.share_out(&[a], 1);
    let b_join = stage.join_with("", |r| {
        r.group_instance_id = Some("i1".into());
        r.rebalance_timeout_ms = 10_000;
    });
    stage.advance(10_000);
    let b = stage.joined(b_join);
    assert_eq!(
        (b.members.len(), b.leader == b.member_id),
        (2, true),
        "the absent one is in, the present one leads"
    );
}

#[test]
fn an_administrator_removes_by_instance() {
    let mut stage = Stage::new();
    let (a, b, _) = static_group(&mut stage);
    let left = stage.leave(&[
        ("", Some("i1")),
        ("", Some("i9")),
        (&b, Some("i0")),
        (&a, Some("i0")),
    ]);
    let errors: Vec<ErrorCode> = stage.left(left).members.iter().map(|m| m.error_code).collect();
    assert_eq!(
        errors,
        [
            ErrorCode::NONE,
            ErrorCode::UNKNOWN_MEMBER_ID,
            ErrorCode::FENCED_INSTANCE_ID,
            ErrorCode::NONE
        ]
    );
    assert_eq!(stage.state(), "Empty");
}

/// If the log refuses the new id, the old one is the member: or the restarted log would know another than we do.
#[test]
fn a_replacement_that_is_not_logged_is_taken_back() {
    let mut stage = Stage::new();
    let (_, b, generation) = static_group(&mut stage);
    stage.commits = Commits::Later;
    let join = stage.join_static("i1", "");
    stage.fail_append(AppendFailure::NotEnoughReplicas);
    assert_eq!(stage.join_error(join), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(stage.heartbeat_of(&b, generation, Some("i1")), ErrorCode::NONE);
    let sync = stage.sync(&b, generation, &[]);
    assert_eq!(stage.synced(sync), Ok("p1".into()));
}

/// A rebalance that begins while the replacement is on its way takes the waiting JoinGroup along.
#[test]
fn a_rebalance_overtakes_a_replacement() {
    let mut stage = Stage::new();
    let (a, _, generation) = static_group(&mut stage);
    stage.commits = Commits::Later;
    let replaced = stage.join_static("i1", "");
    let leader = stage.join_static("i0", &a);
    assert_eq!(stage.joined(replaced).generation_id, generation + 1);
    assert_eq!(stage.joined(leader).generation_id, generation + 1);
    stage.commit();
    assert_eq!(stage.state(), "CompletingRebalance");
}

/// The same, while others are still missing: the restarted member waits with everybody, whatever commits meanwhile.
#[test]
fn a_replacement_does_not_answer_out_of_a_rebalance() {
    let mut stage = Stage::new();
    let (a, _, generation) = static_group(&mut stage);
    stage.commits = Commits::Later;
    let replaced = stage.join_static("i1", "");
    let newcomer = stage.join_static("i2", "");
    stage.commit();
    assert!(stage.is_parked(replaced) && stage.is_parked(newcomer));
    stage.join_static("i0", &a);
    assert_eq!(stage.joined(replaced).generation_id, generation + 1);
    assert_eq!(stage.joined(newcomer).generation_id, generation + 1);
}
