//! `ringlog config`: one file per action.

mod alter;
mod describe;
mod resource;

use clap::{Args, Subcommand};

use super::CliError;

pub use describe::describe_configs;
pub use resource::Resource;

/// Show and change the configs of topics, brokers and groups.
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show configs and where their values come from.
    Describe(describe::Describe),
    /// Set configs; others stay as they are.
    Set(alter::Set),
    /// Return configs to their defaults.
    Unset(alter::Unset),
}

impl Config {
    pub fn run(self) -> Result<(), CliError> {
        match self.action {
            Action::Describe(action) => action.run(),
            Action::Set(action) => action.run(),
            Action::Unset(action) => action.run(),
        }
    }
}
