//! `ringlog cluster brokers`.

use clap::Args;
use kafka_protocol::messages::DescribeClusterRequest;
use serde_json::json;

use crate::cli::CliError;
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client::refused;

#[derive(Debug, Args)]
pub struct Brokers {
    #[command(flatten)]
    target: Target,
}

impl Brokers {
    pub fn run(self) -> Result<(), CliError> {
        let (answer, metadata) = self.target.run(async |cluster| {
            // fenced brokers are listed from v2 of the request on; older brokers do not know the field
            let version = cluster
                .any()
                .await?
                .version_of::<DescribeClusterRequest>()
                .map_err(crate::client::AskError::from)?;
            let request = DescribeClusterRequest::default()
                .with_endpoint_type(1)
                .with_include_fenced_brokers(version >= 2);
            let answer = cluster.ask_any(&request).await?;
            refused("cluster", answer.error_code, answer.error_message.as_ref())?;
            Ok((answer, cluster.metadata(None).await?))
        })?;
        let partitions: Vec<_> = metadata
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .collect();
        let mut table = Table::new([
            "BROKER",
            "ADDRESS",
            "RACK",
            "LEADS",
            "REPLICAS",
            "FENCED",
            "CONTROLLER",
        ]);
        for broker in &answer.brokers {
            let id = broker.broker_id;
            table.row([
                json!(id.0),
                json!(format!("{}:{}", &*broker.host, broker.port)),
                json!(broker.rack.as_ref().map(|rack| rack.to_string())),
                json!(
                    partitions
                        .iter()
                        .filter(|partition| partition.leader_id == id)
                        .count()
                ),
                json!(
                    partitions
                        .iter()
                        .filter(|partition| partition.replica_nodes.contains(&id))
                        .count()
                ),
                json!(broker.is_fenced),
                json!(id == answer.controller_id),
            ]);
        }
        output::emit(self.target.json, || table.to_json(), || table.to_string());
        Ok(())
    }
}
