//! The topic of a run, and the lanes its partitions are spread over.

use std::net::SocketAddr;

use net::ErrorCode;

use crate::cli::topic::create_topic;
use crate::client::{AskError, Cluster, OffsetSpec, Topic, list_offsets};

use super::Common;

/// One connection's share of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub broker: i32,
    pub partitions: Vec<i32>,
}

impl Common {
    /// The topic, created if it does not exist, all partitions led and served.
    pub async fn topic(&self, cluster: &Cluster) -> Result<Topic, AskError> {
        match cluster.topic(&self.topic).await {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                create_topic(
                    cluster,
                    &self.topic,
                    self.partitions,
                    self.replication_factor,
                    &self.topic_configs,
                )
                .await?;
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let topic = cluster.led_topic(&self.topic).await?;
        let partitions: Vec<i32> = topic.partitions.iter().map(|partition| partition.index).collect();
        // Kafka tells of leaders before they serve; who does not know the question (the ceiling) has nothing to wait for
        match list_offsets(cluster, &topic.name, &partitions, OffsetSpec::Latest).await {
            Err(error) if error.code().is_some() => Err(error),
            _ => Ok(topic),
        }
    }

    /// `connections` shares for each leader.
    pub fn shares(&self, topic: &Topic) -> Vec<Share> {
        let leaders = topic
            .partitions
            .iter()
            .map(|partition| (partition.leader, partition.index));
        shares(leaders, self.connections as usize)
    }
}

/// Partitions go round the connections to their leader; with more connections than partitions, several connections
/// have the same partition.
fn shares(partitions: impl Iterator<Item = (i32, i32)>, connections: usize) -> Vec<Share> {
    let mut by_leader: std::collections::BTreeMap<i32, Vec<i32>> = Default::default();
    for (leader, partition) in partitions {
        by_leader.entry(leader).or_default().push(partition);
    }
    let mut shares = Vec::new();
    for (broker, partitions) in by_leader {
        for connection in 0..connections {
            let mut mine: Vec<i32> = partitions
                .iter()
                .copied()
                .skip(connection)
                .step_by(connections)
                .collect();
            if mine.is_empty() {
                mine.extend(partitions.get(connection % partitions.len().max(1)));
            }
            shares.push(Share {
                broker,
                partitions: mine,
            });
        }
    }
    shares
}

/// Where a share's broker listens.
pub async fn address(cluster: &Cluster, share: &Share) -> Result<SocketAddr, AskError> {
    cluster.broker_address(share.broker).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_somebodys_and_no_connection_idles() {
        let of = |partitions: &[(i32, i32)], connections| {
            let shares = shares(partitions.iter().copied(), connections);
            shares
                .into_iter()
                .map(|share| (share.broker, share.partitions))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&[(1, 0), (1, 1), (1, 2)], 2), [(1, vec![0, 2]), (1, vec![1])]);
        assert_eq!(
            of(&[(1, 0), (2, 1)], 2),
            [(1, vec![0]), (1, vec![0]), (2, vec![1]), (2, vec![1])]
        );
        assert_eq!(
            of(&[(1, 0), (1, 1)], 3),
            [(1, vec![0]), (1, vec![1]), (1, vec![0])]
        );
    }
}
