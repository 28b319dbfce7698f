//! Where partitions lie and what they weigh, asked of the brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::messages::DescribeLogDirsRequest;

use super::layout::{Broker, Freedom, Layout, Partition};
use super::ongoing::ongoing;
use crate::cli::CliError;
use crate::client::{AskError, Cluster, refused};

/// Bytes of each partition's largest replica.
pub type Sizes = BTreeMap<(String, i32), u64>;

/// The layout of the whole cluster. Only partitions of `topics` may move; all, if none is named. Traffic is what the logs grow by in
/// `sample`.
pub async fn layout(cluster: &Cluster, topics: &[String], sample: Duration) -> Result<Layout, CliError> {
    let metadata = cluster.metadata(None).await?;
    let brokers: Vec<Broker> = metadata
        .brokers
        .iter()
        .map(|broker| Broker {
            id: broker.node_id.0,
            rack: broker.rack.as_ref().map(|rack| rack.to_string()),
        })
        .collect();
    let known = cluster.topics(None).await?;
    if let Some(missing) = topics
        .iter()
        .find(|name| known.iter().all(|topic| topic.name != **name))
    {
        return Err(CliError::Usage(format!("there is no topic {missing}")));
    }
    let moving: BTreeSet<(String, i32)> = ongoing(cluster, None).await?.into_keys().collect();
    let ids: Vec<i32> = brokers.iter().map(|broker| broker.id).collect();
    let began = reactor::now();
    let before = sizes(cluster, &ids).await?;
    let after = if sample.is_zero() {
        before.clone()
    } else {
        reactor::sleep(sample).await;
        sizes(cluster, &ids).await?
    };
    let seconds = reactor::now().saturating_since(began).as_secs_f64().max(1e-3);
    let mut partitions = Vec::new();
    for topic in &known {
        let is_asked = topics.is_empty() || topics.contains(&topic.name);
        for partition in &topic.partitions {
            let key = (topic.name.clone(), partition.index);
            let bytes = after.get(&key).copied().unwrap_or(0);
            // retention and compaction make logs smaller; that is no traffic
            let grown = bytes.saturating_sub(before.get(&key).copied().unwrap_or(bytes));
            let freedom = match (is_asked && !moving.contains(&key), is_healthy(partition)) {
                (false, _) => Freedom::Fixed,
                (true, false) => Freedom::IfNeeded,
                (true, true) => Freedom::Any,
            };
            partitions.push(Partition {
                topic: topic.name.clone(),
                index: partition.index,
                replicas: partition.replicas.clone(),
                bytes,
                bytes_per_second: grown as f64 / seconds,
                freedom,
            });
        }
    }
    Ok(Layout { brokers, partitions })
}

fn is_healthy(partition: &crate::client::Partition) -> bool {
    let in_sync = |replica| partition.isr.contains(replica);
    partition.leader >= 0 && partition.offline.is_empty() && partition.replicas.iter().all(in_sync)
}

/// What lies on these brokers. A directory that is offline tells nothing, and its partitions weigh what their other replicas do.
pub async fn sizes(cluster: &Cluster, brokers: &[i32]) -> Result<Sizes, AskError> {
    let mut sizes = Sizes::new();
    for (_, key, bytes) in replicas(cluster, brokers).await? {
        let largest = sizes.entry(key).or_default();
        *largest = bytes.max(*largest);
    }
    Ok(sizes)
}

/// Every replica on these brokers: where, of what, how large.
pub async fn replicas(
    cluster: &Cluster,
    brokers: &[i32],
) -> Result<Vec<(i32, (String, i32), u64)>, AskError> {
    let mut replicas = Vec::new();
    for broker in brokers {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let answer = cluster.ask_broker(*broker, &request).await?;
        refused(
            format!("log directories of broker {broker}"),
            answer.error_code,
            None,
        )?;
        for topic in answer.results.into_iter().flat_map(|dir| dir.topics) {
            let name = topic.name.0.to_string();
            let current = topic
                .partitions
                .iter()
                .filter(|partition| !partition.is_future_key);
            replicas.extend(current.map(|partition| {
                let bytes = u64::try_from(partition.partition_size).unwrap_or(0);
                (*broker, (name.clone(), partition.partition_index), bytes)
            }));
        }
    }
    Ok(replicas)
}
