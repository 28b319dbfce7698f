//! `ringlog cluster log-dirs`.

use clap::Args;
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::output::{self, Table, number};
use crate::cli::target::Target;
use crate::client::refused;

#[derive(Debug, Args)]
pub struct LogDirs {
    /// Only this broker.
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
    /// List each partition.
    #[arg(long)]
    partitions: bool,
    #[command(flatten)]
    target: Target,
}

impl LogDirs {
    pub fn run(self) -> Result<(), CliError> {
        let answers = self.target.run(async |cluster| {
            let brokers = match self.broker {
                Some(broker) => vec![broker],
                None => cluster.brokers().into_keys().collect(),
            };
            let mut answers = Vec::new();
            for broker in brokers {
                let request = DescribeLogDirsRequest::default().with_topics(None);
                let answer = cluster.ask_broker(broker, &request).await?;
                refused(format!("broker {broker}"), answer.error_code, None)?;
                answers.push((broker, answer));
            }
            Ok(answers)
        })?;
        let table = if self.partitions {
            partitions(&answers, self.target.json)
        } else {
            dirs(&answers, self.target.json)
        };
        output::emit(self.target.json, || table.to_json(), || table.to_string());
        Ok(())
    }
}

/// A number for programs, a size for people; -1 is "not told".
fn size(bytes: i64, json: bool) -> Value {
    match u64::try_from(bytes) {
        Ok(bytes) if json => json!(bytes),
        Ok(bytes) => json!(number::bytes(bytes)),
        Err(_) => Value::Null,
    }
}

fn dirs(answers: &[(i32, DescribeLogDirsResponse)], json: bool) -> Table {
    let mut table = Table::new([
        "BROKER",
        "DIRECTORY",
        "PARTITIONS",
        "LOGS",
        "USABLE",
        "TOTAL",
        "ERROR",
    ]);
    for (broker, answer) in answers {
        for dir in &answer.results {
            let partitions = || dir.topics.iter().flat_map(|topic| &topic.partitions);
            let logs = partitions().map(|partition| partition.partition_size).sum();
            table.row([
                json!(broker),
                json!(&*dir.log_dir),
                json!(partitions().count()),
                size(logs, json),
                size(dir.usable_bytes, json),
                size(dir.total_bytes, json),
                match net::ErrorCode::from_code(dir.error_code) {
                    net::ErrorCode::None => Value::Null,
                    error => json!(error.name()),
                },
            ]);
        }
    }
    table
}

fn partitions(answers: &[(i32, DescribeLogDirsResponse)], json: bool) -> Table {
    let mut table = Table::new([
        "BROKER",
        "DIRECTORY",
        "TOPIC",
        "PARTITION",
        "SIZE",
        "OFFSET LAG",
        "FUTURE",
    ]);
    for (broker, answer) in answers {
        for dir in &answer.results {
            for topic in &dir.topics {
                for partition in &topic.partitions {
                    table.row([
                        json!(broker),
                        json!(&*dir.log_dir),
                        json!(&*topic.name.0),
                        json!(partition.partition_index),
                        size(partition.partition_size, json),
                        json!(partition.offset_lag),
                        json!(partition.is_future_key),
                    ]);
                }
            }
        }
    }
    table
}
