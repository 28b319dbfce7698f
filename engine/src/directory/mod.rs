//! A data directory (`log.dirs`): one directory per partition, and the files that speak for all of them.
//!
//! ```text
//! .lock                              held by the process that serves the directory
//! meta.properties                    whose directory this is
//! .kafka_cleanshutdown               there exactly after a clean stop
//! recovery-point-offset-checkpoint   partition -> everything below was synced
//! log-start-offset-checkpoint        partition -> first offset that was not deleted
//! replication-offset-checkpoint      partition -> high watermark
//! cleaner-offset-checkpoint          partition -> everything below was compacted
//! orders-0/                          a partition; see `log::file_name`
//! orders-0.<uuid>-delete/            a partition on its way out
//! orders-0.ringlog-<uuid>-future/    a partition on its way in, from another directory
//! ```

mod clean_shutdown;
pub mod closed_log;
mod data_directory;
mod meta_properties;
mod mirror;
mod offset_checkpoint;
mod stray;
mod topic_ids;
mod topic_partition;

pub use data_directory::{DataDirectory, DirectoryError, PartitionCheckpoint, read_meta_properties};
pub use meta_properties::{MetaProperties, MetaPropertiesError};
pub use mirror::Mirror;
pub use offset_checkpoint::OffsetCheckpoint;
pub use stray::{STRAY_DIR_SUFFIX, stray_dir};
pub use topic_ids::{TopicIdLine, encode_topic_ids, parse_topic_ids};
pub use topic_partition::{DirName, TopicPartition, future_dir_name};
