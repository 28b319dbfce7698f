//! `ringlog log verify`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use engine::directory::{MetaProperties, OffsetCheckpoint};
use engine::log::epoch_cache::EpochCache;
use engine::log::file_name::LEADER_EPOCH_CHECKPOINT;
use engine::log::{partition_metadata, producer_snapshot};
use engine::types::Offset;
use serde_json::{Value, json};

use super::derived;
use super::dump::read;
use super::files::{self, Kind, LogFile};
use super::finding::Findings;
use super::verify_directory::Directories;
use super::verify_journal::Journal;
use super::verify_quarantine;
use super::verify_segment::{Reached, Segment};
use crate::cli::{CliError, output};

#[derive(Debug, Args)]
pub struct Verify {
    /// A file, a partition's directory or a data directory. Of a running broker, the end of a log may look cut.
    #[arg(value_name = "DIR-or-FILE", required = true)]
    paths: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(self) -> Result<(), CliError> {
        let mut findings = Findings::default();
        let mut count = 0;
        for path in &self.paths {
            let found = files::find(path)?;
            count += found.len();
            verify(found, &mut findings)?;
        }
        let json = || {
            let found: Vec<Value> = findings.0.iter().map(super::finding::Finding::to_json).collect();
            json!({"files": count, "findings": found})
        };
        let text = || match findings.0.is_empty() {
            true => format!("{count} files, nothing wrong"),
            false => findings
                .0
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n"),
        };
        output::emit(self.json, json, text);
        match findings.0.len() {
            0 => Ok(()),
            findings => Err(CliError::Damaged {
                findings,
                files: count,
            }),
        }
    }
}

/// Segments go in the order of their names, so that each is checked against the one before it.
fn verify(files: Vec<LogFile>, findings: &mut Findings) -> Result<(), CliError> {
    let mut seen = Seen::default();
    for file in files {
        seen.verify(&file, findings)?;
    }
    for journal in seen.journals.values() {
        journal.finish(findings);
    }
    seen.directories.finish(findings);
    Ok(())
}

/// What the files before have told, by directory.
#[derive(Default)]
struct Seen {
    reached: BTreeMap<PathBuf, Reached>,
    epochs: BTreeMap<PathBuf, Option<EpochCache>>,
    journals: BTreeMap<PathBuf, Journal>,
    directories: Directories,
}

impl Seen {
    fn verify(&mut self, file: &LogFile, findings: &mut Findings) -> Result<(), CliError> {
        let path = &file.path;
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        match file.kind {
            Kind::Segment { base_offset } => {
                let epochs = self.epochs.entry(dir.clone());
                let segment = Segment {
                    path,
                    base_offset,
                    content: file.content,
                    epochs: epochs.or_insert_with(|| leader_epochs(&dir)).as_ref(),
                };
                let before = self.reached.get(&dir).copied().unwrap_or_default();
                let after = segment.verify(before, findings)?;
                self.directories.add_end(path, after.next_offset);
                self.reached.insert(dir, after);
            }
            Kind::MetadataSnapshot => {
                let base_offset = Offset::ZERO;
                let segment = Segment {
                    path,
                    base_offset,
                    content: file.content,
                    epochs: None,
                };
                segment.verify(Reached::default(), findings)?;
            }
            // checked beside their segment
            Kind::OffsetIndex { .. } | Kind::TimeIndex { .. } => {
                if !reactor::disk::exists(&path.with_extension("log")) {
                    findings.unreadable(path, None, "index", "its segment does not exist");
                }
            }
            Kind::TransactionIndex { base_offset } => verify_transactions(path, base_offset, findings)?,
            Kind::Quarantine { base_offset } => verify_quarantine::verify(path, base_offset, findings)?,
            Kind::ProducerSnapshot { offset } => verify_producers(path, offset, findings)?,
            Kind::LeaderEpochs => {
                if let Err(error) = EpochCache::parse(&read(path)?) {
                    findings.unreadable(path, None, "leader epochs", error);
                }
            }
            Kind::PartitionMetadata => match partition_metadata::parse(&read(path)?) {
                Ok(id) => self.directories.add_topic_id(path, id, findings),
                Err(error) => findings.unreadable(path, None, "partition metadata", error),
            },
            Kind::OffsetCheckpoint(kind) => match OffsetCheckpoint::parse(&read(path)?) {
                Ok(checkpoint) => self.directories.add_checkpoint(path, kind, checkpoint),
                Err(error) => findings.unreadable(path, None, "checkpoint", error),
            },
            Kind::Journal => self.journals.entry(dir).or_default().add_file(path, findings)?,
            Kind::MetaProperties => {
                if let Err(error) = MetaProperties::parse(&read(path)?) {
                    findings.unreadable(path, None, "properties", error);
                }
            }
            // that it is there is what counts
            Kind::CleanShutdown => self.directories.add_clean_stop(path),
            Kind::TopicIds => {
                if let Err(error) = derived::topic_ids(&read(path)?) {
                    findings.unreadable(path, None, "topic ids", error);
                }
            }
        }
        Ok(())
    }
}

/// A snapshot tells of what lies before its offset; one of another partition gives itself away by telling more.
fn verify_producers(path: &Path, offset: Offset, findings: &mut Findings) -> Result<(), CliError> {
    let entries = match producer_snapshot::parse(&read(path)?) {
        Ok(entries) => entries,
        Err(error) => {
            findings.unreadable(path, None, "producer snapshot", error);
            return Ok(());
        }
    };
    for (number, (_, entry)) in (0u64..).zip(entries) {
        let last = entry.last_batch().map(|batch| batch.last_offset);
        for found in [last, entry.current_transaction_start].into_iter().flatten() {
            if found >= offset {
                let position = producer_snapshot::HEADER_BYTES as u64
                    + number.saturating_mul(producer_snapshot::ENTRY_BYTES as u64);
                let expected = format!("below {offset}");
                findings.differs(path, position, "offset of a producer", expected, found);
            }
        }
    }
    Ok(())
}

fn verify_transactions(path: &Path, base_offset: Offset, findings: &mut Findings) -> Result<(), CliError> {
    let (entries, remainder) = derived::transaction_entries(&read(path)?);
    if let Some(remainder) = remainder {
        let end = (entries.len() * derived::TRANSACTION_ENTRY_BYTES) as u64;
        findings.differs(path, end, "bytes after the last entry", 0, remainder.0);
    }
    let mut before = base_offset;
    for (number, entry) in (0u64..).zip(entries) {
        let position = number.saturating_mul(derived::TRANSACTION_ENTRY_BYTES as u64);
        if entry.version != 0 {
            findings.differs(path, position, "version of the entry", 0, entry.version);
        }
        if entry.last_offset < before {
            let expected = format!("at least {before}");
            findings.differs(path, position, "last offset", expected, entry.last_offset);
        }
        if entry.first_offset > entry.last_offset {
            let expected = format!("at most {}", entry.last_offset);
            findings.differs(path, position, "first offset", expected, entry.first_offset);
        }
        before = before.max(entry.last_offset);
    }
    Ok(())
}

/// `None` if there is no checkpoint, or none that can be read, which is a finding of its own.
fn leader_epochs(dir: &Path) -> Option<EpochCache> {
    let bytes = reactor::disk::read(&dir.join(LEADER_EPOCH_CHECKPOINT)).ok()?;
    EpochCache::parse(&bytes)
        .ok()
        .filter(|cache| !cache.entries().is_empty())
}

#[cfg(test)]
mod tests;
