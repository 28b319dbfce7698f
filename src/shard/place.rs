//! What is known of a partition without its log: where it lies, and how the log was left.

use engine::directory::{PartitionCheckpoint, TopicPartition};
use engine::log::OpenState;
use engine::types::{LeaderEpoch, Offset};

use crate::log_dirs::DirIndex;
use crate::partition::Partition;

/// All that an idle partition costs. Small on purpose: there may be very many.
#[derive(Debug)]
pub struct Place {
    pub dir: DirIndex,
    /// `None`: there is nothing on the disk yet, not even a directory.
    pub kept: Option<Box<Kept>>,
}

/// What lies in the partition's directory.
#[derive(Clone, Debug)]
pub struct Kept {
    pub state: OpenState,
    pub high_watermark: Option<Offset>,
    /// Where the log ends and the epoch it ends in, if it was open in this run: a follower whose leader has no more, and a leader
    /// whose followers have all, need not open it.
    pub end: Option<(Offset, LeaderEpoch)>,
    /// `None`: not measured yet.
    pub size_bytes: Option<u64>,
    /// When (wall clock) retention, compaction or recovery should look at it next.
    pub visit_ms: i64,
}

/// Of a directory that may be there, and of which nothing is known.
impl Default for Kept {
    fn default() -> Kept {
        Kept {
            state: OpenState::default(),
            high_watermark: None,
            end: None,
            size_bytes: None,
            visit_ms: i64::MAX,
        }
    }
}

impl Place {
    pub fn new(dir: DirIndex) -> Place {
        Place { dir, kept: None }
    }

    /// Where an open partition lies, and what the checkpoints say of it now.
    pub fn of(partition: &Partition) -> Place {
        let log = &partition.log;
        let kept = Kept {
            state: OpenState {
                clean: false,
                recovery_point: Some(log.recovery_point()),
                log_start: Some(log.start_offset()),
                cleaned: log.cleaned_offset(),
            },
            high_watermark: Some(log.high_watermark()),
            end: Some((log.end_offset(), log.latest_epoch().unwrap_or(LeaderEpoch::NONE))),
            size_bytes: Some(log.size_bytes()),
            visit_ms: i64::MAX,
        };
        Place {
            dir: partition.dir(),
            kept: Some(Box::new(kept)),
        }
    }

    pub fn checkpoint(&self, topic: &str, index: i32) -> Option<PartitionCheckpoint> {
        let kept = self.kept.as_ref()?;
        Some(PartitionCheckpoint {
            partition: TopicPartition::new(topic, index),
            recovery_point: kept.state.recovery_point,
            log_start: kept.state.log_start,
            high_watermark: kept.high_watermark,
            cleaned: kept.state.cleaned,
        })
    }
}
