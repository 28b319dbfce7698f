//! Directories and whole files. All of it blocks the thread: for start, roll and delete, never per request; what may
//! take long (big trees, many files) goes through [`crate::background`].

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::file::{File, OpenMode};
pub use crate::filesystem::FileSystem;
use crate::sim::{SimLock, current_disk};
use crate::sys;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
}

/// Of the file system a path is on, in bytes. `free` is what an ordinary user may still fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total: u64,
    pub free: u64,
}

pub fn create_dir_all(path: &Path) -> io::Result<()> {
    if let Some(disk) = current_disk() {
        return disk.create_dir_all(path);
    }
    fs::create_dir_all(path)
}

/// Sorted by name. Entries whose name is not UTF-8 are none of ours and left out.
pub fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    if let Some(disk) = current_disk() {
        return disk.read_dir(path);
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let is_dir = match entry.path().metadata() {
            Ok(metadata) => metadata.is_dir(), // follows a link: a partition may be linked to another disk
            Err(e) if e.kind() == io::ErrorKind::NotFound => entry.file_type()?.is_dir(),
            Err(e) => return Err(e),
        };
        entries.push(DirEntry { name, is_dir });
    }
    entries.sort();
    Ok(entries)
}

pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if current_disk().is_some() {
        let file = File::open(path, OpenMode::Read)?;
        let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        return Ok(bytes);
    }
    fs::read(path)
}

/// Replaces a file as a whole: after a crash it has either its old content or the new one. Writes `<path>.tmp`
/// beside it, syncs, renames, syncs the directory.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = staged(path);
    write_synced(&staged, bytes)?;
    rename(&staged, path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// The first half of [`write_atomic`] for who replaces many files and syncs them all together: writes `<path>.tmp`, unsynced.
pub fn stage(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = File::open(&staged(path), OpenMode::Create)?;
    file.set_len(0)?;
    file.write_all_at(bytes, 0)
}

/// The second half, once what was staged is on stable storage: renames. The directory is not synced.
pub fn publish_staged(path: &Path) -> io::Result<()> {
    rename(&staged(path), path)
}

fn staged(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if current_disk().is_some() {
        let file = File::open(path, OpenMode::Create)?;
        file.set_len(0)?;
        file.write_all_at(bytes, 0)?;
        return file.sync_data_blocking();
    }
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(disk) = current_disk() {
        return disk.rename(from, to);
    }
    fs::rename(from, to)
}

pub fn remove_file(path: &Path) -> io::Result<()> {
    if let Some(disk) = current_disk() {
        return disk.remove_file(path);
    }
    fs::remove_file(path)
}

pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    if let Some(disk) = current_disk() {
        return disk.remove_dir_all(path);
    }
    fs::remove_dir_all(path)
}

/// Of a file: enough to see whether it is the same as before. (The simulated disk tells lengths only.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub len: u64,
    pub inode: u64,
    pub modified_ns: i128,
}

pub fn stat(path: &Path) -> io::Result<Stat> {
    use std::os::unix::fs::MetadataExt;
    if current_disk().is_some() {
        let len = File::open(path, OpenMode::Read)?.len()?;
        return Ok(Stat {
            len,
            inode: 0,
            modified_ns: 0,
        });
    }
    let metadata = fs::metadata(path)?;
    Ok(Stat {
        len: metadata.len(),
        inode: metadata.ino(),
        modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
    })
}

/// Copies a file and syncs the copy.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if current_disk().is_some() {
        return write_atomic(to, &read(from)?);
    }
    fs::copy(from, to)?;
    fs::File::open(to)?.sync_all()
}

/// False also when it cannot be told.
pub fn exists(path: &Path) -> bool {
    if let Some(disk) = current_disk() {
        return disk.exists(path);
    }
    path.exists()
}

/// Makes creations, renames and removals in a directory durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    if let Some(disk) = current_disk() {
        return disk.sync_dir(path);
    }
    fs::File::open(path)?.sync_all()
}

pub fn space(path: &Path) -> io::Result<Space> {
    let (total, free) = match current_disk() {
        Some(disk) => disk.space(path)?,
        None => sys::file::space(path)?,
    };
    Ok(Space { total, free })
}

/// Held until dropped, and by the process's end at the latest.
#[derive(Debug)]
pub struct DirLock {
    _held: Held,
}

#[derive(Debug)]
#[allow(dead_code)] // why: held for their drops
enum Held {
    Os(fs::File),
    Sim(SimLock),
}

/// Takes an exclusive lock. `path` names the lock file (made if missing); given a directory, its file `.lock`.
///
/// # Errors
/// Of kind `WouldBlock` if another process, or another lock of this one, holds it.
pub fn lock(path: &Path) -> io::Result<DirLock> {
    if let Some(disk) = current_disk() {
        let _held = Held::Sim(disk.lock(path)?);
        return Ok(DirLock { _held });
    }
    let path = if path.is_dir() {
        path.join(".lock")
    } else {
        path.to_owned()
    };
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    sys::file::lock(&file)?;
    let _held = Held::Os(file);
    Ok(DirLock { _held })
}
