//! `ringlog topic list`.

use clap::Args;
use serde_json::json;

use crate::cli::CliError;
use crate::cli::output::{self, Table};
use crate::cli::target::Target;

#[derive(Debug, Args)]
pub struct List {
    /// Show the cluster's own topics, too.
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    target: Target,
}

impl List {
    pub fn run(self) -> Result<(), CliError> {
        let topics = self.target.run(async |cluster| Ok(cluster.topics(None).await?))?;
        let mut table = Table::new(["TOPIC", "PARTITIONS", "REPLICAS", "ID"]);
        for topic in topics.iter().filter(|topic| self.internal || !topic.is_internal) {
            let replicas = topic
                .partitions
                .iter()
                .map(|partition| partition.replicas.len())
                .max();
            let id = engine::log::partition_metadata::to_base64(topic.id);
            table.row([
                json!(topic.name),
                json!(topic.partitions.len()),
                json!(replicas),
                json!(id),
            ]);
        }
        output::emit(self.target.json, || table.to_json(), || table.to_string());
        Ok(())
    }
}
