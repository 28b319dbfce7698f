//! Whether this broker may serve the cluster that its metadata log describes: asked before anything is written.
//!
//! A log that ringlog wrote always may. One that Kafka wrote may tell of other brokers and controllers, and a cluster of one would
//! serve their partitions as empty ones, or go on from a copy of the log that is behind theirs.

use thiserror::Error;

use crate::image::ClusterImage;
use crate::record::{BrokerId, PartitionId};

/// Why not. Each says what was found and what to do about it in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdmissionError {
    #[error(
        "its controllers are {voters}, and this is node {node}: only the directory of a broker that is its cluster's one controller \
         can be served"
    )]
    Voters { node: BrokerId, voters: String },
    #[error(
        "{count} of {of} partitions have replicas on other brokers than {node}, the first is {topic}-{partition} on {replicas}: \
         ringlog serves a cluster of one broker. Reassign every partition to broker {node} alone and unregister the others first"
    )]
    Replicas {
        node: BrokerId,
        count: usize,
        of: usize,
        topic: String,
        partition: PartitionId,
        replicas: String,
    },
    #[error(
        "brokers {others} are registered beside {node}: ringlog serves a cluster of one broker. Unregister them first \
         (kafka-cluster.sh unregister)"
    )]
    Brokers { node: BrokerId, others: String },
}

pub(super) fn check(node: BrokerId, voters: &[BrokerId], image: &ClusterImage) -> Result<(), AdmissionError> {
    if voters.iter().any(|voter| *voter != node) {
        let voters = list(voters);
        return Err(AdmissionError::Voters { node, voters });
    }
    let partitions = image.topics().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(move |(id, partition)| (topic, id, partition))
    });
    let mut elsewhere = partitions.filter(|(_, _, partition)| partition.replicas != [node]);
    if let Some((topic, id, partition)) = elsewhere.next() {
        return Err(AdmissionError::Replicas {
            node,
            count: 1 + elsewhere.count(),
            of: image.partition_count(),
            topic: topic.name.to_string(),
            partition: *id,
            replicas: list(&partition.replicas),
        });
    }
    let others: Vec<BrokerId> = image.brokers().keys().copied().filter(|id| *id != node).collect();
    if !others.is_empty() {
        let others = list(&others);
        return Err(AdmissionError::Brokers { node, others });
    }
    Ok(())
}

fn list(ids: &[BrokerId]) -> String {
    let ids: Vec<String> = ids.iter().map(BrokerId::to_string).collect();
    ids.join(", ")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::record::{PartitionRecord, Record, RegisterBrokerRecord, TopicRecord};

    const NODE: BrokerId = BrokerId(1);

    fn image(records: &[Record]) -> ClusterImage {
        ClusterImage::empty("c").apply(records).expect("fits").0
    }

    fn broker(id: i32) -> Record {
        RegisterBrokerRecord {
            broker_id: BrokerId(id),
            ..RegisterBrokerRecord::default()
        }
        .into()
    }

    fn partition(id: i32, replicas: &[i32]) -> Record {
        PartitionRecord {
            topic_id: Uuid::from_u128(7),
            partition_id: PartitionId(id),
            replicas: replicas.iter().copied().map(BrokerId).collect(),
            ..PartitionRecord::default()
        }
        .into()
    }

    fn topic() -> Record {
        TopicRecord {
            name: "t".to_owned(),
            topic_id: Uuid::from_u128(7),
            ..TopicRecord::default()
        }
        .into()
    }

    #[test]
    fn a_cluster_of_this_broker_alone_is_served() {
        assert_eq!(check(NODE, &[], &image(&[])), Ok(()));
        let own = image(&[broker(1), topic(), partition(0, &[1])]);
        assert_eq!(check(NODE, &[NODE], &own), Ok(()));
    }

    #[test]
    fn a_cluster_of_several_is_refused_by_name() {
        // Partitions of other brokers would be served as empty ones, and their consumers begin anew.
        let shared = image(&[
            broker(1),
            topic(),
            partition(0, &[1]),
            partition(1, &[2, 1]),
            partition(2, &[2]),
        ]);
        let refused = check(NODE, &[NODE], &shared).expect_err("two replicas");
        let said = refused.to_string();
        assert!(
            said.contains("2 of 3 partitions") && said.contains("t-1 on 2, 1"),
            "{said}"
        );
        let idle = check(NODE, &[NODE], &image(&[broker(1), broker(2), broker(3)])).expect_err("others");
        assert!(idle.to_string().contains("brokers 2, 3 are registered"), "{idle}");
        let copy = check(NODE, &[BrokerId(100)], &image(&[broker(1)])).expect_err("another controller");
        assert!(copy.to_string().contains("controllers are 100"), "{copy}");
    }
}
