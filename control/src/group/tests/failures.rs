use super::stage::Commits;
use super::*;
use crate::group::request::*;
use crate::group::response::*;
use crate::group::*;

/// Before the log is read, an answer could only be wrong; after the partition has gone, too.
#[test]
fn requests_before_loading_and_after_unloading() {
    let mut shard = GroupShard::new(GroupConfig::default());
    let context = RequestContext::default;
    let heartbeat = || {
        Request::Heartbeat(HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: "m".into(),
            group_instance_id: None,
        })
    };
    let list = || Request::ListGroups(ListGroupsRequest::default());
    let answer = |shard: &mut GroupShard, request| {
        shard.handle(
            Now::default(),
            Event::Request {
                token: Token(1),
                context: context(),
                request,
            },
        );
        match shard.poll_action() {
            Some(Action::Respond { response, .. }) => response,
            other => panic!("{other:?}"),
        }
    };
    let listed = |error_code| {
        Response::ListGroups(ListGroupsResponse {
            error_code,
            groups: vec![],
        })
    };
    let beaten = |error_code| Response::Heartbeat(HeartbeatResponse { error_code });
    assert_eq!(
        answer(&mut shard, list()),
        listed(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
    );
    assert_eq!(
        answer(&mut shard, heartbeat()),
        beaten(ErrorCode::NONE),
        "or everybody would rejoin"
    );
    assert_eq!(shard.next_deadline(), None);
    shard.loaded(Now::default());
    assert_eq!(answer(&mut shard, list()), listed(ErrorCode::NONE));
    assert!(shard.next_deadline().is_some());
    shard.unload();
    assert_eq!(answer(&mut shard, list()), listed(ErrorCode::NOT_COORDINATOR));
    assert_eq!(
        answer(&mut shard, heartbeat()),
        beaten(ErrorCode::NOT_COORDINATOR)
    );
    assert_eq!(shard.next_deadline(), None);
}

#[test]
fn unloading_answers_what_waits_for_the_log() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(1);
    stage.commits = Commits::Later;
    let commit = stage.commit_offset(&ids[0], generation, 1);
    let leave = stage.leave(&[(&ids[0], None)]);
    stage.shard.unload();
    stage.handle(Event::Tick);
    assert_eq!(stage.committed(commit), ErrorCode::NOT_COORDINATOR);
    assert_eq!(stage.left(leave).error_code, ErrorCode::NOT_COORDINATOR);
}

/// A leader that sends its assignment twice must not leave the log and the members with different ones.
#[test]
fn the_first_assignment_of_a_generation_is_the_only_one() {
    let mut stage = Stage::new();
    let (id, _) = stage.newcomer();
    stage.commits = Commits::Later;
    let first = stage.sync(&id, 1, &[(&id, "first")]);
    let second = stage.sync(&id, 1, &[(&id, "second")]);
    assert_eq!(stage.synced(first), Err(ErrorCode::REBALANCE_IN_PROGRESS));
    assert_eq!(stage.log.len(), 1);
    stage.commit();
    assert_eq!(stage.synced(second), Ok("first".into()));
}

/// Somebody joins while the assignment is on its way to the log: it commits too late to count.
#[test]
fn a_rebalance_overtakes_an_assignment() {
    let mut stage = Stage::new();
    let (a, _) = stage.newcomer();
    stage.commits = Commits::Later;
    let sync = stage.sync(&a, 1, &[(&a, "all")]);
    let (b, b_join) = stage.newcomer();
    assert_eq!(stage.synced(sync), Err(ErrorCode::REBALANCE_IN_PROGRESS));
    stage.commit();
    assert_eq!(stage.state(), "PreparingRebalance");
    let a_join = stage.join(&a);
    assert_eq!(stage.joined(a_join).generation_id, 2);
    assert_eq!(stage.joined(b_join).generation_id, 2);
    stage.commits = Commits::AtOnce;
    let leader = stage.joined(a_join).leader;
    let ids = if leader == a { [a, b] } else { [b, a] };
    stage.share_out(&ids, 2);
}

/// The same, but the next generation is already waiting for its own assignment when the old one commits.
#[test]
fn an_old_assignment_is_not_taken_for_the_next() {
    let mut stage = Stage::new();
    let (a, _) = stage.newcomer();
    stage.commits = Commits::Later;
    stage.sync(&a, 1, &[(&a, "old")]);
    let (b, b_join) = stage.newcomer();
    stage.join(&a);
    assert_eq!(stage.joined(b_join).generation_id, 2);
    let waiting = [stage.sync(&a, 2, &[]), stage.sync(&b, 2, &[])];
    // both generations are in the log, the older one alone is durable
    let up_to = stage.log[0].0;
    stage.handle(Event::Committed { up_to });
    assert_eq!(stage.state(), "CompletingRebalance");
    stage.commit();
    for token in waiting {
        assert_eq!(stage.synced(token), Ok(String::new()));
    }
}

/// A client that gave up on its JoinGroup and asks again: whoever still waits for the first one is let go.
#[test]
fn a_repeated_join_answers_the_first() {
    let mut stage = Stage::new();
    let (ids, _) = stage.stable_group(2);
    let first = stage.join(&ids[0]);
    let second = stage.join(&ids[0]);
    assert_eq!(stage.join_error(first), ErrorCode::REBALANCE_IN_PROGRESS);
    assert!(stage.is_parked(second));
    stage.join(&ids[1]);
    assert_eq!(stage.joined(second).members.len(), 2);
}

/// A member that leaves takes its parked requests along.
#[test]
fn leaving_answers_what_was_parked() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(2);
    let joins = [stage.join(&ids[0]), stage.join(&ids[1])];
    assert_eq!(stage.joined(joins[0]).generation_id, generation + 1);
    let sync = stage.sync(&ids[1], generation + 1, &[]);
    stage.leave(&[(&ids[1], None)]);
    assert_eq!(stage.synced(sync), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    let join = stage.join(&ids[0]);
    assert_eq!(stage.joined(join).members.len(), 1);

    let (c, c_join) = stage.newcomer();
    assert!(stage.is_parked(c_join));
    stage.leave(&[(&c, None)]);
    assert_eq!(stage.join_error(c_join), ErrorCode::UNKNOWN_MEMBER_ID);
}

/// Names that do not fit a record are refused, not cut: a cut name is another group's or topic's.
#[test]
fn overlong_names_are_refused() {
    let mut stage = Stage::new();
    let mut request = stage.commit_request("", -1, 1);
    request.topics[0].name = "t".repeat(33_000);
    let token = stage.ask(Request::OffsetCommit(request));
    assert_eq!(stage.committed(token), ErrorCode::INVALID_REQUEST);
    let join = stage.join_with("", |r| r.group_instance_id = Some("i".repeat(33_000)));
    assert_eq!(stage.join_error(join), ErrorCode::INVALID_REQUEST);
    let join = stage.join_with("", |r| r.protocols[0].name = "p".repeat(33_000));
    assert_eq!(stage.join_error(join), ErrorCode::INVALID_REQUEST);
}
