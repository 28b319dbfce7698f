use super::*;
use crate::group::ErrorCode;

/// The member id round trip came with version 4; older clients cannot follow it.
#[test]
fn join_versions() {
    for version in 0..=9 {
        let mut stage = Stage::new();
        stage.version = version;
        let join = stage.join("");
        let answer = stage.joined(join);
        if version < 4 {
            assert_eq!(
                (answer.error_code, answer.generation_id),
                (ErrorCode::NONE, 1),
                "v{version}"
            );
            assert_eq!(answer.leader, answer.member_id);
        } else {
            assert_eq!(answer.error_code, ErrorCode::MEMBER_ID_REQUIRED, "v{version}");
            let again = stage.join(&answer.member_id);
            assert_eq!(stage.joined(again).generation_id, 1, "v{version}");
        }
        assert!(answer.member_id.starts_with("client-"), "{}", answer.member_id);
    }
}

/// Version 0 has no rebalance timeout: the session timeout is it.
#[test]
fn version_0_waits_a_session_for_the_others() {
    let mut stage = Stage::new();
    stage.version = 0;
    let first = stage.join_with("", |r| r.rebalance_timeout_ms = -1);
    let id = stage.joined(first).member_id;
    stage.share_out(&[id], 1);
    let second = stage.join_with("", |r| r.rebalance_timeout_ms = -1);
    stage.advance(9_999);
    assert!(stage.is_parked(second));
    stage.advance(1);
    assert_eq!(stage.joined(second).generation_id, 2);
}

/// From version 5 a SyncGroup says what it thinks was chosen.
#[test]
fn sync_checks_the_protocol_it_is_told() {
    let mut stage = Stage::new();
    let (id, _) = stage.newcomer();
    for (kind, name, fits) in [
        (Some("connect"), None, false),
        (None, Some("sticky"), false),
        (Some("consumer"), Some("range"), true),
    ] {
        let id = id.clone();
        let token = stage.sync_with(&id, 1, &[], |r| {
            r.protocol_type = kind.map(Into::into);
            r.protocol_name = name.map(Into::into);
        });
        let expected = if fits {
            Ok(String::new())
        } else {
            Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)
        };
        assert_eq!(stage.synced(token), expected, "{kind:?} {name:?}");
    }
}

#[test]
fn errors_that_came_with_a_version() {
    let mut stage = Stage::new();
    for (version, error) in [
        (8, ErrorCode::ILLEGAL_GENERATION),
        (9, ErrorCode::GROUP_ID_NOT_FOUND),
    ] {
        stage.version = version;
        let commit = stage.commit_offset("m", 1, 1);
        assert_eq!(stage.committed(commit), error, "v{version}");
    }
    for (version, error) in [(5, ErrorCode::NONE), (6, ErrorCode::GROUP_ID_NOT_FOUND)] {
        stage.version = version;
        let group = stage.describe();
        assert_eq!((group.error_code, group.group_state.as_str()), (error, "Dead"));
        assert_eq!(group.error_message.is_some(), error.is_error());
    }
}

/// Up to version 2 a LeaveGroup has one member, and its error stands at the top.
#[test]
fn leave_versions() {
    let mut stage = Stage::new();
    stage.stable_group(1);
    let token = stage.leave(&[("stranger", None)]);
    let answer = stage.left(token);
    assert_eq!(answer.top_level_error(2), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(answer.top_level_error(3), ErrorCode::NONE);
}
