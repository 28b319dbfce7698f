//! `ringlog group delete`.

use clap::Args;
use kafka_protocol::messages::{DeleteGroupsRequest, GroupId};
use serde_json::json;

use crate::cli::target::Target;
use crate::cli::{CliError, output};
use crate::client::{AskError, refused, retry, text};

#[derive(Debug, Args)]
pub struct Delete {
    #[arg(value_name = "GROUP", required = true)]
    groups: Vec<String>,
    #[command(flatten)]
    target: Target,
}

impl Delete {
    pub fn run(self) -> Result<(), CliError> {
        self.target.run(async |cluster| {
            for group in &self.groups {
                let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
                retry(cluster.timeout(), async || {
                    let coordinator = cluster.coordinator(group).await?;
                    let answer = cluster.ask_broker(coordinator, &request).await?;
                    let Some(found) = answer.results.first() else {
                        return Err(AskError::Incomplete {
                            what: "DeleteGroups",
                            lacks: group.clone(),
                        });
                    };
                    refused(format!("group {group}"), found.error_code, None)
                })
                .await?;
                if !self.target.json {
                    output::line(&format!("deleted group {group}"));
                }
            }
            Ok(())
        })?;
        output::emit(self.target.json, || json!({"deleted": self.groups}), String::new);
        Ok(())
    }
}
