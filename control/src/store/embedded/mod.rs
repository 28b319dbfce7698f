//! The metadata log on this machine's own disk, in the layout of Kafka's `__cluster_metadata-0`:
//!
//! ```text
//! __cluster_metadata-0/
//!   00000000000000000000.log                        record batches from offset 0 on; leader epoch = controller epoch
//!   00000000000000012345.log                        the same from 12345 on: a new one begins with every snapshot
//!   00000000000000012345-0000000007.checkpoint      snapshot of all records below 12345, the last one of epoch 7
//! ```
//! A snapshot is a file of record batches too: a SnapshotHeader control batch, batches of records numbered from 1, a
//! SnapshotFooter control batch. `kafka-dump-log --cluster-metadata-decoder` reads both kinds of files.
//!
//! **One batch at a time.** A batch is written and synced before the next one is written, so at most one batch, the
//! last, can be damaged by a crash. That makes recovery a short table ([`recover`]): whatever is damaged and followed by
//! a whole batch had been acknowledged, and the broker refuses to start rather than forget it.
//!
//! **The controller epoch** is the leader epoch of the batches. Each start counts it up with a LeaderChange control
//! batch, as Kafka's leaders do; being in the log, it is durable before the first record decided under it.

mod log;
pub(in crate::store) mod recover;
pub(in crate::store) mod segment;
pub(in crate::store) mod snapshot;

pub use log::{EmbeddedMetaLog, LOG_DIR};
pub(super) use snapshot::{decode as decode_snapshot, encode as encode_snapshot};

#[cfg(test)]
mod tests;
