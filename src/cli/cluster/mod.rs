//! `ringlog cluster`: one file per action.

mod brokers;
mod features;
mod info;
mod log_dirs;

use clap::{Args, Subcommand};

use super::CliError;

/// Show the cluster: brokers, disks, features.
#[derive(Debug, Args)]
pub struct Cluster {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Cluster id, controller, and how many brokers, topics and partitions there are.
    Info(info::Info),
    /// The brokers and what they lead.
    Brokers(brokers::Brokers),
    /// Log directories: their space and what the partitions take.
    LogDirs(log_dirs::LogDirs),
    /// Features and the API versions of a broker.
    Features(features::Features),
}

impl Cluster {
    pub fn run(self) -> Result<(), CliError> {
        match self.action {
            Action::Info(action) => action.run(),
            Action::Brokers(action) => action.run(),
            Action::LogDirs(action) => action.run(),
            Action::Features(action) => action.run(),
        }
    }
}
