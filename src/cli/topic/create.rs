//! `ringlog topic create`.

use clap::Args;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest, TopicName};
use net::ErrorCode;
use serde_json::json;

use crate::cli::arguments::{ReplicaAssignment, parse_pair, parse_replica_assignment};
use crate::cli::target::Target;
use crate::cli::{CliError, output};
use crate::client::{AskError, Cluster, refused, retry, text};

#[derive(Debug, Args)]
pub struct Create {
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Number of partitions; the broker's num.partitions if not given.
    #[arg(long, short, value_name = "N", default_value_t = -1)]
    partitions: i32,
    /// Replicas of each partition; the broker's default.replication.factor if not given.
    #[arg(long, short, value_name = "N", default_value_t = -1)]
    replication_factor: i16,
    /// Brokers of each partition, the preferred leader first, instead of letting the controller choose: 1:2,2:3 for two partitions.
    #[arg(long, value_name = "BROKER:BROKER,...", value_parser = parse_replica_assignment, conflicts_with_all = ["partitions", "replication_factor"])]
    replica_assignment: Option<ReplicaAssignment>,
    /// A config of the topic; may be given many times.
    #[arg(long = "config", short = 'c', value_name = "KEY=VALUE", value_parser = parse_pair)]
    configs: Vec<(String, String)>,
    /// It is no error if the topic exists.
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    target: Target,
}

impl Create {
    pub fn run(self) -> Result<(), CliError> {
        let created = self.target.run(async |cluster| {
            let configs = self.configs.iter().map(config).collect();
            let topic = CreatableTopic::default()
                .with_name(TopicName(text(&self.topic)))
                .with_num_partitions(self.partitions)
                .with_replication_factor(self.replication_factor)
                .with_assignments(self.assignments())
                .with_configs(configs);
            let created = create(&cluster, topic).await;
            match created {
                Err(error) if self.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                    Ok(false)
                }
                Err(error) => Err(error.into()),
                Ok(()) => Ok(true),
            }
        })?;
        output::emit(
            self.target.json,
            || json!({"topic": self.topic, "created": created}),
            || match created {
                true => format!("created topic {}", self.topic),
                false => format!("topic {} exists", self.topic),
            },
        );
        Ok(())
    }

    fn assignments(&self) -> Vec<CreatableReplicaAssignment> {
        let Some(ReplicaAssignment(partitions)) = &self.replica_assignment else {
            return Vec::new();
        };
        let assignment = |(index, brokers): (i32, &Vec<i32>)| {
            CreatableReplicaAssignment::default()
                .with_partition_index(index)
                .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
        };
        (0..).zip(partitions).map(assignment).collect()
    }
}

fn config((name, value): &(String, String)) -> CreatableTopicConfig {
    CreatableTopicConfig::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
}

/// Creates one topic; -1 for partitions and replicas leaves them to the broker.
pub async fn create_topic(
    cluster: &Cluster,
    name: &str,
    partitions: i32,
    replication_factor: i16,
    configs: &[(String, String)],
) -> Result<(), AskError> {
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(name)))
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
        .with_configs(configs.iter().map(config).collect());
    create(cluster, topic).await
}

async fn create(cluster: &Cluster, topic: CreatableTopic) -> Result<(), AskError> {
    let name = topic.name.0.to_string();
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(cluster.timeout().as_millis() as i32);
    retry(cluster.timeout(), async || {
        let answer = cluster.ask_controller(&request).await?;
        let Some(topic) = answer.topics.first() else {
            return Err(AskError::Incomplete {
                what: "CreateTopics",
                lacks: format!("topic {name}"),
            });
        };
        refused(
            format!("topic {name}"),
            topic.error_code,
            topic.error_message.as_ref(),
        )
    })
    .await
}
