use super::stage::{Commits, protocol};
use super::*;
use crate::group::request::*;
use crate::group::response::*;
use crate::group::*;

fn delete(stage: &mut Stage, groups: &[&str]) -> Token {
    let groups_names = groups.iter().map(|g| (*g).to_owned()).collect();
    stage.ask(Request::DeleteGroups(DeleteGroupsRequest { groups_names }))
}

fn deleted(stage: &Stage, token: Token) -> Vec<ErrorCode> {
    match stage.answer(token) {
        Some(Response::DeleteGroups(answer)) => answer.results.iter().map(|r| r.error_code).collect(),
        other => panic!("{other:?}"),
    }
}

fn delete_offset(stage: &mut Stage, topic: &str) -> Result<ErrorCode, ErrorCode> {
    let topics = vec![OffsetDeleteTopic {
        name: topic.into(),
        partition_indexes: vec![0],
    }];
    let token = stage.ask(Request::OffsetDelete(OffsetDeleteRequest {
        group_id: "g".into(),
        topics,
    }));
    match stage.answer(token) {
        Some(Response::OffsetDelete(a)) if a.error_code.is_error() => Err(a.error_code),
        Some(Response::OffsetDelete(a)) => Ok(a.topics[0].partitions[0].error_code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_is_deleted_only_when_nobody_is_in_it() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_group(1);
    stage.commit_offset(&ids[0], generation, 5);
    let token = delete(&mut stage, &["g", "other", "g"]);
    assert_eq!(
        deleted(&stage, token),
        [
            ErrorCode::NON_EMPTY_GROUP,
            ErrorCode::GROUP_ID_NOT_FOUND,
            ErrorCode::NON_EMPTY_GROUP
        ]
    );
    stage.leave(&[(&ids[0], None)]);

    stage.commits = Commits::Later;
    let in_flight = stage.commit_offset("", -1, 6);
    let token = delete(&mut stage, &["g"]);
    // until the log knows, the group is neither here nor gone
    assert_eq!(stage.state(), "Dead");
    assert_eq!(stage.fetched(), -1);
    let join = stage.join("");
    assert_eq!(stage.join_error(join), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    let commit = stage.commit_offset("", -1, 7);
    assert_eq!(stage.committed(commit), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    stage.commit();
    assert_eq!(deleted(&stage, token), [ErrorCode::NONE]);
    assert_eq!(stage.committed(in_flight), ErrorCode::NONE);
    assert!(stage.shard.group_counts().is_empty());
    assert_eq!(stage.fetched(), -1);
    stage.restart();
    assert!(stage.shard.group_counts().is_empty());
    assert_eq!(stage.shard.committed_offsets().count(), 0);
}

#[test]
fn a_deletion_that_is_not_logged_is_taken_back() {
    let mut stage = Stage::new();
    stage.commit_offset("", -1, 5);
    stage.commits = Commits::Later;
    let token = delete(&mut stage, &["g"]);
    stage.fail_append(AppendFailure::NotEnoughReplicas);
    assert_eq!(deleted(&stage, token), [ErrorCode::COORDINATOR_NOT_AVAILABLE]);
    assert_eq!((stage.state().as_str(), stage.fetched()), ("Empty", 5));
}

/// Deleting an offset under a subscribed consumer would send it back to the start of its partition.
#[test]
fn offsets_of_subscribed_topics_stay() {
    let mut stage = Stage::new();
    assert_eq!(
        delete_offset(&mut stage, "orders"),
        Err(ErrorCode::GROUP_ID_NOT_FOUND)
    );
    let (ids, generation) = stage.stable_group(1);
    stage.commit_offset(&ids[0], generation, 5);
    assert_eq!(
        delete_offset(&mut stage, "orders"),
        Ok(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC)
    );
    assert_eq!(delete_offset(&mut stage, "other"), Ok(ErrorCode::NONE));
    assert_eq!(stage.fetched(), 5);
    // the subscription is known after a restart too
    stage.restart();
    assert_eq!(
        delete_offset(&mut stage, "orders"),
        Ok(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC)
    );
    stage.leave(&[(&ids[0], None)]);
    assert_eq!(delete_offset(&mut stage, "orders"), Ok(ErrorCode::NONE));
    assert_eq!(stage.fetched(), -1);
}

#[test]
fn offsets_of_groups_that_tell_no_topics_stay() {
    let mut stage = Stage::new();
    let worker = stage.join_with("", |r| {
        r.group_instance_id = Some("w".into());
        r.protocol_type = "connect".into();
    });
    assert_eq!(stage.join_error(worker), ErrorCode::NONE);
    assert_eq!(
        delete_offset(&mut stage, "orders"),
        Err(ErrorCode::NON_EMPTY_GROUP)
    );
    // a consumer whose subscription cannot be read may be subscribed to anything
    let mut stage = Stage::new();
    let odd = stage.join_with("", |r| {
        r.group_instance_id = Some("w".into());
        r.protocols[0].metadata = bytes::Bytes::from_static(b"?");
    });
    assert_eq!(stage.join_error(odd), ErrorCode::NONE);
    assert_eq!(
        delete_offset(&mut stage, "orders"),
        Ok(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC)
    );
}

#[test]
fn groups_are_described_in_every_state() {
    let mut stage = Stage::new();
    let (id, join) = stage.newcomer();
    assert_eq!(stage.joined(join).generation_id, 1);
    let forming = stage.describe();
    assert_eq!(
        (forming.group_state.as_str(), forming.protocol_data.as_str()),
        ("CompletingRebalance", "")
    );
    assert!(forming.members[0].member_metadata.is_empty());
    stage.share_out(std::slice::from_ref(&id), 1);
    let stable = stage.describe();
    assert_eq!(
        (stable.group_state.as_str(), stable.protocol_data.as_str()),
        ("Stable", "range")
    );
    let member = &stable.members[0];
    assert_eq!(
        (member.member_id.as_str(), member.client_id.as_str()),
        (id.as_str(), "client")
    );
    assert_eq!(member.client_host, "/10.0.0.1");
    assert_eq!(member.member_metadata, protocol("range", &["orders"]).metadata);
    assert_eq!(&member.member_assignment[..], b"p0");
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut stage = Stage::new();
    stage.stable_group(1);
    let mut simple = stage.commit_request("", -1, 1);
    simple.group_id = "simple".into();
    stage.ask(Request::OffsetCommit(simple));
    let mut list = |states: &[&str], types: &[&str]| -> Vec<String> {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let request = ListGroupsRequest {
            states_filter: own(states),
            types_filter: own(types),
        };
        let token = stage.ask(Request::ListGroups(request));
        match stage.answer(token) {
            Some(Response::ListGroups(answer)) => answer
                .groups
                .iter()
                .map(|g| {
                    format!(
                        "{} {} {} {}",
                        g.group_id, g.protocol_type, g.group_state, g.group_type
                    )
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    };
    let (stable, simple) = ("g consumer Stable classic", "simple  Empty classic");
    assert_eq!(list(&[], &[]), [stable, simple]);
    assert_eq!(list(&["stable"], &[]), [stable]);
    assert_eq!(list(&[" EMPTY ", "Dead"], &["Classic"]), [simple]);
    assert!(list(&["nonsense"], &[]).is_empty());
    assert!(list(&[], &["consumer"]).is_empty());
    assert_eq!(
        stage.shard.group_counts(),
        [(GroupState::Empty, 1), (GroupState::Stable, 1)].into()
    );
}
