//! A descriptor of a file, and beside it one of the same file that goes around the page cache.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::direct::DirectFile;
use crate::reread::FileId;

/// Shared by the clones of a file and the kernel's requests on it; closes with the last of them.
pub(crate) type OsFile = Arc<Opened>;

#[derive(Debug)]
pub(crate) struct Opened {
    file: std::fs::File,
    /// None inside: the file system refuses.
    around_cache: OnceLock<Option<DirectFile>>,
    truncations: AtomicU64,
}

impl Opened {
    pub(crate) fn new(file: std::fs::File) -> OsFile {
        Arc::new(Opened {
            file,
            around_cache: OnceLock::new(),
            truncations: AtomicU64::new(0),
        })
    }

    /// The same file for reading with O_DIRECT, opened when first asked for. None where that is not to be had.
    pub(crate) fn around_cache(&self) -> Option<DirectFile> {
        let opened = match self.around_cache.get() {
            Some(opened) => opened,
            None => match DirectFile::reopen(&self.file) {
                Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => {
                    return None; // this passes: the next one may ask again
                }
                result => self.around_cache.get_or_init(|| result.ok()),
            },
        };
        opened.clone().filter(DirectFile::is_direct)
    }

    /// Grows when bytes may have gone: what was read while it had another value may not be there any more.
    pub(crate) fn truncations(&self) -> u64 {
        self.truncations.load(Ordering::SeqCst)
    }

    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        // why twice: a read begun in between may see what was before
        self.truncations.fetch_add(1, Ordering::SeqCst);
        let result = self.file.set_len(len);
        self.truncations.fetch_add(1, Ordering::SeqCst);
        result
    }

    pub(crate) fn id(&self) -> io::Result<FileId> {
        let metadata = self.file.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
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
