//! Sizes of a journal.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// How a shard's journal is built and when it is emptied. The defaults are those that were measured (`docs/PERFORMANCE.md`).
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// Size of a file, a multiple of 4096. Smaller: less to write before the first start is ready; a frame must fit into one.
    pub file_bytes: u64,
    /// Files of the ring. They are made as they are needed. More: a checkpoint may take longer before producers wait for it, and
    /// a start after a crash reads more.
    pub files_max: usize,
    /// Writes the disk works on at the same time. More: shorter waits under load, smaller groups.
    pub writes_in_flight_max: usize,
    /// Size at which a group is closed. Larger: fewer, longer writes.
    pub group_bytes_max: usize,
    /// Batches of this size and above are not copied here: their segment is written and synced at once.
    pub direct_bytes: usize,
    /// The same while the journal is behind, with [`Self::backlog_bytes`] to write: then the disk is what appends wait for, and what goes
    /// through the journal goes to the disk twice.
    pub direct_behind_bytes: usize,
    pub backlog_bytes: u64,
    /// Bytes after which a checkpoint syncs the segments. Smaller: less to replay, more syncs.
    pub checkpoint_bytes: u64,
    /// Age of unsynced segments after which a checkpoint syncs them although little was written.
    pub checkpoint_every: Duration,
    /// What the tails of all logs of the shard may hold that their segment files do not.
    pub unwritten_bytes_max: u64,
    /// What the tails of all logs of the shard may keep for readers of what their segment files have.
    pub kept_bytes_max: u64,
    /// Grows with every checkpoint that moved recovery points, and with as many bytes past the journal, of all journals that are given it: whoever writes recovery points to the
    /// checkpoint file does so again. The older the file, the more a start after a crash has to check.
    pub checkpoints_done: Arc<AtomicU64>,
}

impl Default for JournalConfig {
    fn default() -> Self {
        JournalConfig {
            file_bytes: 32 << 20,
            files_max: 8,
            writes_in_flight_max: 4,
            group_bytes_max: 1 << 20,
            direct_bytes: 512 << 10,
            direct_behind_bytes: 32 << 10,
            backlog_bytes: 512 << 10,
            checkpoint_bytes: 64 << 20,
            checkpoint_every: Duration::from_secs(5),
            unwritten_bytes_max: 16 << 20,
            kept_bytes_max: 64 << 20,
            checkpoints_done: Arc::default(),
        }
    }
}
