//! `ringlog cluster`: one file per action.

mod brokers;
mod elect_leaders;
mod features;
mod info;
mod log_dirs;
mod quorum;
mod unregister;

use clap::{Args, Subcommand};

use super::CliError;

/// Show and administer the cluster: brokers, leaders, disks, features.
#[derive(Debug, Args)]
pub struct Cluster {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Cluster id, controller, and how many brokers, topics and partitions there are.
    #[command(alias = "describe")]
    Info(info::Info),
    /// The brokers and what they lead.
    Brokers(brokers::Brokers),
    /// Log directories: their space and what the partitions take.
    LogDirs(log_dirs::LogDirs),
    /// Features and the API versions of a broker; raise and lower levels.
    Features(features::Features),
    /// Elect leaders: the first replicas, or, where none is in sync, any.
    ElectLeaders(elect_leaders::ElectLeaders),
    /// Forget a broker that will not come back.
    Unregister(unregister::Unregister),
    /// Voters and observers of the metadata log, where the brokers keep it themselves.
    Quorum(quorum::Quorum),
}

impl Cluster {
    pub fn run(self) -> Result<(), CliError> {
        match self.action {
            Action::Info(action) => action.run(),
            Action::Brokers(action) => action.run(),
            Action::LogDirs(action) => action.run(),
            Action::Features(action) => action.run(),
            Action::ElectLeaders(action) => action.run(),
            Action::Unregister(action) => action.run(),
            Action::Quorum(action) => action.run(),
        }
    }
}
