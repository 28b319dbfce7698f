//! Why a command failed, in one line for a person.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Settings(#[from] control::config::SettingsError),
    #[error("{0}")]
    Start(#[from] control::config::StartError),
    #[error("{0}")]
    Serve(#[from] crate::serve::ServeError),
}
