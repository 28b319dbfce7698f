//! Names: paths to files and directories, and what changes them.

use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use super::content::Content;
use super::directory::{Directory, EntryChange, NodeId};
use super::disk::SimDisk;
use super::file::SimFile;
use super::machine::{Fallible, Machine, Node, ROOT};
use crate::disk::DirEntry;
use crate::file::OpenMode;

impl Machine {
    /// The components of a path, from the root. A relative path begins there as well.
    fn names(path: &Path) -> io::Result<Vec<&str>> {
        let mut names = Vec::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?),
                Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
            }
        }
        Ok(names)
    }

    fn walk(&mut self, names: &[&str]) -> io::Result<NodeId> {
        let mut node = ROOT;
        for name in names {
            node = self.directory(node)?.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    pub(super) fn find(&mut self, path: &Path) -> io::Result<NodeId> {
        self.walk(&Self::names(path)?)
    }

    /// The directory a path is in, and its name there.
    fn parent<'a>(&mut self, path: &'a Path) -> io::Result<(NodeId, &'a str)> {
        let names = Self::names(path)?;
        let (name, above) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.walk(above)?;
        self.directory(parent)?;
        Ok((parent, name))
    }

    fn change_entry(&mut self, directory: NodeId, change: EntryChange) -> io::Result<()> {
        let mut chance = self.chance.clone();
        self.directory(directory)?.change(change, &mut chance);
        self.chance = chance;
        Ok(())
    }

    fn begin_directory_operation(&mut self) -> io::Result<()> {
        self.begin_operation()?;
        self.spend();
        self.may_fail(Fallible::Directory)
    }

    fn create(&mut self, parent: NodeId, name: &str, node: Node) -> io::Result<NodeId> {
        self.begin_directory_operation()?;
        if self.space().1 == 0 {
            return Err(self.full());
        }
        let node = self.insert(node);
        let name = name.to_owned();
        self.change_entry(parent, EntryChange::Link { name, node })?;
        Ok(node)
    }

    fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<NodeId> {
        let (parent, name) = self.parent(path)?;
        let found = self.directory(parent)?.get(name);
        match (found, mode) {
            (Some(_), OpenMode::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(node), _) => self.file(node).map(|_| node),
            (None, OpenMode::Read | OpenMode::ReadWrite) => Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::CreateNew | OpenMode::Create) => {
                self.create(parent, name, Node::File(Content::default()))
            }
        }
    }

    fn create_dirs(&mut self, path: &Path) -> io::Result<()> {
        let mut node = ROOT;
        for name in Self::names(path)? {
            node = match self.directory(node)?.get(name) {
                Some(found) => found,
                None => self.create(node, name, Node::Directory(Directory::default()))?,
            };
            self.directory(node)?;
        }
        Ok(())
    }

    fn list(&mut self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let node = self.find(path)?;
        self.may_fail(Fallible::Read)?;
        let entries = self.directory(node)?.cached().clone();
        let entries = entries.into_iter().map(|(name, node)| DirEntry {
            name,
            is_dir: matches!(self.nodes.get(&node), Some(Node::Directory(_))),
        });
        Ok(entries.collect())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(from)?;
        let (to_parent, to_name) = self.parent(to)?;
        let node = self
            .directory(from_parent)?
            .get(from_name)
            .ok_or(io::ErrorKind::NotFound)?;
        let replaced = self.directory(to_parent)?.get(to_name);
        if replaced == Some(node) {
            return Ok(());
        }
        if let Some(Node::Directory(directory)) = replaced.and_then(|node| self.nodes.get(&node))
            && !directory.cached().is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.begin_directory_operation()?;
        let (from, to) = (from_name.to_owned(), to_name.to_owned());
        if from_parent == to_parent {
            self.change_entry(from_parent, EntryChange::Rename { from, to })?;
        } else {
            self.change_entry(to_parent, EntryChange::Link { name: to, node })?;
            self.change_entry(from_parent, EntryChange::Unlink { name: from })?;
            self.directory(to_parent)?.sync();
            self.directory(from_parent)?.sync();
        }
        self.unlinked.extend(replaced);
        Ok(())
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let node = self.directory(parent)?.get(name).ok_or(io::ErrorKind::NotFound)?;
        self.file(node)?;
        self.begin_directory_operation()?;
        let name = name.to_owned();
        self.change_entry(parent, EntryChange::Unlink { name })?;
        self.unlinked.insert(node);
        Ok(())
    }

    fn remove_tree(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        let children = self.directory(node)?.cached().clone();
        for (name, child) in children {
            let path = path.join(&name);
            match self.nodes.get(&child) {
                Some(Node::Directory(_)) => self.remove_tree(&path)?,
                _ => self.unlink(&path)?,
            }
        }
        let (parent, name) = self.parent(path)?;
        self.begin_directory_operation()?;
        let name = name.to_owned();
        self.change_entry(parent, EntryChange::Unlink { name })?;
        self.unlinked.insert(node);
        Ok(())
    }

    fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        self.directory(node)?;
        self.begin_operation()?;
        let latency = self.take_latency_ns();
        self.advance_to(self.now_ns() + latency);
        let mut chance = self.chance.clone();
        let failed = self.may_fail(Fallible::Sync);
        let directory = self.directory(node)?;
        match failed {
            Ok(()) => directory.sync(),
            Err(_) => directory.keep_some(&mut chance),
        }
        failed
    }

    fn sync_everything(&mut self) -> io::Result<()> {
        self.begin_operation()?;
        let latency = self.take_latency_ns();
        self.advance_to(self.now_ns() + latency);
        let files: Vec<NodeId> = self.nodes.keys().copied().collect();
        let mut result = Ok(());
        for node in files {
            match self.nodes.get_mut(&node) {
                Some(Node::File(content)) => {
                    let mark = content.mark();
                    result = result.and(self.sync_file(node, mark));
                }
                Some(Node::Directory(directory)) => directory.sync(),
                None => {}
            }
        }
        result
    }

    fn lock(&mut self, path: &Path) -> io::Result<NodeId> {
        let is_dir = self.find(path).is_ok_and(|node| self.directory(node).is_ok());
        let path = if is_dir {
            path.join(".lock")
        } else {
            path.to_owned()
        };
        let node = self.open(&path, OpenMode::Create)?;
        if self.locked.insert(node) {
            Ok(node)
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
}

/// What `crate::disk` does here.
impl SimDisk {
    fn run<T>(
        &self,
        operation: &'static str,
        path: &Path,
        f: impl FnOnce(&mut Machine) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut machine = self.machine();
        let boot = machine.boot;
        machine.check_alive(boot)?;
        let result = f(&mut machine);
        machine.trace(operation, ROOT, [0; 2], || path.display().to_string(), &result);
        result
    }

    pub(crate) fn open(&self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        let (node, boot) = self.run("open", path, |machine| {
            Ok((machine.open(path, mode)?, machine.boot))
        })?;
        Ok(SimFile {
            disk: self.clone(),
            node,
            boot,
            is_writable: mode != OpenMode::Read,
            name: Arc::from(path.to_string_lossy()),
        })
    }

    pub(crate) fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.run("create directories", path, |machine| machine.create_dirs(path))
    }

    pub(crate) fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.run("list", path, |machine| machine.list(path))
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run("rename", from, |machine| machine.rename(from, to))
    }

    pub(crate) fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.run("remove", path, |machine| machine.unlink(path))
    }

    pub(crate) fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.run("remove directory", path, |machine| machine.remove_tree(path))
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        let mut machine = self.machine();
        machine.halted.is_none() && machine.find(path).is_ok()
    }

    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.run("sync directory", path, |machine| machine.sync_directory(path))
    }

    /// Syncs the whole disk: all paths are on one file system.
    pub(crate) fn sync_all(&self, path: &Path) -> io::Result<()> {
        self.run("sync all", path, Machine::sync_everything)
    }

    /// Total and free bytes.
    pub(crate) fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        self.run("space", path, |machine| {
            machine.find(path)?;
            Ok(machine.space())
        })
    }

    pub(crate) fn lock(&self, path: &Path) -> io::Result<SimLock> {
        let node = self.run("lock", path, |machine| machine.lock(path))?;
        Ok(SimLock {
            disk: self.clone(),
            boot: self.machine().boot,
            node,
        })
    }
}

/// A lock, held until dropped and until the end of the run at the latest.
#[derive(Debug)]
pub(crate) struct SimLock {
    disk: SimDisk,
    boot: u64,
    node: NodeId,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut machine = self.disk.machine();
        if machine.boot == self.boot {
            machine.locked.remove(&self.node);
        }
    }
}
