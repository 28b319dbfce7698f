//! `ringlog group list`.

use clap::Args;
use kafka_protocol::messages::ListGroupsRequest;
use serde_json::json;

use crate::cli::CliError;
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client::{refused, retry};

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    target: Target,
}

impl List {
    pub fn run(self) -> Result<(), CliError> {
        let mut groups = self.target.run(async |cluster| {
            // each broker knows the groups it coordinates
            let mut groups = Vec::new();
            for broker in cluster.brokers().into_keys() {
                let found = retry(cluster.timeout(), async || {
                    let answer = cluster.ask_broker(broker, &ListGroupsRequest::default()).await?;
                    refused(format!("groups of broker {broker}"), answer.error_code, None)?;
                    Ok(answer.groups)
                })
                .await?;
                groups.extend(found.into_iter().map(|group| (broker, group)));
            }
            Ok(groups)
        })?;
        groups.sort_by(|(_, a), (_, b)| a.group_id.0.as_str().cmp(b.group_id.0.as_str()));
        let mut table = Table::new(["GROUP", "TYPE", "PROTOCOL TYPE", "STATE", "COORDINATOR"]);
        for (broker, group) in &groups {
            table.row([
                json!(&*group.group_id.0),
                json!(&*group.group_type),
                json!(&*group.protocol_type),
                json!(&*group.group_state),
                json!(broker),
            ]);
        }
        output::emit(self.target.json, || table.to_json(), || table.to_string());
        Ok(())
    }
}
