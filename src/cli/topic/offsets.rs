//! `ringlog topic offsets`.

use clap::Args;
use serde_json::json;

use crate::cli::CliError;
use crate::cli::arguments::{TopicPartitions, parse_topic_partitions};
use crate::cli::output::{self, Table, time};
use crate::cli::target::Target;
use crate::client::{OffsetSpec, list_offsets};

#[derive(Debug, Args)]
pub struct Offsets {
    /// All partitions of a topic, or some of them.
    #[arg(value_name = "TOPIC[:PARTITION,..]", value_parser = parse_topic_partitions)]
    topic: TopicPartitions,
    /// The first offset at or after a time instead: ISO 8601, or ms since the epoch.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<i64>,
    #[command(flatten)]
    target: Target,
}

pub fn parse_time(text: &str) -> Result<i64, String> {
    text.parse::<i64>()
        .ok()
        .filter(|ms| *ms >= 0)
        .or_else(|| time::parse(text))
        .ok_or_else(|| "expected a time as 2026-01-31T12:00:00Z, or ms since the epoch".to_owned())
}

impl Offsets {
    pub fn run(self) -> Result<(), CliError> {
        let table = self.target.run(async |cluster| {
            let topic = cluster.led_topic(&self.topic.topic).await?;
            let all = || topic.partitions.iter().map(|partition| partition.index).collect();
            let partitions: Vec<i32> = self.topic.partitions.clone().unwrap_or_else(all);
            let asked = async |spec| list_offsets(&cluster, &topic.name, &partitions, spec).await;
            if let Some(time) = self.at {
                let found = asked(OffsetSpec::AtTimestamp(time)).await?;
                let mut table = Table::new(["PARTITION", "OFFSET"]);
                for (partition, offset) in found {
                    table.row([
                        json!(partition),
                        if offset < 0 { json!("none") } else { json!(offset) },
                    ]);
                }
                return Ok(table);
            }
            let first = asked(OffsetSpec::Earliest).await?;
            let end = asked(OffsetSpec::Latest).await?;
            let mut table = Table::new(["PARTITION", "FIRST", "END", "RECORDS"]);
            for (partition, end) in end {
                let first = first.get(&partition).copied().unwrap_or(0);
                table.row([json!(partition), json!(first), json!(end), json!(end - first)]);
            }
            Ok(table)
        })?;
        output::emit(self.target.json, || table.to_json(), || table.to_string());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_ms_or_iso() {
        assert_eq!(parse_time("1700000000000"), Ok(1_700_000_000_000));
        assert_eq!(parse_time("2023-11-14T22:13:20Z"), Ok(1_700_000_000_000));
        assert!(parse_time("-5").is_err() && parse_time("yesterday").is_err());
    }
}
