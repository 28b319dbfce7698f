//! One partition's log: append, read, commit, recovery, retention, compaction - on disk as Kafka lays it out.
//!
//! In the order of first reading: [`Log`] is the handle and tells the contract, [`append`](mod@append) and
//! [`commit`](mod@commit) are the write path, [`read`](mod@read) the read path, [`recovery`] the start.
//!
//! Invariants: log start <= last stable offset <= high watermark <= end offset; offsets and leader epochs only grow; what a
//! commit covered survives the loss of power.

pub mod append;
pub mod check;
pub mod checkpoint;
pub mod close;
pub(crate) mod commit;
pub mod compaction;
pub mod config;
mod confirm;
pub mod damage;
pub mod epoch_cache;
pub mod fault;
pub mod file_name;
pub(crate) mod flush;
mod flush_state;
pub(crate) mod handle;
pub mod leftovers;
pub mod offset_index;
mod open;
mod pace;
pub mod partition_metadata;
pub(crate) mod producer_recovery;
pub mod producer_snapshot;
pub mod producer_state;
mod reach;
pub mod read;
pub mod recovery;
mod recovery_aids;
pub mod retention;
mod roll;
pub mod scrub;
mod segment;
mod segment_index;
mod settle;
mod state;
mod tail;
mod tail_cache;
pub mod time_index;
pub mod time_lookup;
pub mod transaction_index;
mod trash;
pub mod truncate;
pub mod window;

pub use append::{AppendContext, AppendError, Appended};
pub use check::{CheckStart, CheckedSegment, check_segment};
pub use compaction::{CompactError, Compacted};
pub use config::{CleanupPolicy, Durability, LogConfig};
pub use fault::{DiskFault, is_disk_full};
pub use handle::{DeleteRecordsError, FollowerAppendError, Log, ProducerInfo};
pub use producer_state::ProducerError;
pub use reach::{Absent, Reach};
pub use read::{ReadError, ReadSlice};
pub use recovery::{OpenError, OpenState, RecoveryReport, Truncation};
pub use retention::Retained;
pub use scrub::{ScrubRules, Scrubbed};
pub use time_lookup::TimestampOffset;
pub use transaction_index::AbortedTransaction;
pub use truncate::TruncateError;
