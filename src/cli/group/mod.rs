//! `ringlog group`: one file per action.

mod committed;
mod delete;
mod delete_offsets;
mod describe;
mod list;
mod reset_offsets;

use clap::{Args, Subcommand};

use super::CliError;

pub use committed::committed_offsets;

/// List, describe and change consumer groups.
#[derive(Debug, Args)]
pub struct Group {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All groups.
    List(list::List),
    /// A group's committed offsets, lag and members.
    Describe(describe::Describe),
    /// Delete groups without members.
    Delete(delete::Delete),
    /// Move the committed offsets of a group without members.
    ResetOffsets(reset_offsets::ResetOffsets),
    /// Forget the committed offsets of topics.
    DeleteOffsets(delete_offsets::DeleteOffsets),
}

impl Group {
    pub fn run(self) -> Result<(), CliError> {
        match self.action {
            Action::List(action) => action.run(),
            Action::Describe(action) => action.run(),
            Action::Delete(action) => action.run(),
            Action::ResetOffsets(action) => action.run(),
            Action::DeleteOffsets(action) => action.run(),
        }
    }
}
