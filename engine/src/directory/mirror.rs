//! A copy of a partition's directory, made while the partition is in use: first the segments that are closed, at last, when nobody
//! writes any more, what has changed since.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use reactor::disk::{self, Stat};

use crate::log::file_name::{FileKind, FileName, Suffix};
use crate::types::Offset;

/// See the module's documentation. All methods block.
///
/// A file counts as copied as long as the original is the same file, of the same length and time of modification, as when its copy was
/// begun; compaction, which puts other files in the place of segments, is noticed like that.
#[derive(Debug)]
pub struct Mirror {
    from: PathBuf,
    to: PathBuf,
    copied: BTreeMap<String, Stat>,
}

impl Mirror {
    /// Begins with an empty directory `to`.
    pub fn begin(from: &Path, to: &Path) -> io::Result<Mirror> {
        disk::create_dir_all(to)?;
        Ok(Mirror {
            from: from.to_owned(),
            to: to.to_owned(),
            copied: BTreeMap::new(),
        })
    }

    /// Copies one more file and syncs it; the bytes of it. `None`: there is nothing left to copy. Segments from `below` on are left
    /// out: they are being written.
    pub fn copy_next(&mut self, below: Option<Offset>) -> io::Result<Option<u64>> {
        for name in self.names()? {
            if let (Some(below), Some(file)) = (below, FileName::parse(&name))
                && file.base_offset >= below
            {
                continue;
            }
            let path = self.from.join(&name);
            let stat = match disk::stat(&path) {
                Ok(stat) => stat,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if self.copied.get(&name) == Some(&stat) {
                continue;
            }
            match disk::copy(&path, &self.to.join(&name)) {
                Ok(()) => {
                    self.copied.insert(name, stat);
                    return Ok(Some(stat.len));
                }
                // Removed by retention meanwhile; what was copied of it goes at the end.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Nobody writes to the original any more: makes the copy the same, and durable.
    pub fn finish(&mut self) -> io::Result<()> {
        while self.copy_next(None)?.is_some() {}
        let names = self.names()?;
        for entry in disk::read_dir(&self.to)? {
            if !names.contains(&entry.name) {
                disk::remove_file(&self.to.join(&entry.name))?;
            }
        }
        disk::sync_dir(&self.to)
    }

    /// Bytes of segments copied so far.
    pub fn size_bytes(&self) -> u64 {
        self.segments().map(|(_, stat)| stat.len).sum()
    }

    /// The base offset of the last segment copied: everything before it is there.
    pub fn copied_to(&self) -> Offset {
        self.segments()
            .map(|(base_offset, _)| base_offset)
            .max()
            .unwrap_or(Offset::ZERO)
    }

    fn segments(&self) -> impl Iterator<Item = (Offset, &Stat)> {
        self.copied.iter().filter_map(|(name, stat)| {
            let name = FileName::parse(name).filter(|name| name.kind == FileKind::Log)?;
            Some((name.base_offset, stat))
        })
    }

    /// What belongs to the log; not what is on its way in or out.
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = disk::read_dir(&self.from)?.into_iter();
        let names = entries.filter(|entry| !entry.is_dir && !entry.name.ends_with(".tmp"));
        let live =
            names.filter(|entry| FileName::parse(&entry.name).is_none_or(|name| name.suffix == Suffix::Live));
        Ok(live.map(|entry| entry.name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, bytes: &[u8]) {
        disk::write_atomic(&dir.join(name), bytes).unwrap();
    }

    fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = disk::read_dir(dir).unwrap().into_iter();
        let files = entries.map(|entry| {
            let bytes = disk::read(&dir.join(&entry.name)).unwrap();
            (entry.name, bytes)
        });
        files.collect()
    }

    #[test]
    fn the_copy_is_the_same_whatever_happened_meanwhile() {
        // A segment that compaction had replaced, or retention removed, would come back with the move.
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("t-0"), temp.path().join("t-0.x-future"));
        disk::create_dir_all(&from).unwrap();
        write(&from, "00000000000000000000.log", b"first");
        write(&from, "00000000000000000005.log", b"second");
        write(&from, "00000000000000000010.log", b"active");
        write(&from, "00000000000000000000.log.deleted", b"old");
        write(&from, "partition.metadata", b"version: 0");
        let mut mirror = Mirror::begin(&from, &to).unwrap();
        while mirror.copy_next(Some(Offset(10))).unwrap().is_some() {}
        assert_eq!((mirror.size_bytes(), mirror.copied_to()), (11, Offset(5)));
        assert!(!disk::exists(&to.join("00000000000000000010.log")));
        disk::remove_file(&from.join("00000000000000000000.log")).unwrap();
        write(&from, "00000000000000000005.log", b"sec0nd");
        write(&from, "00000000000000000010.log", b"active and closed");
        write(&from, "00000000000000000010.index", b"derived");
        disk::remove_file(&from.join("00000000000000000000.log.deleted")).unwrap();
        mirror.finish().unwrap();
        assert_eq!(content(&to), content(&from));
    }
}
