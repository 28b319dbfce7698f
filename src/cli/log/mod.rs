//! `ringlog log`: what lies on a broker's disk, shown and checked, without a broker.
//!
//! [`files`] finds and names files, [`walk`] goes through the batches of a segment, [`content`] knows what the records
//! of Kafka's own topics mean; [`dump`] and [`verify`] are the two commands.

mod content;
mod derived;
mod dump;
mod dump_journal;
mod dump_segment;
mod files;
mod finding;
mod verify;
mod verify_directory;
mod verify_journal;
mod verify_quarantine;
mod verify_segment;
mod walk;

use clap::{Args, Subcommand};

use super::CliError;

/// Show and check segments, indexes, journals, snapshots and checkpoints on disk. Reads only.
#[derive(Debug, Args)]
pub struct Log {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what files say.
    Dump(dump::Dump),
    /// Check files against themselves and each other; exit code 1 if something is wrong.
    Verify(verify::Verify),
}

impl Log {
    pub fn run(self) -> Result<(), CliError> {
        match self.action {
            Action::Dump(action) => action.run(),
            Action::Verify(action) => action.run(),
        }
    }
}
