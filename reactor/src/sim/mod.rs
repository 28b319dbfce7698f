//! The simulated machine: a third filling, whose disk, clock and chance come from one seed.
//!
//! [`run`] runs a future on this thread as [`crate::run`] does. Nothing in it waits for anything real: the clock jumps to
//! the next timer when no task is ready, [`crate::background`] runs its closure on this thread after a simulated delay,
//! files and directories live on a [`SimDisk`], which outlives runs: a crash in one run is followed by recovery in the next.
//! The same seed on an equal disk gives the same run; [`SimDisk::trace_hash`] proves it. The machine has no network.
//!
//! [`seeds`] runs many of them. [`World`] runs many hosts side by side, each with its disk, processes and threads, and a network between them.
//!
//! # The model of the disk
//!
//! **Files** have durable bytes, cached bytes (what reads see) and an ordered list of changes between the two: writes and
//! lengths.
//! - A sync makes the changes issued before it began durable when it resolves. It says nothing about the directory entry.
//! - A failed sync does what the kernel does: each of those changes is on the disk or lost, all of them count as clean,
//!   and the next sync succeeds. Reads go on seeing the cached bytes until the process restarts (or longer, see
//!   [`Faults::lost_pages_stay`]), or lose them at once.
//! - [`crate::DirectFile::write_synced`] is durable when it resolves; in flight at a power cut it is torn at sectors.
//! - A failed write has left nothing or a part.
//!
//! **Directories** have durable entries, cached entries and an ordered list of creations, renames and removals between the
//! two. `sync_dir` makes them durable; a random prefix of them may become so at any time. A rename within a directory is
//! one change, so it is atomic. One between two directories makes what is pending in both of them durable, and itself.
//!
//! **Power cut**: every pending change of a file is kept, lost or torn at 512-byte sectors, independently of the others
//! (so writes are reordered); a sector that is kept is as the page cache had it. Lengths change in order: some prefix
//! of them is kept. Of the pending changes of every directory a random prefix is kept. Files without a name are gone.
//!
//! **Kill** of the process (`kill -9`): nothing that was written is lost; a direct write in flight is there or is not.
//!
//! **Faults**, each with a probability in [`Faults`]: failing reads, writes and syncs. Besides: a full disk
//! ([`SimDisk::set_limit`]), bit rot ([`SimDisk::flip_bit`]), a slow disk ([`Latency`]).
//!
//! What halts the machine does so between two operations; operations are counted that change something or sync. From then
//! on every operation fails without any effect, no other task is polled, and all are dropped.

mod chance;
mod config;
mod content;
mod direct;
mod directory;
mod disk;
mod driver;
mod file;
mod machine;
mod namespace;
mod net;
mod run;
pub mod seeds;
#[cfg(test)]
mod tests;
mod trace;
mod world;

pub use chance::Chance;
pub use config::{Faults, Halt, HaltAfter, Latency, SimConfig};
pub use disk::SimDisk;
pub use driver::trace_line;
pub use machine::Counts;
pub use net::{HostId, LinkSpeed, NetConfig, NetCounts, ProcessId};
pub use run::{Outcome, run};
pub use world::{Ended, Stuck, World, WorldConfig};

pub(crate) use driver::{Driver, current_disk, current_net, current_place, current_process, helper_delay};
pub(crate) use file::SimFile;
pub(crate) use namespace::SimLock;
pub(crate) use net::{SimEnd, SimListener, SimSocket};
pub(crate) use world::{SimThread, start_thread};
