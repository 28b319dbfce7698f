//! Fetching batches of one topic from all leaders at once.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, TopicName};

use super::{AskError, Cluster, Topic, refused, text};

/// The last version that names topics instead of giving their ids.
const VERSION_BY_NAME_MAX: i16 = 12;

#[derive(Debug, Clone, Copy)]
pub struct FetchConfig {
    pub max_wait: Duration,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub partition_max_bytes: i32,
}

impl Default for FetchConfig {
    /// Kafka's defaults of a consumer.
    fn default() -> Self {
        FetchConfig {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
        }
    }
}

/// Where the next fetch of a partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub partition: i32,
    pub offset: i64,
}

/// What one partition's fetch brought.
#[derive(Debug)]
pub struct FetchedBatches {
    pub partition: i32,
    pub high_watermark: i64,
    /// Whole batches, perhaps with a cut one at the end; they may begin before the asked offset.
    pub records: Bytes,
    /// What the partition itself answered.
    pub outcome: Result<(), AskError>,
}

/// Asks each leader once; partitions without a leader are an error the caller may retry.
pub async fn fetch(
    cluster: &Cluster,
    topic: &Topic,
    positions: &[Position],
    config: FetchConfig,
) -> Result<Vec<FetchedBatches>, AskError> {
    let mut by_leader: BTreeMap<i32, Vec<Position>> = BTreeMap::new();
    for position in positions {
        let partition = topic.partition(position.partition)?;
        if partition.leader < 0 {
            return Err(AskError::NoLeader {
                topic: topic.name.clone(),
                partition: position.partition,
            });
        }
        by_leader.entry(partition.leader).or_default().push(*position);
    }
    let asked = by_leader
        .into_iter()
        .map(|(leader, positions)| fetch_from(cluster, leader, &topic.name, positions, config));
    let mut fetched = Vec::new();
    for batches in join_all(asked).await {
        fetched.extend(batches?);
    }
    Ok(fetched)
}

async fn fetch_from(
    cluster: &Cluster,
    leader: i32,
    topic: &str,
    positions: Vec<Position>,
    config: FetchConfig,
) -> Result<Vec<FetchedBatches>, AskError> {
    let partition = |position: Position| {
        FetchPartition::default()
            .with_partition(position.partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(position.offset)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(config.partition_max_bytes)
    };
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(config.max_wait.as_millis() as i32)
        .with_min_bytes(config.min_bytes)
        .with_max_bytes(config.max_bytes)
        .with_session_epoch(-1)
        .with_topics(vec![
            FetchTopic::default()
                .with_topic(TopicName(text(topic)))
                .with_partitions(positions.into_iter().map(partition).collect()),
        ]);
    let client = cluster.broker(leader).await?;
    let version = client.version_of::<FetchRequest>()?.min(VERSION_BY_NAME_MAX);
    let answer = cluster.ask_broker_at(leader, version, &request).await?;
    refused("fetch", answer.error_code, None)?;
    let batches = answer
        .responses
        .into_iter()
        .flat_map(|topic| topic.partitions)
        .map(|partition| {
            let what = format!("{topic}-{}", partition.partition_index);
            FetchedBatches {
                partition: partition.partition_index,
                high_watermark: partition.high_watermark,
                records: partition.records.unwrap_or_default(),
                outcome: refused(what, partition.error_code, None),
            }
        });
    Ok(batches.collect())
}
