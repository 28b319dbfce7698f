//! `ringlog cluster quorum`.

use clap::Args;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::ReplicaState;
use kafka_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse, TopicName};
use net::client::ClientError;
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client::{AskError, refused, text};

const METADATA_TOPIC: &str = "__cluster_metadata";

#[derive(Debug, Args)]
pub struct Quorum {
    #[command(flatten)]
    target: Target,
}

impl Quorum {
    pub fn run(self) -> Result<(), CliError> {
        let answer = self.target.run(async |cluster| {
            let topic = TopicData::default()
                .with_topic_name(TopicName(text(METADATA_TOPIC)))
                .with_partitions(vec![PartitionData::default().with_partition_index(0)]);
            let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
            match cluster.ask_any(&request).await {
                Err(AskError::Connection(ClientError::NotServed { .. })) => Err(CliError::Usage(
                    "this cluster's metadata is not kept by a quorum of its brokers".to_owned(),
                )),
                answer => Ok(answer?),
            }
        })?;
        let table = table(&answer)?;
        output::emit(self.target.json, || table.to_json(), || table.to_string());
        Ok(())
    }
}

fn table(answer: &DescribeQuorumResponse) -> Result<Table, CliError> {
    let what = "quorum";
    refused(what, answer.error_code, answer.error_message.as_ref())?;
    let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
    let partition = partition.ok_or_else(|| AskError::Incomplete {
        what: "DescribeQuorum",
        lacks: METADATA_TOPIC.to_owned(),
    })?;
    refused(what, partition.error_code, partition.error_message.as_ref())?;
    let end = |replica: &ReplicaState| replica.log_end_offset;
    let voters = &partition.current_voters;
    let leader_end = voters
        .iter()
        .find(|voter| voter.replica_id == partition.leader_id)
        .map_or(partition.high_watermark, end);
    let mut table = Table::new(["NODE", "ROLE", "EPOCH", "LOG END OFFSET", "LAG"]);
    let mut row = |replica: &ReplicaState, role: &str| {
        let offset = end(replica);
        let lag = match offset {
            i64::MIN..0 => Value::Null, // nothing heard of it
            offset => json!(leader_end.saturating_sub(offset).max(0)),
        };
        table.row([
            json!(replica.replica_id.0),
            json!(role),
            json!(partition.leader_epoch),
            json!(offset),
            lag,
        ]);
    };
    for voter in voters {
        let leads = voter.replica_id == partition.leader_id;
        row(voter, if leads { "leader" } else { "voter" });
    }
    for observer in &partition.observers {
        row(observer, "observer");
    }
    Ok(table)
}
