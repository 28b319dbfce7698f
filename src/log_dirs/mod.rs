//! `log.dirs`: the directories of a running broker - whose they are, what lies where, how the logs were left, and the
//! checkpoints that say so the next time.
//!
//! Each directory stands for itself: its own lock, `meta.properties`, checkpoints and mark of a clean stop. One that fails takes
//! its own partitions with it and nothing else; only the first, which has the metadata log, is needed for anything.

mod adoption;
mod checkpoints;
mod directories;
mod error;
mod found;
mod locked;
mod replay;
mod set;
mod store_mark;
mod watch;

pub use adoption::adopt_node_id;
pub use checkpoints::{Checkpoint, keep_checkpoints, write_checkpoints};
pub use directories::Directories;
pub use error::DirectoryError;
pub use locked::Locked;
pub use replay::replay_journals;
pub use set::{Assigned, DirIndex, LogDir, LogDirs};
pub use watch::{metadata_lost, watch, watch_room};
