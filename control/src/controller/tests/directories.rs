//! Brokers with several directories: where replicas go, and what a broker tells of its directories.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;

fn id(number: u128) -> DirectoryId {
    DirectoryId(Uuid::from_u128(number))
}

fn tell(
    cluster: &mut Cluster,
    online: &[DirectoryId],
    assignments: Vec<(Uuid, PartitionId, DirectoryId)>,
) -> Result<Response, ApiError> {
    let broker_epoch = cluster.image.broker(BrokerId(1)).expect("registered").epoch;
    cluster.call(Request::AssignDirectories(AssignDirectories {
        broker_id: BrokerId(1),
        broker_epoch,
        online: online.to_vec(),
        assignments,
    }))
}

fn spread(cluster: &Cluster) -> BTreeMap<DirectoryId, usize> {
    let mut counts = BTreeMap::new();
    for partition in cluster.image.topics().flat_map(|topic| topic.partitions.values()) {
        *counts.entry(partition.directories[0]).or_default() += 1;
    }
    counts
}

#[test]
fn new_partitions_go_to_the_directory_with_the_fewest() {
    // One disk would run full while the others idle; and a broker that is not told where a partition lies begins it anew,
    // empty, when the disk that has it is away.
    let mut cluster = Cluster::new(1, "");
    tell(&mut cluster, &[id(500), id(501), id(502)], Vec::new()).expect("told");
    cluster.create_one(new_topic("a", 7, 1)).expect("created");
    cluster
        .create(vec![new_topic("b", 1, 1), new_topic("c", 1, 1)])
        .into_iter()
        .for_each(|created| assert!(created.result.is_ok()));
    assert_eq!(
        spread(&cluster),
        [(id(500), 3), (id(501), 3), (id(502), 3)].into()
    );
    tell(&mut cluster, &[id(500), id(502)], Vec::new()).expect("told");
    cluster.grow(vec![more("a", 9)]);
    assert_eq!(
        spread(&cluster),
        [(id(500), 4), (id(501), 3), (id(502), 4)].into()
    );
}

#[test]
fn a_moved_partition_is_known_to_lie_where_it_was_moved() {
    // Believed to be where it was, it would come up empty when that directory is taken away.
    let mut cluster = Cluster::new(1, "");
    tell(&mut cluster, &[id(500), id(501)], Vec::new()).expect("told");
    let topic = cluster.create_one(new_topic("a", 1, 1)).expect("created");
    let before = cluster.partition("a", 0).clone();
    let moved = vec![
        (topic.id, PartitionId(0), id(501)),
        (topic.id, PartitionId(9), id(501)),
    ];
    tell(&mut cluster, &[id(500), id(501)], moved).expect("told");
    let after = cluster.partition("a", 0);
    assert_eq!(after.directories, [id(501)]);
    assert_eq!(
        (after.leader, after.leader_epoch),
        (before.leader, before.leader_epoch)
    );
}
