//! `ringlog topic describe`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::config::{Resource, describe_configs};
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client;

#[derive(Debug, Args)]
pub struct Describe {
    /// Topics to describe; all if none is given.
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// A topic and the configs it has of its own.
struct Described {
    topic: client::Topic,
    configs: Vec<(String, String)>,
}

impl Describe {
    pub fn run(self) -> Result<(), CliError> {
        let described = self.target.run(async |cluster| {
            let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
            let topics = cluster.topics((!names.is_empty()).then_some(&names[..])).await?;
            let mut described = Vec::new();
            for topic in topics {
                let configs = describe_configs(&cluster, &Resource::Topic(topic.name.clone())).await?;
                let configs = configs
                    .into_iter()
                    .filter(|config| config.is_of_resource())
                    .map(|config| (config.name, config.value.unwrap_or_default()))
                    .collect();
                described.push(Described { topic, configs });
            }
            Ok(described)
        })?;
        let json = || Value::Array(described.iter().map(Described::to_json).collect());
        let text = || {
            described
                .iter()
                .map(Described::to_text)
                .collect::<Vec<_>>()
                .join("\n\n")
        };
        output::emit(self.target.json, json, text);
        Ok(())
    }
}

impl Described {
    fn to_json(&self) -> Value {
        let configs = self
            .configs
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        json!({
            "topic": self.topic.name,
            "id": engine::log::partition_metadata::to_base64(self.topic.id),
            "internal": self.topic.is_internal,
            "configs": Value::Object(configs),
            "partitions": self.partitions().to_json(),
        })
    }

    fn to_text(&self) -> String {
        let mut text = format!(
            "topic {}  id {}  partitions {}",
            self.topic.name,
            engine::log::partition_metadata::to_base64(self.topic.id),
            self.topic.partitions.len()
        );
        for (name, value) in &self.configs {
            text.push_str(&format!("\n  {name}={value}"));
        }
        format!("{text}\n{}", self.partitions())
    }

    fn partitions(&self) -> Table {
        let mut table = Table::new(["PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "OFFLINE"]);
        for partition in &self.topic.partitions {
            table.row([
                json!(partition.index),
                if partition.leader < 0 {
                    json!("none")
                } else {
                    json!(partition.leader)
                },
                json!(partition.leader_epoch),
                json!(partition.replicas),
                json!(partition.isr),
                json!(partition.offline),
            ]);
        }
        table
    }
}
