//! `ringlog group reset-offsets`.

use std::collections::BTreeMap;

use clap::Args;
use kafka_protocol::messages::{GroupId, OffsetCommitRequest};
use net::ErrorCode;
use serde_json::json;

use super::committed_offsets;
use crate::cli::CliError;
use crate::cli::arguments::{TopicPartitions, parse_topic_partitions};
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::cli::topic::parse_time;
use crate::client::{AskError, Cluster, OffsetSpec, commit_topics, list_offsets, refused, retry, text};

#[derive(Debug, Args)]
pub struct ResetOffsets {
    #[arg(value_name = "GROUP")]
    group: String,
    /// Topics, or some of their partitions; all topics with committed offsets if none is given.
    #[arg(long = "topic", value_name = "TOPIC[:PARTITION,..]", value_parser = parse_topic_partitions)]
    topics: Vec<TopicPartitions>,
    #[command(flatten)]
    to: ToArgs,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

/// Exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ToArgs {
    /// To the first record there is.
    #[arg(long)]
    to_earliest: bool,
    /// To the end: only records to come.
    #[arg(long)]
    to_latest: bool,
    /// To this offset.
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// To the first record at or after a time: ISO 8601, or ms since the epoch.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to_datetime: Option<i64>,
    /// By so many records on, or back if negative.
    #[arg(long, value_name = "RECORDS", allow_hyphen_values = true)]
    shift_by: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Earliest,
    Latest,
    Offset(i64),
    Time(i64),
    Shift(i64),
}

impl ToArgs {
    fn to(&self) -> To {
        match (self.to_offset, self.to_datetime, self.shift_by) {
            (Some(offset), _, _) => To::Offset(offset),
            (_, Some(time), _) => To::Time(time),
            (_, _, Some(records)) => To::Shift(records),
            // clap sees to it that one is given
            _ if self.to_earliest => To::Earliest,
            _ => To::Latest,
        }
    }
}

/// The bounds of a partition and where its group is and shall be.
#[derive(Debug, Clone, Copy)]
struct Move {
    first: i64,
    end: i64,
    before: Option<i64>,
    at_time: Option<i64>,
}

impl Move {
    /// Never outside of what the partition has. A shift needs a committed offset to start from.
    fn target(self, to: To) -> Option<i64> {
        let wanted = match to {
            To::Earliest => self.first,
            To::Latest => self.end,
            To::Offset(offset) => offset,
            // no record that late: the end
            To::Time(_) => self.at_time.filter(|offset| *offset >= 0).unwrap_or(self.end),
            To::Shift(records) => self.before?.saturating_add(records),
        };
        Some(wanted.min(self.end).max(self.first))
    }
}

impl ResetOffsets {
    pub fn run(self) -> Result<(), CliError> {
        let table = self.target.run(async |cluster| {
            let (table, offsets) = self.plan(&cluster).await?;
            if !self.dry_run {
                commit(&cluster, &self.group, &offsets).await?;
            }
            Ok(table)
        })?;
        output::emit(self.target.json, || table.to_json(), || table.to_string());
        Ok(())
    }

    async fn plan(&self, cluster: &Cluster) -> Result<(Table, BTreeMap<(String, i32), i64>), CliError> {
        let committed = committed_offsets(cluster, &self.group).await?;
        let to = self.to.to();
        let mut table = Table::new(["TOPIC", "PARTITION", "BEFORE", "AFTER"]);
        let mut offsets = BTreeMap::new();
        for (topic, partitions) in self.partitions(cluster, &committed).await? {
            let first = list_offsets(cluster, &topic, &partitions, OffsetSpec::Earliest).await?;
            let end = list_offsets(cluster, &topic, &partitions, OffsetSpec::Latest).await?;
            let at_time = match to {
                To::Time(time) => {
                    list_offsets(cluster, &topic, &partitions, OffsetSpec::AtTimestamp(time)).await?
                }
                _ => BTreeMap::new(),
            };
            for (partition, end) in end {
                let key = (topic.clone(), partition);
                let before = committed.get(&key).copied();
                let first = first.get(&partition).copied().unwrap_or(0);
                let at_time = at_time.get(&partition).copied();
                let Some(after) = (Move {
                    first,
                    end,
                    before,
                    at_time,
                })
                .target(to) else {
                    let text = format!("{topic}-{partition} has no committed offset to shift");
                    return Err(CliError::Usage(text));
                };
                table.row([json!(topic), json!(partition), json!(before), json!(after)]);
                offsets.insert(key, after);
            }
        }
        if offsets.is_empty() {
            let text = format!(
                "group {} has no committed offsets; name topics with --topic",
                self.group
            );
            return Err(CliError::Usage(text));
        }
        Ok((table, offsets))
    }

    async fn partitions(
        &self,
        cluster: &Cluster,
        committed: &BTreeMap<(String, i32), i64>,
    ) -> Result<BTreeMap<String, Vec<i32>>, AskError> {
        let mut partitions: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        if self.topics.is_empty() {
            for (topic, partition) in committed.keys() {
                partitions.entry(topic.clone()).or_default().push(*partition);
            }
        }
        for asked in &self.topics {
            let topic = cluster.topic(&asked.topic).await?;
            let all = || topic.partitions.iter().map(|partition| partition.index).collect();
            let chosen: Vec<i32> = asked.partitions.clone().unwrap_or_else(all);
            partitions.entry(asked.topic.clone()).or_default().extend(chosen);
        }
        Ok(partitions)
    }
}

/// Commits for a group without members, as nobody's member.
async fn commit(
    cluster: &Cluster,
    group: &str,
    offsets: &BTreeMap<(String, i32), i64>,
) -> Result<(), AskError> {
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_retention_time_ms(-1)
        .with_topics(commit_topics(offsets));
    retry(cluster.timeout(), async || {
        let coordinator = cluster.coordinator(group).await?;
        let answer = cluster.ask_broker(coordinator, &request).await?;
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let index = partition.partition_index;
                if ErrorCode::from_code(partition.error_code) == ErrorCode::UnknownMemberId {
                    // brokers ask a group with members for the member who commits
                    refused(format!("group {group}"), ErrorCode::NonEmptyGroup.code(), None)?;
                }
                let what = format!("group {group}, {}-{index}", &*topic.name.0);
                refused(what, partition.error_code, None)?;
            }
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_within_the_partition() {
        // A committed offset outside of the log makes every consumer of the group start over by its own policy.
        let partition = Move {
            first: 10,
            end: 100,
            before: Some(50),
            at_time: Some(60),
        };
        let targets = [
            To::Earliest,
            To::Latest,
            To::Offset(70),
            To::Offset(5),
            To::Offset(500),
            To::Time(1),
        ];
        assert_eq!(
            targets.map(|to| partition.target(to).unwrap()),
            [10, 100, 70, 10, 100, 60]
        );
        let shifts = [To::Shift(7), To::Shift(-7), To::Shift(-1000), To::Shift(i64::MAX)];
        assert_eq!(shifts.map(|to| partition.target(to).unwrap()), [57, 43, 10, 100]);
        let late = Move {
            at_time: Some(-1),
            ..partition
        };
        assert_eq!(late.target(To::Time(1)), Some(100));
        let uncommitted = Move {
            before: None,
            ..partition
        };
        assert_eq!(uncommitted.target(To::Shift(1)), None);
    }
}
