//! What a group has committed.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{GroupId, OffsetFetchRequest};

use crate::client::{AskError, Cluster, refused, retry, text};

/// The last version that names topics in its answer.
const VERSION_BY_NAME_MAX: i16 = 9;

/// All committed offsets of a group, by topic and partition.
pub async fn committed_offsets(
    cluster: &Cluster,
    group: &str,
) -> Result<BTreeMap<(String, i32), i64>, AskError> {
    retry(cluster.timeout(), async || committed_now(cluster, group).await).await
}

async fn committed_now(cluster: &Cluster, group: &str) -> Result<BTreeMap<(String, i32), i64>, AskError> {
    let coordinator = cluster.coordinator(group).await?;
    let version = cluster
        .broker(coordinator)
        .await?
        .version_of::<OffsetFetchRequest>()?
        .min(VERSION_BY_NAME_MAX);
    let what = || format!("group {group}");
    let mut committed = BTreeMap::new();
    let mut keep = |topic: &str, partition: i32, offset: i64| {
        // -1: asked for and never committed
        if offset >= 0 {
            committed.insert((topic.to_owned(), partition), offset);
        }
    };
    // one group up to v7, several from v8 on
    if version >= 8 {
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(group)))
            .with_member_epoch(-1)
            .with_topics(None);
        let request = OffsetFetchRequest::default().with_groups(vec![asked]);
        let answer = cluster.ask_broker_at(coordinator, version, &request).await?;
        for found in answer.groups {
            refused(what(), found.error_code, None)?;
            for topic in found.topics {
                for partition in topic.partitions {
                    refused(what(), partition.error_code, None)?;
                    keep(
                        &topic.name.0,
                        partition.partition_index,
                        partition.committed_offset,
                    );
                }
            }
        }
    } else {
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(None);
        let answer = cluster.ask_broker_at(coordinator, version, &request).await?;
        refused(what(), answer.error_code, None)?;
        for topic in answer.topics {
            for partition in topic.partitions {
                refused(what(), partition.error_code, None)?;
                keep(
                    &topic.name.0,
                    partition.partition_index,
                    partition.committed_offset,
                );
            }
        }
    }
    Ok(committed)
}
