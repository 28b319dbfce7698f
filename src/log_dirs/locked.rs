//! From `log.dirs` to directories that are locked and known to be ours: the first thing a broker does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use control::config::BrokerConfig;
use control::image::ClusterImage;
use control::record::{BrokerId, DirectoryId, UuidText};
use engine::directory::{DataDirectory, DirectoryError as EngineError, MetaProperties};
use engine::log::partition_metadata::to_base64;
use uuid::Uuid;

use super::adoption::{Metadata, check_whole};
use super::directories::{Directories, Directory};
use super::error::DirectoryError;
use super::set::{LogDir, LogDirs};
use super::store_mark;

/// The directories before the cluster metadata, which lies in the first of them, has been read.
pub struct Locked {
    node_id: i32,
    /// Empty: the store will tell.
    cluster_id: String,
    /// How `ringlog.store` begins. New directories of any but the embedded one wait for the id of the cluster that they are to
    /// belong to.
    store: &'static str,
    dirs: Vec<(PathBuf, Attempt)>,
}

enum Attempt {
    Open(Box<Directory>, DirectoryId),
    /// Locked, and nobody's yet; the id it will have.
    New(Box<DataDirectory>, DirectoryId),
    Failed(String),
    /// It is not there. Whether it is new or lost, the metadata tells.
    Missing,
}

impl Locked {
    /// Locks every directory that is there. The first is made if need be, and must be usable. `store` is the scheme of
    /// `ringlog.store`.
    pub fn open(config: &BrokerConfig, store: &'static str) -> Result<Locked, DirectoryError> {
        if config.log_dirs.len() > usize::from(u16::MAX) {
            return Err(DirectoryError::TooMany {
                found: config.log_dirs.len(),
            });
        }
        let mut locked = Locked {
            node_id: config.node_id,
            cluster_id: String::new(),
            store,
            dirs: Vec::with_capacity(config.log_dirs.len()),
        };
        for path in &config.log_dirs {
            // As Kafka shows them, and as tools name them.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            if locked.dirs.iter().any(|(other, _)| *other == path) {
                return Err(DirectoryError::Twice { dir: path });
            }
            let is_first = locked.dirs.is_empty();
            if is_first {
                store_mark::check(&path, store)?;
            }
            let attempt = if !is_first && is_missing(&path) {
                Attempt::Missing
            } else {
                let is_kept_here = matches!(store, store_mark::EMBEDDED | store_mark::QUORUM);
                let metadata = if is_first && is_kept_here {
                    Metadata::Here
                } else {
                    Metadata::Elsewhere
                };
                match check_whole(&path, metadata).and_then(|()| locked.take(&path)) {
                    Ok(attempt) => attempt,
                    Err(error) if is_first || !is_of_one_directory(&error) => return Err(error),
                    Err(error) => Attempt::Failed(error.to_string()),
                }
            };
            locked.dirs.push((path, attempt));
        }
        Ok(locked)
    }

    /// Where the metadata log is.
    pub fn first(&self) -> &Path {
        self.dirs.first().map_or(Path::new(""), |(path, _)| path)
    }

    /// The cluster whose data this is, if there is any.
    pub fn cluster_id(&self) -> Option<&str> {
        Some(self.cluster_id.as_str()).filter(|id| !id.is_empty())
    }

    /// Ids of the directories that have one.
    pub fn directory_ids(&self) -> Vec<DirectoryId> {
        let ids = self.dirs.iter().filter_map(|(_, attempt)| match attempt {
            Attempt::Open(_, id) | Attempt::New(_, id) => Some(*id),
            Attempt::Failed(_) | Attempt::Missing => None,
        });
        ids.collect()
    }

    /// Nothing was done to the partitions: the next one to open the directories finds them as clean as they were.
    pub fn leave_as_found(&self) -> Result<(), DirectoryError> {
        for (_, attempt) in &self.dirs {
            if let Attempt::Open(directory, _) = attempt
                && directory.directory.was_clean()
            {
                let epoch = directory.directory.last_broker_epoch().unwrap_or(-1);
                directory.directory.mark_clean(epoch)?;
            }
        }
        Ok(())
    }

    /// Locks a directory and reads whose it is; a new one gets its identity here.
    fn take(&mut self, path: &Path) -> Result<Attempt, DirectoryError> {
        let directory = DataDirectory::open(path)?;
        self.identify(path, directory, new_id())
    }

    /// `id` is for a directory that has none yet.
    fn identify(
        &mut self,
        path: &Path,
        directory: DataDirectory,
        id: Uuid,
    ) -> Result<Attempt, DirectoryError> {
        let found = directory.meta_properties()?;
        if let Some(found) = &found {
            self.check(path, found)?;
        }
        if self.cluster_id.is_empty() {
            if found.is_none() && self.store != store_mark::EMBEDDED {
                return Ok(Attempt::New(Box::new(directory), DirectoryId(id)));
            }
            self.cluster_id = match &found {
                Some(found) => found.cluster_id.clone(),
                None => to_base64(new_id()),
            };
        }
        let id = found.as_ref().and_then(|found| found.directory_id).unwrap_or(id);
        let identity = MetaProperties {
            cluster_id: self.cluster_id.clone(),
            node_id: self.node_id,
            directory_id: Some(id),
        };
        if found.as_ref() != Some(&identity) {
            directory.write_meta_properties(&identity)?;
        }
        let id = DirectoryId(identity.directory_id.unwrap_or_default());
        let same = self
            .dirs
            .iter()
            .find(|(_, other)| matches!(other, Attempt::Open(_, other) if *other == id));
        if let Some((other, _)) = same {
            return Err(DirectoryError::SameId {
                dir: path.to_owned(),
                other: other.clone(),
            });
        }
        Ok(Attempt::Open(Box::new(Directory::new(directory)), id))
    }

    fn check(&self, path: &Path, found: &MetaProperties) -> Result<(), DirectoryError> {
        if found.node_id != self.node_id {
            return Err(DirectoryError::OtherNode {
                configured: self.node_id,
                found: found.node_id,
                dir: path.to_owned(),
            });
        }
        if !self.cluster_id.is_empty() && found.cluster_id != self.cluster_id {
            return Err(DirectoryError::OtherCluster {
                dir: path.to_owned(),
                found: found.cluster_id.clone(),
                other: self.first().to_owned(),
                expected: self.cluster_id.clone(),
            });
        }
        Ok(())
    }

    /// All of them, now that it is known which there should be.
    ///
    /// A directory that is missing may be new: then it is made. But if the metadata knows partitions in a directory that none of the
    /// present ones is, it is taken for that one - a disk that was not mounted, say - and left alone.
    pub fn complete(mut self, image: &ClusterImage) -> Result<Directories, DirectoryError> {
        if self.cluster_id.is_empty() {
            self.cluster_id = image.cluster_id().to_owned();
        }
        self.identify_new()?;
        store_mark::write(self.first(), self.store)?;
        let lost = self.lost(image);
        for position in 0..self.dirs.len() {
            let Some((path, Attempt::Missing)) = self.dirs.get(position) else {
                continue;
            };
            let path = path.clone();
            let attempt = match lost {
                Some(lost) => Attempt::Failed(format!(
                    "not found, and partitions of this broker lie in directory {}, which is none of the others",
                    to_base64(lost.0)
                )),
                None => match self.take(&path) {
                    Ok(attempt) => attempt,
                    Err(error) if !is_of_one_directory(&error) => return Err(error),
                    Err(error) => Attempt::Failed(error.to_string()),
                },
            };
            self.dirs[position].1 = attempt;
        }
        let mut set = Vec::with_capacity(self.dirs.len());
        for (path, attempt) in self.dirs {
            let failed = match attempt {
                Attempt::Open(directory, id) => {
                    set.push(LogDir::online(path, id, Some(*directory)));
                    continue;
                }
                Attempt::Failed(why) => why,
                Attempt::New(..) | Attempt::Missing => "not found".to_owned(),
            };
            tracing::error!(dir = %path.display(), why = failed, "the log directory is offline, with all of its partitions");
            set.push(LogDir::failed(path, failed));
        }
        Ok(Directories::new(self.cluster_id, Arc::new(LogDirs::new(set))))
    }

    /// Gives the new directories to the cluster that is known now.
    fn identify_new(&mut self) -> Result<(), DirectoryError> {
        for position in 0..self.dirs.len() {
            let (path, attempt) = &mut self.dirs[position];
            let Attempt::New(..) = attempt else { continue };
            let path = path.clone();
            if let Attempt::New(directory, id) = std::mem::replace(attempt, Attempt::Missing) {
                self.dirs[position].1 = self.identify(&path, *directory, id.0)?;
            }
        }
        Ok(())
    }

    /// A directory that partitions of this broker lie in, and that is not here.
    fn lost(&self, image: &ClusterImage) -> Option<DirectoryId> {
        let here: Vec<DirectoryId> = self
            .dirs
            .iter()
            .filter_map(|(_, attempt)| match attempt {
                Attempt::Open(_, id) => Some(*id),
                Attempt::New(..) | Attempt::Failed(_) | Attempt::Missing => None,
            })
            .collect();
        let own = BrokerId(self.node_id);
        let partitions = image.topics().flat_map(|topic| topic.partitions.values());
        let mut assigned = partitions.filter_map(|partition| {
            let position = partition.replicas.iter().position(|replica| *replica == own)?;
            partition.directories.get(position).copied()
        });
        assigned.find(|id| !id.is_reserved() && !here.contains(id))
    }
}

