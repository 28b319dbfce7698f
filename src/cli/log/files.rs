//! Which files of a data directory can be shown and checked.

use std::path::{Path, PathBuf};

use engine::journal::format;
use engine::log::file_name::{FileKind, FileName, LEADER_EPOCH_CHECKPOINT, PARTITION_METADATA, Suffix};
use engine::types::Offset;

use super::content::Content;
use crate::cli::CliError;

/// A data directory holds partitions, and journals in `ringlog-journal/shard-<n>`; deeper is somebody else's.
const DEPTH_MAX: usize = 3;
const META_PROPERTIES: &str = "meta.properties";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
const TOPIC_IDS: &str = "ringlog-checkpoint-topic-ids";
const OFFSET_CHECKPOINTS: [(&str, OffsetKind); 4] = [
    ("recovery-point-offset-checkpoint", OffsetKind::RecoveryPoint),
    ("log-start-offset-checkpoint", OffsetKind::LogStart),
    ("replication-offset-checkpoint", OffsetKind::HighWatermark),
    ("cleaner-offset-checkpoint", OffsetKind::Cleaned),
];

/// What the offsets of a checkpoint file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetKind {
    RecoveryPoint,
    LogStart,
    HighWatermark,
    Cleaned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Segment {
        base_offset: Offset,
    },
    OffsetIndex {
        base_offset: Offset,
    },
    TimeIndex {
        base_offset: Offset,
    },
    TransactionIndex {
        base_offset: Offset,
    },
    ProducerSnapshot {
        offset: Offset,
    },
    /// What the scrubber found bad in a segment.
    Quarantine {
        base_offset: Offset,
    },
    /// A snapshot of the metadata log: batches, as in a segment.
    MetadataSnapshot,
    LeaderEpochs,
    PartitionMetadata,
    OffsetCheckpoint(OffsetKind),
    Journal,
    MetaProperties,
    /// Tells that the broker stopped cleanly.
    CleanShutdown,
    /// Which topics the checkpoints of a data directory are about.
    TopicIds,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    pub path: PathBuf,
    pub kind: Kind,
    pub content: Content,
}

impl LogFile {
    /// `None` for files of another kind.
    fn recognise(path: &Path) -> Option<LogFile> {
        let name = path.file_name()?.to_str()?;
        let kind = match FileName::parse(name) {
            Some(FileName {
                base_offset, kind, ..
            }) => match kind {
                FileKind::Log => Kind::Segment { base_offset },
                FileKind::OffsetIndex => Kind::OffsetIndex { base_offset },
                FileKind::TimeIndex => Kind::TimeIndex { base_offset },
                FileKind::TransactionIndex => Kind::TransactionIndex { base_offset },
                FileKind::Quarantine => Kind::Quarantine { base_offset },
                FileKind::ProducerSnapshot => Kind::ProducerSnapshot { offset: base_offset },
            },
            None if name == LEADER_EPOCH_CHECKPOINT => Kind::LeaderEpochs,
            None if name == PARTITION_METADATA => Kind::PartitionMetadata,
            None if name == META_PROPERTIES => Kind::MetaProperties,
            None if name == CLEAN_SHUTDOWN => Kind::CleanShutdown,
            None if name == TOPIC_IDS => Kind::TopicIds,
            None if is_metadata_snapshot(name) => Kind::MetadataSnapshot,
            None if format::file_number(name).is_some() => Kind::Journal,
            None => {
                let of = OFFSET_CHECKPOINTS.iter().find(|(known, _)| *known == name);
                Kind::OffsetCheckpoint(of?.1)
            }
        };
        let directory = path
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        let content = match kind {
            Kind::MetadataSnapshot => Content::Metadata,
            _ => Content::of_directory(directory.unwrap_or_default()),
        };
        Some(LogFile {
            path: path.to_owned(),
            kind,
            content,
        })
    }
}

/// `%020d-%010d.checkpoint`
fn is_metadata_snapshot(name: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_suffix(".checkpoint")
        .and_then(|name| name.split_once('-'))
        .is_some_and(|(offset, epoch)| digits(offset, 20) && digits(epoch, 10))
}

/// The file, or all files below the directory, in the order of their names.
pub fn find(path: &Path) -> Result<Vec<LogFile>, CliError> {
    let mut found = Vec::new();
    match reactor::disk::read_dir(path) {
        Ok(_) => collect(path, DEPTH_MAX, &mut found)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            // a relative name has no directory that would tell the topic
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let Some(file) = LogFile::recognise(&whole) else {
                return Err(CliError::Usage(format!(
                    "{} is no file of a log, by its name",
                    path.display()
                )));
            };
            found.push(LogFile {
                path: path.to_owned(),
                ..file
            });
        }
        Err(source) => {
            return Err(CliError::File {
                path: path.to_owned(),
                source,
            });
        }
    }
    if found.is_empty() {
        return Err(CliError::Usage(format!(
            "no files of a log below {}",
            path.display()
        )));
    }
    Ok(found)
}

fn collect(dir: &Path, depth: usize, found: &mut Vec<LogFile>) -> Result<(), CliError> {
    let entries = reactor::disk::read_dir(dir);
    let mut entries = entries.map_err(|source| CliError::File {
        path: dir.to_owned(),
        source,
    })?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    for entry in entries {
        let path = dir.join(&entry.name);
        if !entry.is_dir {
            let is_leaving = FileName::parse(&entry.name).is_some_and(|name| name.suffix != Suffix::Live);
            if is_leaving {
                continue; // replaced, or not complete yet: another file says the same, or more
            }
            let file = LogFile::recognise(&absolute.join(&entry.name));
            found.extend(file.map(|file| LogFile { path, ..file }));
        } else if depth > 1 {
            collect(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_name_and_directory() {
        let kind = |path: &str| LogFile::recognise(Path::new(path)).map(|file| (file.kind, file.content));
        let base_offset = Offset(42);
        let segment = "00000000000000000042.log";
        assert_eq!(
            kind(&format!("d/t-0/{segment}")),
            Some((Kind::Segment { base_offset }, Content::Plain))
        );
        assert_eq!(
            kind(&format!("d/__cluster_metadata-0/{segment}")),
            Some((Kind::Segment { base_offset }, Content::Metadata))
        );
        assert_eq!(
            kind(&format!("/d/__consumer_offsets-12/{segment}")),
            Some((Kind::Segment { base_offset }, Content::GroupOffsets))
        );
        assert_eq!(
            kind("d/t-0/00000000000000000042.quarantine"),
            Some((Kind::Quarantine { base_offset }, Content::Plain))
        );
        assert_eq!(
            kind("x/00000000000000000042-0000000003.checkpoint"),
            Some((Kind::MetadataSnapshot, Content::Metadata))
        );
        assert_eq!(
            kind("t-0/leader-epoch-checkpoint"),
            Some((Kind::LeaderEpochs, Content::Plain))
        );
        assert_eq!(
            kind("d/ringlog-journal/shard-0/00000007.journal"),
            Some((Kind::Journal, Content::Plain))
        );
        assert_eq!(
            kind("d/replication-offset-checkpoint").map(|(kind, _)| kind),
            Some(Kind::OffsetCheckpoint(OffsetKind::HighWatermark))
        );
        assert_eq!(kind("d/.lock"), None);
        assert_eq!(kind("00000000000000000042-x.checkpoint"), None);
    }
}
