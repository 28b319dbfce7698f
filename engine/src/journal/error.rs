//! What can be wrong with a journal.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::format::FormatError;
use crate::log::OpenError;
use crate::log::fault::copy_of;

/// Why a journal is not opened, or not replayed.
#[derive(Clone, Debug, Error)]
pub enum JournalError {
    #[error("{}: {operation}: {source}", path.display())]
    Io {
        path: PathBuf,
        operation: &'static str,
        source: Arc<io::Error>,
    },
    /// Not a file this version can read: refused rather than overwritten.
    #[error("{} at {position}: {source}", path.display())]
    Format {
        path: PathBuf,
        position: u64,
        source: FormatError,
    },
    #[error("{}: a journal with entries that were not replayed", path.display())]
    NotReplayed { path: PathBuf },
    #[error(transparent)]
    Partition(#[from] OpenError),
}

impl JournalError {
    pub(super) fn io(path: &std::path::Path, operation: &'static str, source: io::Error) -> JournalError {
        JournalError::Io {
            path: path.to_owned(),
            operation,
            source: Arc::new(source),
        }
    }
}

/// Why a journal that was in use takes no more: every log of its directory and shard is offline with it.
#[derive(Clone, Debug)]
pub(crate) struct JournalFault {
    pub(crate) operation: &'static str,
    pub(crate) source: Arc<io::Error>,
}

impl JournalFault {
    pub(crate) fn to_io(&self) -> io::Error {
        copy_of(&self.source)
    }
}
