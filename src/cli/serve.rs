//! `ringlog serve`: the broker.

use std::path::PathBuf;

use clap::Args;
use control::config::{BrokerConfig, Settings};
use tracing_subscriber::EnvFilter;

use super::CliError;

/// Where each flag leads: they are shorthands for properties, and win over `--config`; `--set` wins over them.
#[derive(Debug, Args)]
pub struct Serve {
    /// A Kafka `server.properties` file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One property, by Kafka's name; may be given many times. See docs/CONFIG.md.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where the data lives (log.dirs) [default: ./data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The address for clients (listeners) [default: 127.0.0.1:9092].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// This broker's id (node.id) [default: 1].
    #[arg(long, value_name = "N")]
    node_id: Option<i32>,
    /// The cores to run on, e.g. 0-3,6 (ringlog.cores) [default: all].
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    /// The consensus store (ringlog.store) [default: embedded].
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// The address for /metrics, /health and /ready (ringlog.admin.listener) [default: 127.0.0.1:9644].
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
}

impl Serve {
    pub fn run(self) -> Result<(), CliError> {
        let mut settings = Settings::default();
        if let Some(path) = &self.config {
            let content = std::fs::read(path).map_err(|source| CliError::File {
                path: path.clone(),
                source,
            })?;
            settings.add_file(&content)?;
        }
        let data_dir = self.data_dir.map(|path| path.display().to_string());
        let node_id = self.node_id.map(|id| id.to_string());
        let flags = [
            ("--data-dir", data_dir),
            ("--listen", self.listen),
            ("--node-id", node_id),
            ("--cores", self.cores),
            ("--store", self.store),
            ("--admin", self.admin),
        ];
        for (flag, value) in flags {
            if let Some(value) = value {
                settings.add_flag(flag, &value)?;
            }
        }
        for pair in &self.set {
            settings.add_pair(pair)?;
        }
        let (config, warnings) = BrokerConfig::from_settings(settings)?;
        start_log();
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        crate::serve::serve(config)?;
        Ok(())
    }
}

/// Structured logs on standard error: `RUST_LOG` chooses what, `RINGLOG_LOG=json` how.
pub(super) fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::env::var_os("RINGLOG_LOG").is_some_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder.with_ansi(false).init();
    }
}