/// Of a directory or a cluster. People type it: `kafka-metadata-quorum.sh remove-controller --controller-directory-id ID`.
fn new_id() -> Uuid {
    UuidText::new_id(&mut reactor::random_u64)
}

/// Not there. What cannot be looked at is something else.
fn is_missing(path: &Path) -> bool {
    reactor::disk::stat(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Whether the broker can go on with the others. Directories that are somebody else's, or in use, are a mistake of the
/// operator, who must hear of it.
fn is_of_one_directory(error: &DirectoryError) -> bool {
    match error {
        DirectoryError::Engine(EngineError::Io { .. } | EngineError::MetaProperties { .. }) => true,
        DirectoryError::Engine(
            EngineError::InUse { .. } | EngineError::PartitionExists { .. } | EngineError::Checkpoint { .. },
        ) => false,
        DirectoryError::Twice { .. }
        | DirectoryError::TooMany { .. }
        | DirectoryError::OtherNode { .. }
        | DirectoryError::OtherCluster { .. }
        | DirectoryError::OtherStore { .. }
        | DirectoryError::Store { .. }
        | DirectoryError::SameId { .. }
        | DirectoryError::Headless { .. }
        | DirectoryError::MetadataDirectoryLost { .. }
        | DirectoryError::Controller(_) => false,
        DirectoryError::List { .. } | DirectoryError::Stray { .. } | DirectoryError::TopicIds { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: one voter of a quorum in 64 cannot be removed, because Kafka's tool takes its directory's id for an
    /// option.
    #[test]
    fn no_id_begins_with_a_dash() {
        for _ in 0..1000 {
            let text = to_base64(new_id());
            assert!(!text.starts_with('-'), "{text}");
        }
    }
}
