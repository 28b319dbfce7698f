//! `ringlog topic delete-records`.

use std::collections::BTreeMap;

use clap::Args;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::{DeleteRecordsRequest, TopicName};
use serde_json::json;

use crate::cli::CliError;
use crate::cli::arguments::{TopicPartitions, parse_topic_partitions};
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client::{AskError, Cluster, refused, retry, text};

#[derive(Debug, Args)]
pub struct DeleteRecords {
    /// All partitions of a topic, or some of them.
    #[arg(value_name = "TOPIC[:PARTITION,..]", value_parser = parse_topic_partitions)]
    topic: TopicPartitions,
    /// Records before this offset are deleted; -1 deletes all records there are.
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true, value_parser = clap::value_parser!(i64).range(-1..))]
    before: i64,
    #[command(flatten)]
    target: Target,
}

impl DeleteRecords {
    pub fn run(self) -> Result<(), CliError> {
        let low_watermarks = self.target.run(async |cluster| {
            retry(cluster.timeout(), async || self.delete(&cluster).await)
                .await
                .map_err(CliError::from)
        })?;
        let mut table = Table::new(["PARTITION", "FIRST OFFSET"]);
        for (partition, offset) in low_watermarks {
            table.row([json!(partition), json!(offset)]);
        }
        output::emit(self.target.json, || table.to_json(), || table.to_string());
        Ok(())
    }

    async fn delete(&self, cluster: &Cluster) -> Result<BTreeMap<i32, i64>, AskError> {
        let topic = cluster.topic(&self.topic.topic).await?;
        let mut by_leader: BTreeMap<i32, Vec<DeleteRecordsPartition>> = BTreeMap::new();
        let all = || topic.partitions.iter().map(|partition| partition.index).collect();
        for index in self.topic.partitions.clone().unwrap_or_else(all) {
            let partition = topic.partition(index)?;
            if partition.leader < 0 {
                return Err(AskError::NoLeader {
                    topic: topic.name.clone(),
                    partition: index,
                });
            }
            let asked = DeleteRecordsPartition::default()
                .with_partition_index(index)
                .with_offset(self.before);
            by_leader.entry(partition.leader).or_default().push(asked);
        }
        let mut low_watermarks = BTreeMap::new();
        for (leader, partitions) in by_leader {
            let asked = DeleteRecordsTopic::default()
                .with_name(TopicName(text(&topic.name)))
                .with_partitions(partitions);
            let request = DeleteRecordsRequest::default()
                .with_topics(vec![asked])
                .with_timeout_ms(cluster.timeout().as_millis() as i32);
            let answer = cluster.ask_broker(leader, &request).await?;
            for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
                let index = partition.partition_index;
                refused(format!("{}-{index}", topic.name), partition.error_code, None)?;
                low_watermarks.insert(index, partition.low_watermark);
            }
        }
        Ok(low_watermarks)
    }
}
