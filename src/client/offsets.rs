//! Which offsets partitions have: first, last, by time.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, TopicName};

use super::{AskError, Cluster, Topic, refused, retry, text};

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    Earliest,
    Latest,
    /// The first record at or after that many ms since the epoch; the end if there is none.
    AtTimestamp(i64),
}

impl OffsetSpec {
    fn code(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::AtTimestamp(timestamp_ms) => timestamp_ms,
        }
    }
}

/// The offset of each partition; -1 where there is none (no record of that time).
pub async fn list_offsets(
    cluster: &Cluster,
    topic: &str,
    partitions: &[i32],
    spec: OffsetSpec,
) -> Result<BTreeMap<i32, i64>, AskError> {
    retry(cluster.timeout(), async || {
        let topic = cluster.topic(topic).await?;
        list_once(cluster, &topic, partitions, spec).await
    })
    .await
}

async fn list_once(
    cluster: &Cluster,
    topic: &Topic,
    partitions: &[i32],
    spec: OffsetSpec,
) -> Result<BTreeMap<i32, i64>, AskError> {
    let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for index in partitions {
        let partition = topic.partition(*index)?;
        if partition.leader < 0 {
            return Err(AskError::NoLeader {
                topic: topic.name.clone(),
                partition: *index,
            });
        }
        by_leader.entry(partition.leader).or_default().push(*index);
    }
    let mut offsets = BTreeMap::new();
    for (leader, partitions) in by_leader {
        let asked = |index: i32| {
            ListOffsetsPartition::default()
                .with_partition_index(index)
                .with_current_leader_epoch(-1)
                .with_timestamp(spec.code())
        };
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_timeout_ms(cluster.timeout().as_millis() as i32)
            .with_topics(vec![
                ListOffsetsTopic::default()
                    .with_name(TopicName(text(&topic.name)))
                    .with_partitions(partitions.into_iter().map(asked).collect()),
            ]);
        let answer = cluster.ask_broker(leader, &request).await?;
        for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            let index = partition.partition_index;
            refused(
                format!("offset of {}-{index}", topic.name),
                partition.error_code,
                None,
            )?;
            offsets.insert(index, partition.offset);
        }
    }
    Ok(offsets)
}
