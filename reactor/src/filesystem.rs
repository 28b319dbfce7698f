//! Everything on one file system, synced at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::sim::{self, SimDisk};
use crate::{background, sys};

/// A file system, found by one of its directories and held open. Clones share the descriptor.
///
/// why held: the kernel tells a write-back error only to descriptors that were open when it happened. One opened for
/// the sync would be told that all is well, and what the failed write-back lost would be taken for durable.
#[derive(Clone, Debug)]
pub struct FileSystem {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Os(Arc<fs::File>),
    Sim { disk: SimDisk, directory: PathBuf },
}

impl FileSystem {
    pub fn open(directory: &Path) -> io::Result<FileSystem> {
        let kind = match sim::current_disk() {
            Some(disk) => {
                disk.read_dir(directory)?;
                Kind::Sim {
                    disk,
                    directory: directory.to_owned(),
                }
            }
            None => Kind::Os(Arc::new(fs::File::open(directory)?)),
        };
        Ok(FileSystem { kind })
    }

    /// Waits until everything written to any of its files so far is on stable storage; blocks the thread.
    ///
    /// # Errors
    /// Also if a write-back failed since the open or the last call, for any file of it: what was lost is unknown.
    pub fn sync_all_blocking(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Os(directory) => sys::file::sync_file_system(directory),
            Kind::Sim { disk, directory } => disk.sync_all(directory),
        }
    }

    /// The same on a helper thread.
    pub async fn sync_all(&self) -> io::Result<()> {
        let held = self.clone();
        background(move || held.sync_all_blocking()).await
    }
}
