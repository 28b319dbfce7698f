//! The command line: one file per command, parsed by clap.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod error;
mod serve;

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
}

/// Runs the command that the arguments name; a failure is one line on standard error and exit code 1.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringlog: {error}");
            ExitCode::FAILURE
        }
    }
}
