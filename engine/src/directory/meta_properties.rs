//! `meta.properties`: which cluster and node a data directory belongs to. Serving somebody else's directory would mix two
//! clusters' records.

use thiserror::Error;
use uuid::Uuid;

use crate::log::partition_metadata::{from_base64, to_base64};

/// Version 1 of the file, Kafka's since KRaft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    /// Identity of the directory itself (KIP-858); absent in files of older brokers.
    pub directory_id: Option<Uuid>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MetaPropertiesError {
    #[error(
        "version 0: a Kafka that kept its metadata in ZooKeeper wrote this directory; move that cluster to KRaft first, as Kafka 3.9 can"
    )]
    ZooKeeper,
    #[error("version {0:?}, expected 1")]
    Version(String),
    #[error("no property {0}")]
    Missing(&'static str),
    #[error("property {name}: {value:?}")]
    Value { name: &'static str, value: String },
}

impl MetaProperties {
    pub fn encode(&self) -> String {
        let directory = self
            .directory_id
            .map(|id| format!("directory.id={}\n", to_base64(id)))
            .unwrap_or_default();
        format!(
            "#\ncluster.id={}\n{directory}node.id={}\nversion=1\n",
            self.cluster_id, self.node_id
        )
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, MetaPropertiesError> {
        let text = String::from_utf8_lossy(bytes);
        let property = |name: &str| {
            let lines = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.starts_with(['#', '!']));
            let mut pairs = lines.filter_map(|line| line.split_once('='));
            pairs
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().replace('\\', ""))
        };
        match property("version") {
            Some(version) if version == "1" => {}
            Some(version) if version == "0" => return Err(MetaPropertiesError::ZooKeeper),
            Some(version) => return Err(MetaPropertiesError::Version(version)),
            None => return Err(MetaPropertiesError::Missing("version")),
        }
        let cluster_id = property("cluster.id").ok_or(MetaPropertiesError::Missing("cluster.id"))?;
        let node_id = property("node.id").ok_or(MetaPropertiesError::Missing("node.id"))?;
        let node_id = node_id.parse().map_err(|_| MetaPropertiesError::Value {
            name: "node.id",
            value: node_id,
        })?;
        let directory_id = match property("directory.id") {
            Some(value) => Some(from_base64(&value).ok_or(MetaPropertiesError::Value {
                name: "directory.id",
                value,
            })?),
            None => None,
        };
        Ok(MetaProperties {
            cluster_id,
            node_id,
            directory_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_kafkas() {
        let properties = MetaProperties {
            cluster_id: "MkU3OEVBNTcwNTJENDM2Qg".to_owned(),
            node_id: 1,
            directory_id: Some(Uuid::from_u128(42)),
        };
        assert_eq!(
            MetaProperties::parse(properties.encode().as_bytes()),
            Ok(properties)
        );
        let kafkas = "#\n#Sat Jan 01 00:00:00 UTC 2022\nnode.id=3\ndirectory.id=tYXL0OYvQcmhR9RdsHX0sg\nversion=1\ncluster.id=a\\=b\n";
        let parsed = MetaProperties::parse(kafkas.as_bytes()).unwrap();
        assert_eq!((parsed.node_id, parsed.cluster_id.as_str()), (3, "a=b"));
        assert_eq!(
            MetaProperties::parse(b"version=0\nbroker.id=1\n"),
            Err(MetaPropertiesError::ZooKeeper)
        );
        assert_eq!(
            MetaProperties::parse(b"version=2\nnode.id=1\n"),
            Err(MetaPropertiesError::Version("2".to_owned()))
        );
        assert!(MetaProperties::parse(b"version=1\ncluster.id=x\nnode.id=y\n").is_err());
    }
}
