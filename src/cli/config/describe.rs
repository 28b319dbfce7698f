//! `ringlog config describe`.

use clap::Args;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use serde_json::json;

use super::resource::{Resource, ResourceArgs};
use crate::cli::CliError;
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client::{AskError, Cluster, refused, retry, text};

#[derive(Debug, Args)]
pub struct Describe {
    #[command(flatten)]
    resource: ResourceArgs,
    /// Show defaults, too, not only what was set.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    target: Target,
}

/// One config of a resource.
#[derive(Debug, Clone)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` for a password, and for a config that is not set at all.
    pub value: Option<String>,
    pub source: Source,
    pub is_read_only: bool,
    pub is_sensitive: bool,
}

/// Where a value comes from, Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Topic,
    DynamicBroker,
    DynamicDefaultBroker,
    StaticBroker,
    Default,
    DynamicBrokerLogger,
    ClientMetrics,
    Group,
    Unknown,
}

impl Source {
    fn from_code(code: i8) -> Source {
        match code {
            1 => Source::Topic,
            2 => Source::DynamicBroker,
            3 => Source::DynamicDefaultBroker,
            4 => Source::StaticBroker,
            5 => Source::Default,
            6 => Source::DynamicBrokerLogger,
            7 => Source::ClientMetrics,
            8 => Source::Group,
            _ => Source::Unknown,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Source::Topic => "topic",
            Source::DynamicBroker => "dynamic broker",
            Source::DynamicDefaultBroker => "dynamic default broker",
            Source::StaticBroker => "static broker",
            Source::Default => "default",
            Source::DynamicBrokerLogger => "broker logger",
            Source::ClientMetrics => "client metrics",
            Source::Group => "group",
            Source::Unknown => "unknown",
        }
    }
}

impl ConfigEntry {
    fn from_answer(config: DescribeConfigsResourceResult) -> ConfigEntry {
        ConfigEntry {
            name: config.name.to_string(),
            value: config.value.map(|value| value.to_string()),
            source: Source::from_code(config.config_source),
            is_read_only: config.read_only,
            is_sensitive: config.is_sensitive,
        }
    }

    /// Whether the resource itself sets it, rather than a default or the brokers.
    pub fn is_of_resource(&self) -> bool {
        matches!(self.source, Source::Topic | Source::Group | Source::DynamicBroker)
    }

    fn is_set(&self) -> bool {
        !matches!(self.source, Source::Default | Source::Unknown)
    }
}

impl Describe {
    pub fn run(self) -> Result<(), CliError> {
        let resource = self.resource.resource();
        let configs = self
            .target
            .run(async |cluster| Ok(describe_configs(&cluster, &resource).await?))?;
        let mut table = Table::new(["NAME", "VALUE", "SOURCE", "READ ONLY"]);
        for config in configs.iter().filter(|config| self.all || config.is_set()) {
            let value = match &config.value {
                Some(value) => json!(value),
                None if config.is_sensitive => json!("(hidden)"),
                None => json!(null),
            };
            table.row([
                json!(config.name),
                value,
                json!(config.source.name()),
                json!(config.is_read_only),
            ]);
        }
        let text = || match table.is_empty() {
            true => format!("{resource} has no configs but defaults (--all shows them)"),
            false => table.to_string(),
        };
        output::emit(self.target.json, || table.to_json(), text);
        Ok(())
    }
}

/// All configs of a resource, by name.
pub async fn describe_configs(cluster: &Cluster, resource: &Resource) -> Result<Vec<ConfigEntry>, AskError> {
    let asked = DescribeConfigsResource::default()
        .with_resource_type(resource.type_code())
        .with_resource_name(text(&resource.name()))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![asked]);
    let answer = retry(cluster.timeout(), async || match resource.broker() {
        Some(broker) => cluster.ask_broker(broker, &request).await,
        None => cluster.ask_any(&request).await,
    })
    .await?;
    let Some(result) = answer.results.into_iter().next() else {
        return Err(AskError::Incomplete {
            what: "DescribeConfigs",
            lacks: resource.to_string(),
        });
    };
    refused(
        resource.to_string(),
        result.error_code,
        result.error_message.as_ref(),
    )?;
    let mut configs: Vec<ConfigEntry> = result.configs.into_iter().map(ConfigEntry::from_answer).collect();
    configs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(configs)
}
