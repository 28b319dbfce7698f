//! The command line: one file per command, parsed by clap.
//!
//! [`target`] and [`arguments`] are what commands share of their flags, [`output`] how they print.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod arguments;
mod bench;
mod cluster;
mod config;
mod consume;
mod error;
mod group;
mod log;
mod output;
mod produce;
mod reassign;
mod serve;
mod target;
mod topic;
mod watchdog;

pub use error::CliError;

/// A Kafka-wire-compatible event streaming broker, and its tools.
#[derive(Debug, Parser)]
#[command(name = "ringlog", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker.
    Serve(serve::Serve),
    Produce(produce::Produce),
    Consume(consume::Consume),
    Topic(topic::Topic),
    Config(config::Config),
    Group(group::Group),
    Cluster(cluster::Cluster),
    Reassign(reassign::Reassign),
    Log(log::Log),
    Bench(Box<bench::Bench>),
    #[command(hide = true)]
    Watchdog(watchdog::Watchdog),
}

/// Runs the command that the arguments name; a failure is one line on standard error and exit code 1.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(command) => command.run(),
        Command::Produce(command) => command.run(),
        Command::Consume(command) => command.run(),
        Command::Topic(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Group(command) => command.run(),
        Command::Cluster(command) => command.run(),
        Command::Reassign(command) => command.run(),
        Command::Log(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Watchdog(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringlog: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        // clap finds clashing flags and impossible defaults only when a command is used, unless asked.
        Cli::command().debug_assert();
    }
}
