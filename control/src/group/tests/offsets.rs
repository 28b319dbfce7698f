use super::stage::{Commits, commit_topics};
use super::*;
use crate::group::record::Record;
use crate::group::request::*;
use crate::group::response::*;
use crate::group::*;
use engine::types::{Offset, ProducerId};
use uuid::Uuid;

/// Consumers that assign partitions themselves use a group for its offsets only.
#[test]
fn a_standalone_consumer_commits_and_finds_its_offset() {
    let mut stage = Stage::new();
    assert_eq!(stage.fetched(), -1);
    stage.commits = Commits::Later;
    let commit = stage.commit_offset("", -1, 42);
    // neither answered nor visible before it is durable: an acknowledged offset must survive any failure
    assert!(stage.is_parked(commit));
    assert_eq!(stage.fetched(), -1);
    assert_eq!(stage.fetch(true).error_code, ErrorCode::UNSTABLE_OFFSET_COMMIT);
    stage.commit();
    assert_eq!(stage.committed(commit), ErrorCode::NONE);
    assert_eq!(
        (
            stage.fetch(true).committed_offset,
            stage.fetch(true).committed_leader_epoch.0
        ),
        (Offset(42), 3)
    );
    stage.restart();
    assert_eq!((stage.fetched(), stage.state().as_str()), (42, "Empty"));
    assert_eq!(
        stage.shard.committed_offsets().collect::<Vec<_>>(),
        [("g", "orders", 0, Offset(42))]
    );
}

#[test]
fn a_commit_that_is_not_logged_never_was() {
    let mut stage = Stage::new();
    stage.commits = Commits::Later;
    for (failure, error) in [
        (
            AppendFailure::NotEnoughReplicas,
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ),
        (AppendFailure::NotLeader, ErrorCode::NOT_COORDINATOR),
        (AppendFailure::Storage, ErrorCode::NOT_COORDINATOR),
        (AppendFailure::TooLarge, ErrorCode::UNKNOWN_SERVER_ERROR),
    ] {
        let commit = stage.commit_offset("", -1, 42);
        stage.fail_append(failure);
        assert_eq!(stage.committed(commit), error);
        assert_eq!((stage.fetched(), stage.state().as_str()), (-1, "Dead"));
    }
    // one that takes too long is in the log all the same
    let commit = stage.commit_offset("", -1, 43);
    let ticket = stage.log.last().unwrap().0;
    stage.handle(Event::CommitTimedOut { ticket });
    assert_eq!(stage.committed(commit), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(stage.fetched(), -1);
    stage.commit();
    assert_eq!(stage.fetched(), 43);
}

#[test]
fn metadata_is_bounded_per_partition() {
    let mut stage = Stage::with(GroupConfig {
        offset_metadata_max_size: 3,
        ..GroupConfig::default()
    });
    let mut request = stage.commit_request("", -1, 1);
    let partition = request.topics[0].partitions[0].clone();
    for (index, metadata) in [(1, "abcd"), (2, "äöü"), (3, "😀😀")] {
        request.topics[0].partitions.push(OffsetCommitPartition {
            partition_index: index,
            committed_metadata: Some(metadata.into()),
            ..partition.clone()
        });
    }
    let token = stage.ask(Request::OffsetCommit(request));
    let Some(Response::OffsetCommit(answer)) = stage.answer(token) else {
        panic!()
    };
    let errors: Vec<ErrorCode> = answer.topics[0].partitions.iter().map(|p| p.error_code).collect();
    let too_large = ErrorCode::OFFSET_METADATA_TOO_LARGE;
    assert_eq!(
        errors,
        [ErrorCode::NONE, too_large, ErrorCode::NONE, too_large],
        "counted in UTF-16 units"
    );
    let all = stage.fetch_topics(None, false);
    let indexes: Vec<i32> = all.topics[0]
        .partitions
        .iter()
        .map(|p| p.partition_index)
        .collect();
    assert_eq!(indexes, [0, 2]);
    assert_eq!(all.topics[0].partitions[1].metadata, "äöü");
}

/// Exactly-once consumers: an offset of an open transaction must not be seen, and must not be overlooked.
#[test]
fn transactional_offsets() {
    let mut stage = Stage::new();
    let commit = stage.commit_offset("", -1, 1);
    assert_eq!(stage.committed(commit), ErrorCode::NONE);
    let txn = stage.commit_in_transaction(7, -1, 5);
    assert_eq!(stage.committed(txn), ErrorCode::NONE);
    assert_eq!(stage.fetched(), 1);
    assert_eq!(stage.fetch(true).error_code, ErrorCode::UNSTABLE_OFFSET_COMMIT);
    // the open transaction survives the coordinator
    stage.restart();
    assert_eq!(stage.fetch(true).error_code, ErrorCode::UNSTABLE_OFFSET_COMMIT);
    let result = TransactionResult::Commit;
    stage.handle(Event::TransactionEnded {
        producer_id: ProducerId(7),
        result,
    });
    assert_eq!(stage.fetch(true).committed_offset, Offset(5));

    let wrong = stage.commit_in_transaction(7, 3, 6);
    assert_eq!(stage.committed(wrong), ErrorCode::UNKNOWN_MEMBER_ID);
}

/// A topic deleted and created again under the same name starts from nothing.
#[test]
fn offsets_of_another_topic_id_are_not_shown() {
    let mut stage = Stage::new();
    let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut request = stage.commit_request("", -1, 9);
    request.topics[0].topic_id = Some(old);
    stage.ask(Request::OffsetCommit(request));
    let mut offset_for = |topic_id| {
        let topic = OffsetFetchTopic {
            name: "orders".into(),
            topic_id,
            partition_indexes: vec![0],
        };
        stage.fetch_topics(Some(vec![topic]), false).topics[0].partitions[0]
            .committed_offset
            .0
    };
    assert_eq!(
        (offset_for(Some(old)), offset_for(Some(new)), offset_for(None)),
        (9, -1, 9)
    );
}

#[test]
fn offsets_of_deleted_topics_go() {
    let mut stage = Stage::new();
    stage.commit_offset("", -1, 1);
    stage.commits = Commits::Later;
    let mut request = stage.commit_request("", -1, 2);
    request.topics = commit_topics("orders", 1, 2);
    let in_flight = stage.ask(Request::OffsetCommit(request));
    stage.handle(Event::TopicsDeleted {
        topics: vec!["orders".into()],
    });
    stage.commit();
    assert_eq!(stage.committed(in_flight), ErrorCode::NONE);
    assert!(stage.fetch_topics(None, false).topics.is_empty());
    stage.restart();
    assert!(stage.fetch_topics(None, false).topics.is_empty());
}

/// What an older coordinator, or Kafka, left in the log.
#[test]
fn foreign_records_load() {
    let mut shard = GroupShard::new(GroupConfig::default());
    shard.replay(None, Record::Unknown { kind: 7 });
    shard.replay(
        None,
        Record::GroupMetadata {
            group: "gone".into(),
            value: None,
        },
    );
    shard.loaded(Now::default());
    assert!(shard.group_counts().is_empty());
    assert_eq!(shard.poll_action(), None);
}
