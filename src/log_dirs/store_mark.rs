//! Which store the cluster of a data directory has: written into the first directory, so that nobody starts it with another.
//!
//! Timeline of the loss it prevents: a broker of an etcd cluster is started without `--store`; the embedded log is empty, so no
//! topic owns the partitions, and all of them are put aside as strays.

use std::path::Path;

use control::store::embedded::LOG_DIR;

use super::error::DirectoryError;

const FILE: &str = "ringlog-store";
/// Needs no file: a metadata log says it.
pub(super) const EMBEDDED: &str = "embedded";
pub(super) const QUORUM: &str = "quorum";
/// Kafka's, and ours: a metadata log with it is a voter's.
const QUORUM_STATE: &str = "quorum-state";

/// Refuses a directory whose cluster has another store than `configured`.
pub(super) fn check(dir: &Path, configured: &str) -> Result<(), DirectoryError> {
    let found = match reactor::disk::read(&dir.join(FILE)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let log = dir.join(LOG_DIR);
            let is_voters = reactor::disk::exists(&log.join(QUORUM_STATE));
            if !reactor::disk::exists(&log) || (is_voters && configured == QUORUM) {
                return Ok(());
            }
            EMBEDDED.to_owned()
        }
        Err(source) => {
            return Err(DirectoryError::Store {
                path: dir.join(FILE),
                source,
            });
        }
    };
    if found == configured {
        return Ok(());
    }
    Err(DirectoryError::OtherStore {
        dir: dir.to_owned(),
        found,
        configured: configured.to_owned(),
    })
}

/// Writes down that the cluster of `dir` has this store.
pub(super) fn write(dir: &Path, store: &str) -> Result<(), DirectoryError> {
    let path = dir.join(FILE);
    if store == EMBEDDED || reactor::disk::exists(&path) {
        return Ok(());
    }
    reactor::disk::write_atomic(&path, format!("{store}\n").as_bytes())
        .map_err(|source| DirectoryError::Store { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_as_ever() {
        let golden = include_str!("../../engine/tests/golden/data/directory-1/ringlog-store");
        let temp = tempfile::tempdir().unwrap();
        write(temp.path(), "etcd").unwrap();
        assert_eq!(std::fs::read_to_string(temp.path().join(FILE)).unwrap(), golden);
        std::fs::write(temp.path().join(FILE), golden).unwrap();
        assert!(check(temp.path(), "etcd").is_ok() && check(temp.path(), QUORUM).is_err());
    }

    /// Breaks in production: every partition of the broker is put aside as a stray.
    #[test]
    fn a_directory_keeps_to_the_store_of_its_cluster() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        assert!(check(dir, "etcd").is_ok(), "a new one");
        write(dir, "etcd").unwrap();
        assert!(check(dir, "etcd").is_ok());
        for other in [EMBEDDED, "zookeeper", QUORUM] {
            let refused = check(dir, other).expect_err(other).to_string();
            assert!(refused.contains("etcd") && refused.contains(other), "{refused}");
        }
        let single = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(single.path().join(LOG_DIR)).unwrap();
        assert!(check(single.path(), EMBEDDED).is_ok());
        assert!(check(single.path(), "etcd").is_err());
        std::fs::write(single.path().join(LOG_DIR).join(QUORUM_STATE), "{}").unwrap();
        assert!(check(single.path(), QUORUM).is_ok(), "a voter's of Kafka");
    }
}
