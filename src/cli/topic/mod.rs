//! `ringlog topic`: one file per action.

mod add_partitions;
mod create;
mod delete;
mod delete_records;
mod describe;
mod list;
mod offsets;

use clap::{Args, Subcommand};

use super::CliError;

pub use create::create_topic;
pub use offsets::parse_time;

/// List, create, describe and change topics.
#[derive(Debug, Args)]
pub struct Topic {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All topics.
    List(list::List),
    /// Create a topic.
    Create(create::Create),
    /// Partitions, leaders, replicas and changed configs of topics.
    Describe(describe::Describe),
    /// Delete topics and their records.
    Delete(delete::Delete),
    /// Raise the number of partitions of a topic.
    AddPartitions(add_partitions::AddPartitions),
    /// Delete the records before an offset.
    DeleteRecords(delete_records::DeleteRecords),
    /// First and last offsets, or those at a time.
    Offsets(offsets::Offsets),
}

impl Topic {
    pub fn run(self) -> Result<(), CliError> {
        match self.action {
            Action::List(action) => action.run(),
            Action::Create(action) => action.run(),
            Action::Describe(action) => action.run(),
            Action::Delete(action) => action.run(),
            Action::AddPartitions(action) => action.run(),
            Action::DeleteRecords(action) => action.run(),
            Action::Offsets(action) => action.run(),
        }
    }
}
