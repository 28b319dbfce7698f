use super::stage::{Commits, commit_topics};
use super::*;
use crate::group::ErrorCode;
use crate::group::request::Request;

const DAY_MS: u64 = 86_400_000;

/// A group that comes back within the retention must find its offsets; one that never does must not cost memory.
#[test]
fn offsets_expire_a_retention_after_the_group_became_empty() {
    let mut stage = Stage::new();
    stage.session_timeout_ms = 1_800_000;
    let (ids, generation) = stage.stable_group(1);
    stage.commit_offset(&ids[0], generation, 5);
    // given a commit long ago by a group that was alive until now
    for _ in 0..8 * 24 * 3 {
        stage.now_ms += 1_200_000;
        stage.heartbeat(&ids[0], generation);
    }
    assert_eq!(stage.fetched(), 5, "subscribed topics are kept");
    stage.leave(&[(&ids[0], None)]);
    stage.advance(7 * DAY_MS - 1);
    assert_eq!((stage.fetched(), stage.state().as_str()), (5, "Empty"));
    stage.advance(600_001);
    assert_eq!((stage.fetched(), stage.state().as_str()), (-1, "Dead"));
    assert_eq!(stage.shard.counters().offset_expirations, 1);
    stage.restart();
    assert!(stage.shard.group_counts().is_empty());
}

#[test]
fn standalone_offsets_expire_a_retention_after_the_commit() {
    let mut stage = Stage::new();
    stage.commit_offset("", -1, 5);
    stage.advance(6 * DAY_MS);
    let mut other = stage.commit_request("", -1, 6);
    other.topics = commit_topics("other", 0, 6);
    stage.ask(Request::OffsetCommit(other));
    stage.advance(DAY_MS + 600_000);
    assert_eq!(stage.fetched(), -1);
    assert_eq!(stage.fetch_topics(None, false).topics.len(), 1);
    stage.advance(6 * DAY_MS);
    assert_eq!(stage.state(), "Dead");
}

/// Versions 2 to 4 of OffsetCommit bring their own retention.
#[test]
fn a_client_may_bring_its_own_retention() {
    let mut stage = Stage::new();
    let mut request = stage.commit_request("", -1, 5);
    request.retention_time_ms = 60_000;
    stage.ask(Request::OffsetCommit(request));
    stage.restart();
    stage.advance(600_000);
    assert_eq!(stage.fetched(), -1);
}

#[test]
fn topics_a_living_group_no_longer_reads_expire() {
    let mut stage = Stage::new();
    stage.session_timeout_ms = 1_800_000;
    let mut other = stage.commit_request("", -1, 6);
    other.topics = commit_topics("other", 0, 6);
    stage.ask(Request::OffsetCommit(other));
    let (ids, generation) = stage.stable_group(1);
    stage.commit_offset(&ids[0], generation, 5);
    for _ in 0..8 * 24 * 3 {
        stage.now_ms += 1_200_000;
        assert_eq!(stage.heartbeat(&ids[0], generation), ErrorCode::NONE);
    }
    let names: Vec<String> = stage
        .fetch_topics(None, false)
        .topics
        .into_iter()
        .map(|t| t.name)
        .collect();
    assert_eq!(names, ["orders"]);
}

/// An offset that is being written or is in an open transaction is in use, whatever its age.
#[test]
fn offsets_in_use_do_not_expire() {
    let mut stage = Stage::new();
    stage.commit_offset("", -1, 5);
    stage.now_ms += 8 * DAY_MS;
    stage.commits = Commits::Later;
    let fresh = stage.commit_offset("", -1, 6);
    stage.advance(600_000);
    stage.commit();
    assert_eq!((stage.committed(fresh), stage.fetched()), (ErrorCode::NONE, 6));

    let mut stage = Stage::new();
    stage.commit_offset("", -1, 5);
    stage.commit_in_transaction(7, -1, 6);
    stage.advance(8 * DAY_MS);
    assert_eq!(stage.fetched(), 5);
}

#[test]
fn a_sweep_over_many_groups_pauses() {
    let mut stage = Stage::new();
    for n in 0..2_500 {
        let mut request = stage.commit_request("", -1, n);
        request.group_id = format!("g{n}");
        stage.ask(Request::OffsetCommit(request));
    }
    stage.now_ms += 8 * DAY_MS;
    stage.handle(crate::group::Event::Tick);
    let left = stage.shard.committed_offsets().count();
    assert_eq!(left, 1_500, "a step of a thousand");
    stage.advance(100);
    assert_eq!(stage.shard.committed_offsets().count(), 0);
    assert!(stage.shard.group_counts().is_empty());
}
