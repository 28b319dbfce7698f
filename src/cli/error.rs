//! Why a command failed, in one line for a person.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Settings(#[from] control::config::SettingsError),
    #[error("{0}")]
    Start(#[from] control::config::StartError),
    #[error("{0}")]
    Serve(#[from] crate::serve::ServeError),
    #[error("{0}")]
    Watchdog(#[from] crate::watchdog::WatchdogError),
    #[error("no reactor: {0}")]
    Reactor(std::io::Error),
    #[error("cannot connect: {0}")]
    Connection(std::io::Error),
    #[error("{0}")]
    Ask(#[from] crate::client::AskError),
    #[error("cannot build a batch: {0}")]
    Build(#[from] engine::batch::BuildError),
    #[error("cannot build a batch: {0}")]
    Stamp(#[from] super::bench::StampError),
    #[error("cannot read standard input: {0}")]
    Input(std::io::Error),
    #[error("{0}")]
    Usage(String),
    /// Details were printed where they were found.
    #[error("{failed} of {total} {what} failed")]
    Some {
        failed: usize,
        total: usize,
        what: &'static str,
    },
    #[error("{findings} findings in {files} files")]
    Damaged { findings: usize, files: usize },
}
