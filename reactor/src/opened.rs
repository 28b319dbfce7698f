//! A descriptor of a file, and beside it one of the same file that goes around the page cache.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, OnceLock};

use crate::sys;

/// Shared by the clones of a file and the kernel's requests on it; closes with the last of them.
pub(crate) type OsFile = Arc<Opened>;

#[derive(Debug)]
pub(crate) struct Opened {
    file: std::fs::File,
    /// None inside: the file system refuses.
    around_cache: OnceLock<Option<OsFile>>,
}

impl Opened {
    pub(crate) fn new(file: std::fs::File) -> OsFile {
        Arc::new(Opened {
            file,
            around_cache: OnceLock::new(),
        })
    }

    /// The same file for reading with O_DIRECT, opened when first asked for. None where that is not to be had.
    pub(crate) fn around_cache(&self) -> Option<&OsFile> {
        let open = || sys::file::reopen_direct(&self.file).ok().map(Opened::new);
        self.around_cache.get_or_init(open).as_ref()
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl Deref for Opened {
    type Target = std::fs::File;

    fn deref(&self) -> &std::fs::File {
        &self.file
    }
}

impl AsRawFd for Opened {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
