//! Which cluster a command talks to, and how it prints: the flags all of them share.

use std::time::Duration;

use clap::Args;
use reactor::BackendChoice;

use super::CliError;
use crate::client::{ClientConfig, Cluster};

#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Broker to begin with; several separated by commas.
    #[arg(long, short = 'b', value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub bootstrap: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// How long to wait for an answer, and to try again what may succeed later.
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub timeout_ms: u64,
}

impl Target {
    /// Runs a command's conversation with the cluster.
    pub fn run<T>(&self, talk: impl AsyncFnOnce(Cluster) -> Result<T, CliError>) -> Result<T, CliError> {
        let config = ClientConfig {
            bootstrap: self.bootstrap.clone(),
            timeout: Duration::from_millis(self.timeout_ms),
        };
        on_reactor(async { talk(Cluster::connect(config).await?).await })?
    }
}

/// Runs a command on a reactor of its own.
pub fn on_reactor<F: Future>(main: F) -> Result<F::Output, CliError> {
    let config = reactor::Config {
        backend: BackendChoice::Auto,
        name: "ringlog-cli".to_owned(),
        ..reactor::Config::default()
    };
    reactor::run(config, main).map_err(CliError::Reactor)
}
