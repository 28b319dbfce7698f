//! `ringlog group delete-offsets`.

use clap::Args;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{GroupId, OffsetDeleteRequest, TopicName};
use serde_json::json;

use super::committed_offsets;
use crate::cli::CliError;
use crate::cli::arguments::{TopicPartitions, parse_topic_partitions};
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client::{Cluster, refused, retry, text};

#[derive(Debug, Args)]
pub struct DeleteOffsets {
    #[arg(value_name = "GROUP")]
    group: String,
    /// Topics, or some of their partitions.
    #[arg(value_name = "TOPIC[:PARTITION,..]", required = true, value_parser = parse_topic_partitions)]
    topics: Vec<TopicPartitions>,
    #[command(flatten)]
    target: Target,
}

impl DeleteOffsets {
    pub fn run(self) -> Result<(), CliError> {
        let table = self.target.run(async |cluster| self.delete(&cluster).await)?;
        output::emit(self.target.json, || table.to_json(), || table.to_string());
        Ok(())
    }

    async fn delete(&self, cluster: &Cluster) -> Result<Table, CliError> {
        let committed = committed_offsets(cluster, &self.group).await?;
        let topics = self.topics.iter().map(|asked| {
            let all = || {
                let of_topic = committed.keys().filter(|(topic, _)| *topic == asked.topic);
                of_topic.map(|(_, partition)| *partition).collect()
            };
            let partitions: Vec<i32> = asked.partitions.clone().unwrap_or_else(all);
            let partition = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
            OffsetDeleteRequestTopic::default()
                .with_name(TopicName(text(&asked.topic)))
                .with_partitions(partitions.into_iter().map(partition).collect())
        });
        let request = OffsetDeleteRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_topics(topics.collect());
        let answer = retry(cluster.timeout(), async || {
            let coordinator = cluster.coordinator(&self.group).await?;
            let answer = cluster.ask_broker(coordinator, &request).await?;
            refused(format!("group {}", self.group), answer.error_code, None)?;
            Ok(answer)
        })
        .await?;
        let mut table = Table::new(["TOPIC", "PARTITION", "OFFSET BEFORE"]);
        for topic in answer.topics {
            for partition in topic.partitions {
                let index = partition.partition_index;
                refused(
                    format!("offset of {}-{index}", &*topic.name.0),
                    partition.error_code,
                    None,
                )?;
                let before = committed.get(&(topic.name.0.to_string(), index));
                table.row([json!(&*topic.name.0), json!(index), json!(before)]);
            }
        }
        Ok(table)
    }
}
