//! Directories that Apache Kafka has left, or somebody's copy of a part of them.

use std::path::Path;

use control::config::BrokerConfig;
use control::image::ClusterImage;
use control::record::BrokerId;
use control::store::embedded::LOG_DIR;
use engine::directory::{DirName, read_meta_properties};
use engine::log::file_name::PARTITION_METADATA;

use super::checkpoints::ids_by_topic;
use super::directories::{Directories, lock};
use super::error::DirectoryError;
use crate::registration;

/// The configuration of the node that the data belongs to. A new directory, or one whose node is configured, changes nothing.
pub fn adopt_node_id(config: BrokerConfig) -> Result<BrokerConfig, DirectoryError> {
    for path in &config.log_dirs {
        // One that cannot be read is told of when it is opened.
        if let Ok(Some(found)) = read_meta_properties(path) {
            return Ok(config.adopt_node_id(found.node_id));
        }
    }
    Ok(config)
}

impl Directories {
    /// Where Kafka had the directories last, their checkpoints count for the topics that their partitions say they are of. Before this
    /// broker registers: from then on the image says that ringlog was here.
    pub fn adopt_checkpoints(&self, image: &ClusterImage, own: BrokerId) -> Result<(), DirectoryError> {
        let last = image.broker(own);
        if last.is_none_or(|broker| registration::is_ringlogs(broker)) {
            return Ok(());
        }
        for (_, directory) in self.online() {
            let mut directory = lock(&directory);
            let mut partitions = directory.directory.partitions()?;
            partitions.retain(|partition| partition.to_string() != LOG_DIR);
            let named: Vec<_> = partitions
                .iter()
                .filter_map(|partition| {
                    let id = directory.directory.topic_id(partition).ok()??;
                    Some((partition.topic.clone(), id))
                })
                .collect();
            tracing::info!(
                directory = %directory.directory.path().display(),
                partitions = partitions.len(),
                clean = directory.directory.was_clean(),
                "adopting what Apache Kafka left"
            );
            directory.write_topic_ids(ids_by_topic(named.into_iter()))?;
        }
        Ok(())
    }
}

/// Where the metadata log has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Metadata {
    Here,
    Elsewhere,
}

/// Refuses partitions without identity or without metadata. Timeline of the loss otherwise: the directory gets a new identity and an
/// empty metadata log; no topic owns the partitions, and all of them are put aside as strays.
pub(super) fn check_whole(path: &Path, metadata: Metadata) -> Result<(), DirectoryError> {
    let list = |path: &Path| match reactor::disk::read_dir(path) {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(DirectoryError::List {
            path: path.to_owned(),
            source,
        }),
    };
    let is_partition = |name: &str| {
        name != LOG_DIR
            && matches!(DirName::parse(name), DirName::Partition(_))
            && reactor::disk::exists(&path.join(name).join(PARTITION_METADATA))
    };
    let entries = list(path)?;
    let Some(partition) = entries
        .into_iter()
        .find(|entry| entry.is_dir && is_partition(&entry.name))
    else {
        return Ok(());
    };
    let has_metadata = metadata == Metadata::Elsewhere
        || list(&path.join(LOG_DIR))?
            .iter()
            .any(|entry| entry.name.ends_with(".log") || entry.name.ends_with(".checkpoint"));
    let missing = match read_meta_properties(path)? {
        None => "meta.properties",
        Some(_) if !has_metadata => {
            "metadata log (__cluster_metadata-0; Kafka's metadata.log.dir says where it is)"
        }
        Some(_) => return Ok(()),
    };
    Err(DirectoryError::Headless {
        dir: path.to_owned(),
        partition: partition.name,
        missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: a copy without its metadata is given a new, empty one, and every partition is put aside as a stray.
    #[test]
    fn partitions_without_identity_or_metadata_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path();
        let missing = || match check_whole(path, Metadata::Here) {
            Err(DirectoryError::Headless {
                partition, missing, ..
            }) => {
                assert_eq!(partition, "t-0");
                missing.split(' ').next().unwrap()
            }
            other => panic!("{other:?}"),
        };
        assert!(check_whole(&path.join("new"), Metadata::Here).is_ok());
        assert!(check_whole(path, Metadata::Here).is_ok());
        std::fs::create_dir_all(path.join("t-0")).unwrap();
        assert!(
            check_whole(path, Metadata::Here).is_ok(),
            "no partition of anybody's"
        );
        std::fs::write(path.join("t-0").join(PARTITION_METADATA), "version: 0\n").unwrap();
        assert_eq!(missing(), "meta.properties");
        std::fs::write(
            path.join("meta.properties"),
            "version=1\nnode.id=3\ncluster.id=c\n",
        )
        .unwrap();
        assert_eq!(missing(), "metadata");
        assert!(check_whole(path, Metadata::Elsewhere).is_ok(), "one of several");
        std::fs::create_dir_all(path.join(LOG_DIR)).unwrap();
        assert_eq!(missing(), "metadata");
        std::fs::write(path.join(LOG_DIR).join("00000000000000000000.log"), "").unwrap();
        assert!(check_whole(path, Metadata::Here).is_ok());
    }
}
