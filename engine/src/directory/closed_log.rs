//! Partition directories whose logs are not open: their size, and their deletion.

use std::io;
use std::path::{Path, PathBuf};

use reactor::disk;

use crate::log::close::{aside_dir_name, remove_dir_later};
use crate::log::file_name::{FileKind, FileName, Suffix};

/// Bytes of all segments. Blocking.
pub fn size_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in disk::read_dir(dir)? {
        let is_segment = FileName::parse(&entry.name)
            .is_some_and(|name| name.kind == FileKind::Log && name.suffix == Suffix::Live);
        if is_segment {
            bytes += disk::stat(&dir.join(&entry.name))?.len;
        }
    }
    Ok(bytes)
}

/// Removes partitions as [`crate::log::Log::delete`] does, many with one sync of each data directory.
pub async fn delete(dirs: Vec<PathBuf>, file_delete_delay_ms: i64) -> io::Result<()> {
    let doomed = reactor::background(move || rename_all(&dirs)).await?;
    for dir in doomed {
        remove_dir_later(dir, file_delete_delay_ms);
    }
    Ok(())
}

fn rename_all(dirs: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut doomed = Vec::with_capacity(dirs.len());
    let mut parents = Vec::new();
    for dir in dirs {
        let (Some(parent), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str()))
        else {
            continue;
        };
        let to = parent.join(aside_dir_name(name));
        match disk::rename(dir, &to) {
            Ok(()) => doomed.push(to),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }
    parents.into_iter().try_for_each(disk::sync_dir)?;
    Ok(doomed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_logs_are_measured_and_deleted_without_opening_them() {
        // A topic of ten thousand idle partitions would otherwise be opened in order to be deleted.
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("t-0");
        disk::create_dir_all(&dir).unwrap();
        disk::write_atomic(&dir.join("00000000000000000000.log"), &[0; 100]).unwrap();
        disk::write_atomic(&dir.join("00000000000000000100.log"), &[0; 20]).unwrap();
        disk::write_atomic(&dir.join("00000000000000000000.index"), &[0; 8]).unwrap();
        disk::write_atomic(&dir.join("00000000000000000000.log.deleted"), &[0; 8]).unwrap();
        assert_eq!(size_bytes(&dir).unwrap(), 120);
        reactor::run(reactor::Config::default(), async {
            delete(vec![dir.clone(), temp.path().join("t-1")], 60_000)
                .await
                .unwrap();
            assert!(!disk::exists(&dir));
            let left = disk::read_dir(temp.path()).unwrap();
            assert!(left.len() == 1 && left[0].name.ends_with("-delete"), "{left:?}");
        })
        .unwrap();
    }
}
