//! The metadata log: where the controller's decisions become durable, and where every broker reads them.
//!
//! [`MetaLog`] is one type over several backends, chosen at start; exactly one per cluster. What differs below it is who
//! keeps the bytes and how a deposed controller is kept from writing. State machine, image and tests are shared.

mod batch;
pub mod embedded;
mod error;
pub mod kraft;
pub mod kv;
mod meta_log;
mod plan;
mod quorum;
pub mod shared;
mod url;

pub use batch::LogBatch;
pub use error::{AppendError, DecodeBatchError, LogFault, OpenError, ReadError, SnapshotError};
pub use meta_log::{
    Appended, LeadError, Leadership, Member, MetaLog, Opened, Snapshot, SnapshotId, StoreConfig,
};
pub use plan::{BATCH_BYTES_MAX, Plan, RecordTooLarge};
pub use url::{StoreUrl, StoreUrlError};
