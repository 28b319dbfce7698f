//! `ringlog watchdog`: the process that a broker of a cluster starts beside itself.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::CliError;

/// Closes the connections of the starting process's clients while that does not run. Started by `serve`, not by people.
#[derive(Debug, Args)]
pub struct Watchdog {
    /// How long it may say nothing, in milliseconds.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    patience_ms: u64,
    /// An address where its clients connect; may be given many times.
    #[arg(long = "listener", value_name = "IP:PORT")]
    listeners: Vec<SocketAddr>,
}

impl Watchdog {
    pub fn run(self) -> Result<(), CliError> {
        super::serve::start_log();
        Ok(crate::watchdog::run(
            Duration::from_millis(self.patience_ms),
            self.listeners,
        )?)
    }
}
