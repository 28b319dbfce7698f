//! Opening a log: recovery on a helper thread, then the state it found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::config::LogConfig;
use super::flush_state::FlushState;
use super::handle::Log;
use super::read::ReadMemos;
use super::recovery::{self, Loaded, OpenError, OpenState, RecoveryReport, RecoveryRules};
use super::roll::jitter_ms;
use super::segment::Segment;
use super::state::{ActiveSegment, JournalPort, State};
use super::tail_cache::TailCache;
use crate::journal::Journal;
use crate::types::{Offset, Timestamp};

impl Log {
    /// Opens the log in `dir`, a directory named `topic-partition` that is made if it is not there. The caller holds the
    /// data directory's lock.
    ///
    /// With a journal, which is that of the directory and shard, commits wait for it; it needs a `partition.metadata` to name
    /// the topic by. Without one they sync the segment.
    ///
    /// The high watermark begins at log start: the caller knows better.
    pub async fn open(
        dir: &Path,
        config: Rc<LogConfig>,
        start: OpenState,
        journal: Option<&Journal>,
    ) -> Result<(Log, RecoveryReport), OpenError> {
        let now = State::now();
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or("?");
        let partition: Arc<str> = Arc::from(name);
        let rules = RecoveryRules::of(&config, now);
        let loaded = {
            let (dir, partition) = (dir.to_owned(), partition.clone());
            reactor::background(move || recovery::load(&dir, &partition, start, rules)).await?
        };
        let journal = journal.zip(loaded.topic_id).and_then(|(journal, topic_id)| {
            Some(JournalPort {
                journal: journal.clone(),
                topic_id,
                partition: name.rsplit_once('-')?.1.parse().ok()?,
            })
        });
        let report = loaded.report.clone();
        let identity = Identity {
            dir: dir.to_owned(),
            partition,
            config,
            journal,
            cleaned_to: start.cleaned,
            segment_ids_used: 0,
        };
        Ok((Log::from_state(identity.state_of(loaded, now)), report))
    }
}

/// What of a log's state does not come from its files.
pub(super) struct Identity {
    pub(super) dir: PathBuf,
    pub(super) partition: Arc<str>,
    pub(super) config: Rc<LogConfig>,
    pub(super) journal: Option<JournalPort>,
    pub(super) cleaned_to: Option<Offset>,
    pub(super) segment_ids_used: u64,
}

impl Identity {
    pub(super) fn state_of(self, loaded: Loaded, now: Timestamp) -> State {
        let mut next_segment_id = self.segment_ids_used;
        let mut segment = |found: &recovery::Found| {
            next_segment_id += 1;
            Segment::new(next_segment_id, found.base_offset, found.size_bytes)
        };
        let closed: BTreeMap<_, _> = loaded
            .closed
            .iter()
            .map(|found| (found.base_offset, segment(found)))
            .collect();
        let active = ActiveSegment {
            segment: segment(&loaded.active),
            index: loaded.active_index,
            created: now,
            allocated_bytes: loaded.active.size_bytes,
            jitter_ms: jitter_ms(&self.config),
            tail: TailCache::new(loaded.active.size_bytes),
            saved_index: (0, 0),
            aided_bytes: 0,
            handed_to_disk: loaded.active.size_bytes,
        };
        let mut flush = FlushState::new(loaded.end_offset);
        if loaded.has_epoch_file {
            flush.note_epoch_file();
        } else if !loaded.epochs.entries().is_empty() {
            flush.defer_epochs();
        }
        let state = State {
            dir: self.dir,
            partition: self.partition,
            topic_id: loaded.topic_id,
            config: self.config,
            closed,
            active,
            log_start: loaded.log_start,
            end_offset: loaded.end_offset,
            high_watermark: loaded.log_start,
            epochs: loaded.epochs,
            producers: loaded.producers,
            snapshots: loaded.snapshots,
            flush,
            journal: self.journal,
            aid_snapshots: Vec::new(),
            is_newly_dirty: false,
            is_newly_unsettled: false,
            fault: None,
            is_short_of_room: false,
            memos: ReadMemos::default(),
            cleaned_to: self.cleaned_to.filter(|cleaned| *cleaned <= loaded.end_offset),
            is_compacting: false,
            compaction_stop: None,
            transactions: loaded.transactions,
            quarantines: loaded.quarantines,
            next_segment_id,
        };
        state.assert_invariants();
        state
    }
}
