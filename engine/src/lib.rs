//! A partition's data: batches, segment logs, indexes, recovery, retention, compaction; and the rules of its replicas.
//!
//! Knows no socket and no cluster; reaches disk and time through `reactor`.

pub mod batch;
pub mod directory;
pub mod journal;
pub mod log;
pub mod planted;
pub mod replica;
pub mod types;
