//! `ringlog topic create`.

use clap::Args;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{CreateTopicsRequest, TopicName};
use net::ErrorCode;
use serde_json::json;

use crate::cli::arguments::parse_pair;
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
            let created = create_topic(
                &cluster,
                &self.topic,
                self.partitions,
                self.replication_factor,
                &self.configs,
            )
            .await;
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
}

/// Creates one topic; -1 for partitions and replicas leaves them to the broker.
pub async fn create_topic(
    cluster: &Cluster,
    name: &str,
    partitions: i32,
    replication_factor: i16,
    configs: &[(String, String)],
) -> Result<(), AskError> {
    let config = |(name, value): &(String, String)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    };
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(name)))
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
        .with_configs(configs.iter().map(config).collect());
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
