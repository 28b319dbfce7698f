//! The journal of a shard: one synced write for the appends of all its partitions, before their segments are synced.
//!
//! In the order of first reading: [`Journal`] is the handle and tells the contract, `shared` its state, `writer` the group
//! commit, `checkpoint` how files become free, `settle` how segments follow, [`replay()`] the start after a crash.
//! [`format`](mod@format) draws the files, [`scan`] finds the frames of one.
//!
//! ```text
//! append -> group (memory) -> frame (O_DIRECT, RWF_DSYNC) -> durable: commit resolves
//!       \-> tail (memory) --settle--> segment (page cache) --checkpoint--> synced: recovery point, files free
//! ```

mod checkpoint;
mod config;
mod error;
mod files;
pub mod format;
mod group;
mod handle;
mod owner;
pub mod replay;
pub mod scan;
mod settle;
mod shared;
mod target;
mod writer;

pub use config::JournalConfig;
pub use error::JournalError;
pub use files::{FILE_EXTENSION, JOURNAL_DIR, shard_dir};
pub use handle::Journal;
pub use owner::Owner;
pub use replay::{Replayed, replay};
pub use shared::Figures;
