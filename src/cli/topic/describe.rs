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
    only: Only,
    #[command(flatten)]
    target: Target,
}

/// Partitions in trouble instead of topics; all if several kinds are asked for.
#[derive(Debug, Clone, Copy, Args)]
struct Only {
    /// Only partitions with replicas that are not in sync.
    #[arg(long)]
    under_replicated_partitions: bool,
    /// Only partitions that nobody leads, or whose leader cannot be reached.
    #[arg(long)]
    unavailable_partitions: bool,
    /// Only partitions with just as many replicas in sync as min.insync.replicas asks for.
    #[arg(long)]
    at_min_isr_partitions: bool,
    /// Only partitions with fewer replicas in sync than min.insync.replicas asks for.
    #[arg(long)]
    under_min_isr_partitions: bool,
}

impl Only {
    fn is_any(self) -> bool {
        self.under_replicated_partitions
            || self.unavailable_partitions
            || self.at_min_isr_partitions
            || self.under_min_isr_partitions
    }

    fn wants(self, partition: &client::Partition, min_insync_replicas: usize) -> bool {
        let in_sync = partition.isr.len();
        (self.under_replicated_partitions && in_sync < partition.replicas.len())
            || (self.unavailable_partitions && partition.leader < 0)
            || (self.at_min_isr_partitions && in_sync == min_insync_replicas)
            || (self.under_min_isr_partitions && in_sync < min_insync_replicas)
    }
}

/// A topic and the configs it has of its own.
struct Described {
    topic: client::Topic,
    configs: Vec<(String, String)>,
    min_insync_replicas: usize,
}

impl Describe {
    pub fn run(self) -> Result<(), CliError> {
        let described = self.target.run(async |cluster| {
            let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
            let topics = cluster.topics((!names.is_empty()).then_some(&names[..])).await?;
            let mut described = Vec::new();
            for topic in topics {
                let configs = describe_configs(&cluster, &Resource::Topic(topic.name.clone())).await?;
                let min_insync_replicas = configs
                    .iter()
                    .find(|config| config.name == "min.insync.replicas")
                    .and_then(|config| config.value.as_ref()?.parse().ok())
                    .unwrap_or(1);
                let configs = configs
                    .into_iter()
                    .filter(|config| config.is_of_resource())
                    .map(|config| (config.name, config.value.unwrap_or_default()))
                    .collect();
                described.push(Described {
                    topic,
                    configs,
                    min_insync_replicas,
                });
            }
            Ok(described)
        })?;
        if self.only.is_any() {
            let table = in_trouble(&described, self.only);
            let text = || match table.is_empty() {
                true => String::new(),
                false => table.to_string(),
            };
            output::emit(self.target.json, || table.to_json(), text);
            return Ok(());
        }
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
        let mut table = Table::new(COLUMNS);
        self.topic
            .partitions
            .iter()
            .for_each(|partition| table.row(cells(partition)));
        table
    }
}

const COLUMNS: [&str; 6] = ["PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "OFFLINE"];

fn cells(partition: &client::Partition) -> [Value; 6] {
    [
        json!(partition.index),
        match partition.leader {
            ..0 => json!("none"),
            leader => json!(leader),
        },
        json!(partition.leader_epoch),
        json!(partition.replicas),
        json!(partition.isr),
        json!(partition.offline),
    ]
}

/// The partitions of all topics that are meant.
fn in_trouble(described: &[Described], only: Only) -> Table {
    let mut columns = vec!["TOPIC"];
    columns.extend(COLUMNS);
    let mut table = Table::new(columns);
    for Described {
        topic,
        min_insync_replicas,
        ..
    } in described
    {
        let partitions = topic.partitions.iter();
        for partition in partitions.filter(|partition| only.wants(partition, *min_insync_replicas)) {
            let mut row = vec![json!(topic.name)];
            row.extend(cells(partition));
            table.row(row);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_in_trouble_are_told_by_kind() {
        // An operator looks for these after a failure; one that is missing is found by a user.
        let none = Only {
            under_replicated_partitions: false,
            unavailable_partitions: false,
            at_min_isr_partitions: false,
            under_min_isr_partitions: false,
        };
        let kinds = |leader, isr: &[i32]| {
            let partition = client::Partition {
                index: 0,
                leader,
                leader_epoch: 0,
                replicas: vec![1, 2, 3],
                isr: isr.to_vec(),
                offline: Vec::new(),
            };
            let only = [
                Only {
                    under_replicated_partitions: true,
                    ..none
                },
                Only {
                    unavailable_partitions: true,
                    ..none
                },
                Only {
                    at_min_isr_partitions: true,
                    ..none
                },
                Only {
                    under_min_isr_partitions: true,
                    ..none
                },
            ];
            only.map(|only| only.wants(&partition, 2))
        };
        assert_eq!(kinds(1, &[1, 2, 3]), [false, false, false, false]);
        assert_eq!(kinds(1, &[1, 2]), [true, false, true, false]);
        assert_eq!(kinds(1, &[1]), [true, false, false, true]);
        assert_eq!(kinds(-1, &[1]), [true, true, false, true]);
        assert!(!none.is_any());
    }
}
