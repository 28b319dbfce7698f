//! `ringlog cluster elect-leaders`.

use clap::Args;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions as Asked;
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use net::ErrorCode;
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::arguments::{TopicPartitions, parse_topic_partitions};
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client::{AskError, Cluster, refused, retry, text};

/// Kafka's numbers.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

#[derive(Debug, Args)]
pub struct ElectLeaders {
    /// TOPIC or TOPIC:PARTITION,...; all partitions if none is given.
    #[arg(value_name = "TOPIC[:PARTITION,...]", value_parser = parse_topic_partitions, required_if_eq("unclean", "true"))]
    partitions: Vec<TopicPartitions>,
    /// Where no replica in sync is left, let any live one lead. Records that only the others have are lost.
    #[arg(long)]
    unclean: bool,
    #[command(flatten)]
    target: Target,
}

impl ElectLeaders {
    pub fn run(self) -> Result<(), CliError> {
        let answer = self.target.run(async |cluster| {
            let asked = match self.partitions.is_empty() {
                true => None,
                false => Some(named(&cluster, &self.partitions).await?),
            };
            let request = ElectLeadersRequest::default()
                .with_election_type(if self.unclean { UNCLEAN } else { PREFERRED })
                .with_topic_partitions(asked)
                .with_timeout_ms(cluster.timeout().as_millis() as i32);
            let elected = retry(cluster.timeout(), async || {
                let answer = cluster.ask_controller(&request).await?;
                refused("election", answer.error_code, None)?;
                Ok(answer)
            });
            Ok(elected.await?)
        })?;
        let (table, failed) = outcome(&answer);
        output::emit(
            self.target.json,
            || table.to_json(),
            || match table.is_empty() {
                true => "every partition has the leader that it should have".to_owned(),
                false => table.to_string(),
            },
        );
        match failed {
            0 => Ok(()),
            failed => Err(CliError::Some {
                failed,
                total: table.len(),
                what: "elections",
            }),
        }
    }
}

/// The request has no way to say "all partitions of a topic".
async fn named(cluster: &Cluster, partitions: &[TopicPartitions]) -> Result<Vec<Asked>, AskError> {
    let mut asked = Vec::with_capacity(partitions.len());
    for named in partitions {
        let indexes = match &named.partitions {
            Some(indexes) => indexes.clone(),
            None => {
                let topic = cluster.topic(&named.topic).await?;
                topic.partitions.iter().map(|partition| partition.index).collect()
            }
        };
        asked.push(
            Asked::default()
                .with_topic(TopicName(text(&named.topic)))
                .with_partitions(indexes),
        );
    }
    Ok(asked)
}

/// A row per partition, and how many failed. One that has the right leader already has not.
fn outcome(answer: &ElectLeadersResponse) -> (Table, usize) {
    let mut table = Table::new(["TOPIC", "PARTITION", "OUTCOME", "REASON"]);
    let mut failed = 0;
    for topic in &answer.replica_election_results {
        for partition in &topic.partition_result {
            let code = ErrorCode::from_code(partition.error_code);
            let outcome = match code {
                ErrorCode::None => "elected",
                ErrorCode::ElectionNotNeeded => "not needed",
                code => code.name(),
            };
            let is_failure = !matches!(code, ErrorCode::None | ErrorCode::ElectionNotNeeded);
            failed += usize::from(is_failure);
            let reason = partition.error_message.as_ref().filter(|_| is_failure);
            table.row([
                json!(&*topic.topic.0),
                json!(partition.partition_id),
                json!(outcome),
                reason.map_or(Value::Null, |reason| json!(&**reason)),
            ]);
        }
    }
    (table, failed)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};

    use super::*;

    #[test]
    fn a_leader_that_leads_already_is_no_failure() {
        // A script that balances leaders every night would fail on every quiet night.
        let partition = |index, code| {
            PartitionResult::default()
                .with_partition_id(index)
                .with_error_code(code)
        };
        let topic = ReplicaElectionResult::default()
            .with_topic(TopicName(text("t")))
            .with_partition_result(vec![partition(0, 0), partition(1, 84), partition(2, 80)]);
        let (table, failed) =
            outcome(&ElectLeadersResponse::default().with_replica_election_results(vec![topic]));
        assert_eq!((table.len(), failed), (3, 1));
        assert_eq!(
            table.to_json()[2]["outcome"],
            json!("PREFERRED_LEADER_NOT_AVAILABLE")
        );
    }
}
