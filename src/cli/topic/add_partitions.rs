//! `ringlog topic add-partitions`.

use clap::Args;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::{CreatePartitionsRequest, TopicName};
use serde_json::json;

use crate::cli::target::Target;
use crate::cli::{CliError, output};
use crate::client::{AskError, refused, retry, text};

#[derive(Debug, Args)]
pub struct AddPartitions {
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// How many partitions the topic is to have in all.
    #[arg(value_name = "TOTAL")]
    total: i32,
    #[command(flatten)]
    target: Target,
}

impl AddPartitions {
    pub fn run(self) -> Result<(), CliError> {
        self.target.run(async |cluster| {
            let before = cluster.topic(&self.topic).await?.partitions.len();
            let topic = CreatePartitionsTopic::default()
                .with_name(TopicName(text(&self.topic)))
                .with_count(self.total)
                .with_assignments(None);
            let request = CreatePartitionsRequest::default()
                .with_topics(vec![topic])
                .with_timeout_ms(cluster.timeout().as_millis() as i32);
            retry(cluster.timeout(), async || {
                let answer = cluster.ask_controller(&request).await?;
                let Some(found) = answer.results.first() else {
                    let lacks = format!("topic {}", self.topic);
                    return Err(AskError::Incomplete {
                        what: "CreatePartitions",
                        lacks,
                    });
                };
                refused(
                    format!("topic {}", self.topic),
                    found.error_code,
                    found.error_message.as_ref(),
                )
            })
            .await?;
            output::emit(
                self.target.json,
                || json!({"topic": self.topic, "partitions_before": before, "partitions": self.total}),
                || format!("topic {}: {before} -> {} partitions", self.topic, self.total),
            );
            Ok(())
        })
    }
}
