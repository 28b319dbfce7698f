//! `ringlog cluster info`.

use clap::Args;
use serde_json::json;

use crate::cli::target::Target;
use crate::cli::{CliError, output};

#[derive(Debug, Args)]
pub struct Info {
    #[command(flatten)]
    target: Target,
}

impl Info {
    pub fn run(self) -> Result<(), CliError> {
        let answer = self
            .target
            .run(async |cluster| Ok(cluster.metadata(None).await?))?;
        let cluster_id = answer.cluster_id.as_ref().map(|id| id.to_string());
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let total = partitions.clone().count();
        let leaderless = partitions
            .clone()
            .filter(|partition| partition.leader_id.0 < 0)
            .count();
        let under_replicated = partitions
            .filter(|partition| partition.isr_nodes.len() < partition.replica_nodes.len())
            .count();
        let (brokers, topics, controller) =
            (answer.brokers.len(), answer.topics.len(), answer.controller_id.0);
        output::emit(
            self.target.json,
            || {
                json!({
                    "cluster_id": cluster_id,
                    "controller": controller,
                    "brokers": brokers,
                    "topics": topics,
                    "partitions": total,
                    "leaderless_partitions": leaderless,
                    "under_replicated_partitions": under_replicated,
                })
            },
            || {
                format!(
                    "cluster id                   {}\n\
                     controller                   {controller}\n\
                     brokers                      {brokers}\n\
                     topics                       {topics}\n\
                     partitions                   {total}\n\
                     partitions without leader    {leaderless}\n\
                     under-replicated partitions  {under_replicated}",
                    cluster_id.as_deref().unwrap_or("-")
                )
            },
        );
        Ok(())
    }
}
