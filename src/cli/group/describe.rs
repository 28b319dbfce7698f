//! `ringlog group describe`.

use std::collections::BTreeMap;

use clap::Args;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{DescribeGroupsRequest, GroupId};
use serde_json::{Value, json};

use super::committed_offsets;
use crate::cli::CliError;
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client::{AskError, Cluster, OffsetSpec, decode_assignment, list_offsets, refused, retry, text};

#[derive(Debug, Args)]
pub struct Describe {
    #[arg(value_name = "GROUP")]
    group: String,
    #[command(flatten)]
    target: Target,
}

/// A group as its coordinator and the partitions' leaders tell of it.
struct Described {
    group: DescribedGroup,
    coordinator: i32,
    offsets: BTreeMap<(String, i32), i64>,
    /// Of partitions that still exist.
    ends: BTreeMap<(String, i32), i64>,
}

impl Describe {
    pub fn run(self) -> Result<(), CliError> {
        let described = self
            .target
            .run(async |cluster| Ok(describe(&cluster, &self.group).await?))?;
        output::emit(self.target.json, || described.to_json(), || described.to_text());
        Ok(())
    }
}

async fn describe(cluster: &Cluster, group: &str) -> Result<Described, AskError> {
    let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
    let (coordinator, found) = retry(cluster.timeout(), async || {
        let coordinator = cluster.coordinator(group).await?;
        let answer = cluster.ask_broker(coordinator, &request).await?;
        let found = answer.groups.into_iter().next();
        let found = found.ok_or_else(|| AskError::Incomplete {
            what: "DescribeGroups",
            lacks: group.to_owned(),
        })?;
        refused(
            format!("group {group}"),
            found.error_code,
            found.error_message.as_ref(),
        )?;
        Ok((coordinator, found))
    })
    .await?;
    let offsets = committed_offsets(cluster, group).await?;
    // older brokers answer "Dead" where newer ones say that there is no such group
    if &*found.group_state == "Dead" && offsets.is_empty() {
        refused(
            format!("group {group}"),
            net::ErrorCode::GroupIdNotFound.code(),
            None,
        )?;
    }
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in offsets.keys() {
        by_topic.entry(topic).or_default().push(*partition);
    }
    let mut ends = BTreeMap::new();
    for (topic, partitions) in by_topic {
        match list_offsets(cluster, topic, &partitions, OffsetSpec::Latest).await {
            Ok(found) => ends.extend(
                found
                    .into_iter()
                    .map(|(partition, end)| ((topic.to_owned(), partition), end)),
            ),
            // offsets outlive their topic for a while
            Err(error) if error.code() == Some(net::ErrorCode::UnknownTopicOrPartition) => {}
            Err(AskError::UnknownPartition { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Described {
        group: found,
        coordinator,
        offsets,
        ends,
    })
}

impl Described {
    /// Which member has which partition.
    fn owners(&self) -> BTreeMap<(String, i32), String> {
        let mut owners = BTreeMap::new();
        for member in &self.group.members {
            for (topic, partitions) in decode_assignment(&member.member_assignment).unwrap_or_default() {
                for partition in partitions {
                    owners.insert((topic.clone(), partition), member.member_id.to_string());
                }
            }
        }
        owners
    }

    fn offsets(&self) -> Table {
        let owners = self.owners();
        let mut keys: Vec<_> = self.offsets.keys().chain(owners.keys()).collect();
        keys.sort();
        keys.dedup();
        let mut table = Table::new(["TOPIC", "PARTITION", "OFFSET", "END", "LAG", "MEMBER"]);
        for key in keys {
            let offset = self.offsets.get(key);
            let end = self.ends.get(key);
            let lag = offset.zip(end).map(|(offset, end)| end - offset);
            table.row([
                json!(key.0),
                json!(key.1),
                json!(offset),
                json!(end),
                json!(lag),
                json!(owners.get(key)),
            ]);
        }
        table
    }

    fn members(&self) -> Table {
        let mut table = Table::new(["MEMBER", "INSTANCE", "CLIENT", "HOST", "ASSIGNED"]);
        for member in &self.group.members {
            let assigned: Vec<String> = decode_assignment(&member.member_assignment)
                .unwrap_or_default()
                .into_iter()
                .flat_map(|(topic, partitions)| {
                    partitions
                        .into_iter()
                        .map(move |partition| format!("{topic}-{partition}"))
                })
                .collect();
            table.row([
                json!(&*member.member_id),
                json!(member.group_instance_id.as_ref().map(|id| id.to_string())),
                json!(&*member.client_id),
                json!(&*member.client_host),
                json!(assigned),
            ]);
        }
        table
    }

    fn to_json(&self) -> Value {
        json!({
            "group": &*self.group.group_id.0,
            "state": &*self.group.group_state,
            "protocol_type": &*self.group.protocol_type,
            "protocol": &*self.group.protocol_data,
            "coordinator": self.coordinator,
            "offsets": self.offsets().to_json(),
            "members": self.members().to_json(),
        })
    }

    fn to_text(&self) -> String {
        let mut text = format!(
            "group {}  state {}",
            &*self.group.group_id.0, &*self.group.group_state
        );
        if !self.group.protocol_data.is_empty() {
            text.push_str(&format!("  assignor {}", &*self.group.protocol_data));
        }
        text.push_str(&format!("  coordinator {}", self.coordinator));
        for table in [self.offsets(), self.members()] {
            if !table.is_empty() {
                text.push_str(&format!("\n\n{table}"));
            }
        }
        text
    }
}
