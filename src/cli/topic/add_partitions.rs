//! `ringlog topic add-partitions`.

use clap::Args;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::{BrokerId, CreatePartitionsRequest, TopicName};
use serde_json::json;

use crate::cli::arguments::{ReplicaAssignment, parse_replica_assignment};
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
    /// Brokers of each additional partition, the preferred leader first: 1:2,2:3 for two partitions.
    #[arg(long, value_name = "BROKER:BROKER,...", value_parser = parse_replica_assignment)]
    replica_assignment: Option<ReplicaAssignment>,
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
                .with_assignments(self.assignments());
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

    fn assignments(&self) -> Option<Vec<CreatePartitionsAssignment>> {
        let ReplicaAssignment(partitions) = self.replica_assignment.as_ref()?;
        let assignment = |brokers: &Vec<i32>| {
            CreatePartitionsAssignment::default()
                .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
        };
        Some(partitions.iter().map(assignment).collect())
    }
}
