//! AlterPartitionReassignments: moved, finished, cancelled, refused.

use super::*;

fn reassign(
    cluster: &mut Cluster,
    topic: &str,
    partition: i32,
    target: Option<&[i32]>,
    allow_replication_factor_change: bool,
) -> Result<(), ApiError> {
    let request = AlterPartitionReassignments {
        topics: vec![TopicReassignments {
            name: topic.to_owned(),
            partitions: vec![(PartitionId(partition), target.map(ids))],
        }],
        allow_replication_factor_change,
    };
    match cluster.call(Request::AlterPartitionReassignments(request)) {
        Ok(Response::AlterPartitionReassignments(mut results)) => results.remove(0).result,
        other => panic!("{other:?}"),
    }
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(5, "");
    cluster
        .create_one(by_hand("t", &[(0, &[1, 2, 3])]))
        .expect("created");
    cluster
}

/// Replicas, adding, removing.
fn replicas(cluster: &Cluster) -> (Vec<BrokerId>, Vec<BrokerId>, Vec<BrokerId>) {
    let partition = cluster.partition("t", 0);
    assert_eq!(partition.directories.len(), partition.replicas.len());
    (
        partition.replicas.clone(),
        partition.adding_replicas.clone(),
        partition.removing_replicas.clone(),
    )
}

#[test]
fn replicas_are_added_before_any_is_taken_away() {
    let mut cluster = cluster();
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[4, 5, 3]), true), Ok(()));
    assert_eq!(
        replicas(&cluster),
        (ids(&[4, 5, 3, 1, 2]), ids(&[4, 5]), ids(&[1, 2]))
    );
    let partition = cluster.partition("t", 0);
    assert_eq!(
        (partition.leader, partition.leader_epoch.0),
        (Some(BrokerId(1)), 0)
    );
    assert_eq!(
        partition.directories,
        [4, 5, 3, 1, 2].map(directory),
        "new replicas are told where to lie"
    );
    cluster.set_isr("t", 0, &[1, 2, 3, 4]);
    assert_eq!(replicas(&cluster).0.len(), 5);
    // the last one catches up: the old leader is told that it is none any more
    let request = cluster.ask_isr("t", 0, &[1, 2, 3, 4, 5]);
    assert_eq!(
        cluster.alter_partition(request),
        Err(ApiError::of(ErrorCode::NEW_LEADER_ELECTED))
    );
    assert_eq!(replicas(&cluster), (ids(&[4, 5, 3]), vec![], vec![]));
    assert_eq!(cluster.shape("t", 0), (Some(4), vec![3, 4, 5], vec![]));
}

#[test]
fn the_order_alone_changes_at_once() {
    let mut cluster = cluster();
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[3, 1, 2]), true), Ok(()));
    assert_eq!(replicas(&cluster), (ids(&[3, 1, 2]), vec![], vec![]));
    assert_eq!(cluster.shape("t", 0).0, Some(1), "until leaders are balanced");
    assert_eq!(cluster.partition("t", 0).directories, [3, 1, 2].map(directory));
}

#[test]
fn fewer_replicas_are_there_at_once() {
    let mut cluster = cluster();
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[2]), true), Ok(()));
    assert_eq!(replicas(&cluster), (ids(&[2]), vec![], vec![]));
    assert_eq!(cluster.shape("t", 0), (Some(2), vec![2], vec![]));
}

#[test]
fn a_cancelled_reassignment_leaves_nothing_behind() {
    let mut cluster = cluster();
    reassign(&mut cluster, "t", 0, Some(&[4, 5, 3]), true).expect("begun");
    cluster.set_isr("t", 0, &[1, 2, 3, 4]);
    let before = cluster.partition("t", 0).leader_epoch;
    assert_eq!(reassign(&mut cluster, "t", 0, None, true), Ok(()));
    assert_eq!(replicas(&cluster), (ids(&[3, 1, 2]), vec![], vec![]));
    assert_eq!(cluster.shape("t", 0), (Some(1), vec![1, 2, 3], vec![]));
    assert!(
        cluster.partition("t", 0).leader_epoch > before,
        "fetches of the added one are refused"
    );
    assert_eq!(
        reassign(&mut cluster, "t", 0, None, true),
        Err(ApiError::new(
            ErrorCode::NO_REASSIGNMENT_IN_PROGRESS,
            "No partition reassignment is in progress."
        ))
    );
}

#[test]
fn a_cancel_that_would_lose_records_needs_permission() {
    let mut cluster = Cluster::new(3, "");
    cluster.create_one(by_hand("t", &[(0, &[1])])).expect("created");
    reassign(&mut cluster, "t", 0, Some(&[2, 3]), true).expect("begun");
    cluster.set_isr("t", 0, &[1, 2]);
    cluster.kill(1);
    assert_eq!(cluster.shape("t", 0), (Some(2), vec![2], vec![]));
    let refused = reassign(&mut cluster, "t", 0, None, true);
    assert_eq!(
        refused,
        Err(ApiError::new(
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "Unable to revert partition assignment for t:0 because it would require an unclean leader election."
        ))
    );
    cluster
        .alter(2, "t", &[("unclean.leader.election.enable", 0, Some("true"))])
        .expect("altered");
    assert_eq!(reassign(&mut cluster, "t", 0, None, true), Ok(()));
    let partition = cluster.partition("t", 0);
    assert_eq!(
        (
            partition.replicas.clone(),
            partition.isr.clone(),
            partition.leader
        ),
        (ids(&[1]), ids(&[1]), None)
    );
}

#[test]
fn what_cannot_be_is_refused_in_kafkas_words() {
    let mut cluster = cluster();
    let error = |code, message: &str| Err(ApiError::new(code, message));
    assert_eq!(
        reassign(&mut cluster, "u", 0, Some(&[1]), true),
        error(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "Unable to find a topic named u."
        )
    );
    assert_eq!(
        reassign(&mut cluster, "t", 7, Some(&[1]), true),
        error(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "Unable to find partition t:7."
        )
    );
    assert_eq!(
        reassign(&mut cluster, "t", 0, Some(&[]), true),
        error(
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes an empty replica list."
        )
    );
    assert_eq!(
        reassign(&mut cluster, "t", 0, Some(&[1, 9, 2]), true),
        error(
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes broker 9, but no such broker is registered."
        )
    );
    assert_eq!(
        reassign(&mut cluster, "t", 0, Some(&[1, 2]), false),
        error(
            ErrorCode::INVALID_REPLICATION_FACTOR,
            "The replication factor is changed from 3 to 2"
        )
    );
    // while one goes on, what it ends with counts
    reassign(&mut cluster, "t", 0, Some(&[4, 5, 3]), false).expect("begun");
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[1, 2, 3]), false), Ok(()));
    assert_eq!(replicas(&cluster).0, ids(&[1, 2, 3]));
}
