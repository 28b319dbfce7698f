//! Who a replica of the metadata log is.

use std::fmt;

use crate::record::{BrokerId, DirectoryId, UuidText};

/// A node and the directory that its log lies in (KIP-853): the same node with a new disk is another replica, which has
/// acknowledged nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    pub id: BrokerId,
    /// [`DirectoryId::MIGRATING`] where it is not known: voters given up front have none, nor do old versions tell.
    pub directory: DirectoryId,
}

impl ReplicaKey {
    pub fn new(id: BrokerId, directory: DirectoryId) -> ReplicaKey {
        ReplicaKey { id, directory }
    }

    /// A node whose directory is not known.
    pub fn of(id: BrokerId) -> ReplicaKey {
        ReplicaKey::new(id, DirectoryId::MIGRATING)
    }

    pub fn has_directory(&self) -> bool {
        self.directory != DirectoryId::MIGRATING
    }

    /// Whether both may be the same replica: an unknown directory may be any.
    pub fn matches(&self, other: &ReplicaKey) -> bool {
        self.id == other.id
            && (self.directory == other.directory || !self.has_directory() || !other.has_directory())
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_directory() {
            write!(f, "{} (directory {})", self.id, UuidText(self.directory.0))
        } else {
            self.id.fmt(f)
        }
    }
}
