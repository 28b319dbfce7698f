//! The files that speak for a whole data directory, against its partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use engine::directory::{DirName, OffsetCheckpoint, TopicPartition};
use engine::types::Offset;
use uuid::Uuid;

use super::files::OffsetKind;
use super::finding::Findings;

/// What has been seen of all data directories, by absolute path.
#[derive(Debug, Default)]
pub struct Directories {
    /// The id of a topic, and the file of the first partition that told it.
    topic_ids: BTreeMap<(PathBuf, String), (Uuid, PathBuf)>,
    ends: BTreeMap<(PathBuf, TopicPartition), Offset>,
    checkpoints: Vec<(PathBuf, OffsetKind, OffsetCheckpoint)>,
    stopped_cleanly: BTreeSet<PathBuf>,
}

impl Directories {
    /// All partitions of a topic have its id. One that has another belongs to an earlier topic of that name, or to
    /// somebody else.
    pub fn add_topic_id(&mut self, metadata: &Path, found: Uuid, findings: &mut Findings) {
        let Some((directory, partition)) = place_of(metadata) else {
            return;
        };
        let (expected, first) = self
            .topic_ids
            .entry((directory, partition.topic))
            .or_insert_with(|| (found, metadata.to_owned()));
        if *expected != found {
            let to_text = engine::log::partition_metadata::to_base64;
            let expected = format!("{} as in {}", to_text(*expected), first.display());
            findings.differs(metadata, 0, "topic id", expected, to_text(found));
        }
    }

    /// Where the log of the partition ends that a segment belongs to.
    pub fn add_end(&mut self, segment: &Path, end: Offset) {
        if let Some(place) = place_of(segment) {
            self.ends.insert(place, end);
        }
    }

    pub fn add_checkpoint(&mut self, path: &Path, kind: OffsetKind, checkpoint: OffsetCheckpoint) {
        self.checkpoints.push((path.to_owned(), kind, checkpoint));
    }

    pub fn add_clean_stop(&mut self, marker: &Path) {
        self.stopped_cleanly.extend(directory_of(marker));
    }

    /// After a clean stop no checkpoint is ahead of its log. After a crash one may be: the journal has the rest.
    pub fn finish(&self, findings: &mut Findings) {
        for (path, kind, checkpoint) in &self.checkpoints {
            let Some(directory) = directory_of(path).filter(|dir| self.stopped_cleanly.contains(dir)) else {
                continue;
            };
            let of = match kind {
                OffsetKind::RecoveryPoint => "recovery point of a partition",
                OffsetKind::LogStart => "log start offset of a partition",
                OffsetKind::HighWatermark => "high watermark of a partition",
                OffsetKind::Cleaned => "cleaned offset of a partition",
            };
            for (partition, offset) in &checkpoint.0 {
                let Some(end) = self.ends.get(&(directory.clone(), partition.clone())) else {
                    continue;
                };
                if offset > end {
                    let expected = format!("at most {end}, the end of {partition}");
                    findings.differs(path, 0, of, expected, offset);
                }
            }
        }
    }
}

fn directory_of(path: &Path) -> Option<PathBuf> {
    Some(std::path::absolute(path).ok()?.parent()?.to_owned())
}

/// Data directory and partition of a file in a partition's directory.
fn place_of(path: &Path) -> Option<(PathBuf, TopicPartition)> {
    let dir = directory_of(path)?;
    match DirName::parse(dir.file_name()?.to_str()?) {
        DirName::Partition(partition) => Some((dir.parent()?.to_owned(), partition)),
        DirName::Deleted | DirName::Future | DirName::Other => None,
    }
}
