//! `ringlog config set` and `unset`: one incremental change of one resource.

use clap::Args;
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use serde_json::json;

use super::resource::{Resource, ResourceArgs};
use crate::cli::arguments::parse_pair;
use crate::cli::target::Target;
use crate::cli::{CliError, output};
use crate::client::{AskError, Cluster, refused, retry, text};

/// Kafka's numbers of the operations.
const SET: i8 = 0;
const DELETE: i8 = 1;

#[derive(Debug, Args)]
pub struct Set {
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = parse_pair)]
    configs: Vec<(String, String)>,
    #[command(flatten)]
    resource: ResourceArgs,
    /// Only ask whether the change would be accepted.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub struct Unset {
    #[arg(value_name = "KEY", required = true)]
    configs: Vec<String>,
    #[command(flatten)]
    resource: ResourceArgs,
    /// Only ask whether the change would be accepted.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

impl Set {
    pub fn run(self) -> Result<(), CliError> {
        let set = |(name, value): &(String, String)| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(SET)
                .with_value(Some(text(value)))
        };
        let changes = self.configs.iter().map(set).collect();
        change(&self.target, &self.resource.resource(), changes, self.dry_run)
    }
}

impl Unset {
    pub fn run(self) -> Result<(), CliError> {
        let unset = |name: &String| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(DELETE)
                .with_value(None)
        };
        let changes = self.configs.iter().map(unset).collect();
        change(&self.target, &self.resource.resource(), changes, self.dry_run)
    }
}

fn change(
    target: &Target,
    resource: &Resource,
    changes: Vec<AlterableConfig>,
    dry_run: bool,
) -> Result<(), CliError> {
    let count = changes.len();
    target.run(async |cluster| Ok(alter(&cluster, resource, changes, dry_run).await?))?;
    output::emit(
        target.json,
        || json!({"resource": resource.to_string(), "changed": count, "dry_run": dry_run}),
        || match dry_run {
            true => format!("{resource}: {count} changes would be accepted"),
            false => format!("{resource}: {count} changed"),
        },
    );
    Ok(())
}

async fn alter(
    cluster: &Cluster,
    resource: &Resource,
    changes: Vec<AlterableConfig>,
    dry_run: bool,
) -> Result<(), AskError> {
    let asked = AlterConfigsResource::default()
        .with_resource_type(resource.type_code())
        .with_resource_name(text(&resource.name()))
        .with_configs(changes);
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![asked])
        .with_validate_only(dry_run);
    retry(cluster.timeout(), async || {
        let answer = match resource.broker() {
            Some(broker) => cluster.ask_broker(broker, &request).await?,
            None => cluster.ask_controller(&request).await?,
        };
        let Some(found) = answer.responses.first() else {
            let lacks = resource.to_string();
            return Err(AskError::Incomplete {
                what: "IncrementalAlterConfigs",
                lacks,
            });
        };
        refused(
            resource.to_string(),
            found.error_code,
            found.error_message.as_ref(),
        )
    })
    .await
}
