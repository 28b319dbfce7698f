//! `ringlog log verify`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use engine::log::epoch_cache::EpochCache;
use engine::log::file_name::LEADER_EPOCH_CHECKPOINT;
use engine::log::{checkpoint, partition_metadata, producer_snapshot};
use serde_json::{Value, json};

use super::dump::read;
use super::files::{self, Kind, LogFile};
use super::finding::Findings;
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
    let mut reached: BTreeMap<PathBuf, Reached> = BTreeMap::new();
    let mut epochs: BTreeMap<PathBuf, Option<EpochCache>> = BTreeMap::new();
    for file in files {
        let dir = file.path.parent().unwrap_or(Path::new("")).to_owned();
        match file.kind {
            Kind::Segment { base_offset } => {
                let epochs = epochs.entry(dir.clone()).or_insert_with(|| leader_epochs(&dir));
                let segment = Segment {
                    path: &file.path,
                    base_offset,
                    content: file.content,
                    epochs: epochs.as_ref(),
                };
                let before = reached.get(&dir).copied().unwrap_or_default();
                let after = segment.verify(before, findings)?;
                reached.insert(dir, after);
            }
            Kind::MetadataSnapshot => {
                let base_offset = engine::types::Offset::ZERO;
                let segment = Segment {
                    path: &file.path,
                    base_offset,
                    content: file.content,
                    epochs: None,
                };
                segment.verify(Reached::default(), findings)?;
            }
            // checked beside their segment
            Kind::OffsetIndex { .. } | Kind::TimeIndex { .. } => {
                let segment = file.path.with_extension("log");
                if !reactor::disk::exists(&segment) {
                    findings.unreadable(&file.path, None, "index", "its segment does not exist");
                }
            }
            Kind::TransactionIndex => {
                if let Some(remainder) = super::derived::transaction_entries(&read(&file.path)?).1 {
                    findings.differs(&file.path, 0, "bytes after the last entry", 0, remainder.0);
                }
            }
            Kind::ProducerSnapshot => {
                if let Err(error) = producer_snapshot::parse(&read(&file.path)?) {
                    findings.unreadable(&file.path, None, "producer snapshot", error);
                }
            }
            Kind::LeaderEpochs => {
                if let Err(error) = EpochCache::parse(&read(&file.path)?) {
                    findings.unreadable(&file.path, None, "leader epochs", error);
                }
            }
            Kind::PartitionMetadata => {
                if let Err(error) = partition_metadata::parse(&read(&file.path)?) {
                    findings.unreadable(&file.path, None, "partition metadata", error);
                }
            }
            Kind::OffsetCheckpoint => {
                if let Err(error) = checkpoint::parse_lines(&read(&file.path)?, 0) {
                    findings.unreadable(&file.path, None, "checkpoint", error);
                }
            }
        }
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
mod tests {
    use super::*;
    use engine::batch::{BatchBuilder, Codec};
    use engine::types::{LeaderEpoch, Offset, Timestamp};

    /// A partition of two segments with an index, as a broker would leave it.
    struct Partition {
        dir: tempfile::TempDir,
        /// Position of each batch of the first segment.
        positions: Vec<u64>,
    }

    fn batch(base: i64, epoch: i32) -> Vec<u8> {
        let mut batch = BatchBuilder::new(Offset(base))
            .leader_epoch(LeaderEpoch(epoch))
            .compression(Codec::Lz4);
        for at in 0..10 {
            batch.append(
                Timestamp(1_000 + base + at),
                Some(b"key"),
                Some(b"a value that is long enough"),
            );
        }
        batch.build().unwrap().to_vec()
    }

    impl Partition {
        fn new() -> Partition {
            let dir = tempfile::tempdir().unwrap();
            let mut partition = Partition {
                dir,
                positions: Vec::new(),
            };
            let (mut log, mut index, mut times) = (Vec::new(), Vec::new(), Vec::new());
            for base in [0, 10, 20] {
                let position = log.len() as u32;
                partition.positions.push(position.into());
                log.extend(batch(base, base as i32 / 20));
                let last = base as u32 + 9;
                index.extend([last.to_be_bytes(), position.to_be_bytes()].concat());
                times.extend((1_000 + base + 9).to_be_bytes());
                times.extend(last.to_be_bytes());
            }
            partition.write("00000000000000000000.log", &log);
            partition.write("00000000000000000000.index", &index);
            partition.write("00000000000000000000.timeindex", &times);
            partition.write("00000000000000000030.log", &batch(30, 1));
            partition.write("leader-epoch-checkpoint", b"0\n2\n0 0\n1 20\n");
            partition
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            std::fs::write(self.path(name), bytes).unwrap();
        }

        fn damage(&self, name: &str, at: usize) {
            let mut bytes = std::fs::read(self.path(name)).unwrap();
            bytes[at] ^= 1;
            self.write(name, &bytes);
        }

        fn findings(&self) -> Vec<String> {
            let mut findings = Findings::default();
            verify(files::find(self.dir.path()).unwrap(), &mut findings).unwrap();
            let prefix = format!("{}/", self.dir.path().display());
            findings
                .0
                .iter()
                .map(|finding| finding.to_string().replace(&prefix, ""))
                .collect()
        }
    }

    #[test]
    fn a_sound_partition_has_no_findings() {
        assert_eq!(Partition::new().findings(), Vec::<String>::new());
    }

    #[test]
    fn every_flipped_byte_of_a_batch_behind_its_length_is_found() {
        let partition = Partition::new();
        let batch_bytes = partition.positions[1] as usize;
        for at in (0..batch_bytes).filter(|at| !(8..12).contains(at)) {
            partition.damage("00000000000000000000.log", at);
            assert!(!partition.findings().is_empty(), "byte {at}");
            partition.damage("00000000000000000000.log", at);
        }
    }

    #[test]
    fn findings_name_file_position_expected_and_found() {
        let partition = Partition::new();
        let second = partition.positions[1];
        partition.damage("00000000000000000000.log", second as usize + 70);
        let [finding] = &partition.findings()[..] else {
            panic!("one finding")
        };
        let start = format!("00000000000000000000.log: position {second}: CRC: expected 0x");
        assert!(
            finding.starts_with(&start) && finding.contains(", found 0x"),
            "{finding}"
        );
    }

    #[test]
    fn a_torn_tail_and_stale_indexes_are_found() {
        let partition = Partition::new();
        let log = std::fs::read(partition.path("00000000000000000000.log")).unwrap();
        partition.write("00000000000000000000.log", &log[..log.len() - 5]);
        let third = partition.positions[2];
        let findings = partition.findings();
        let start = format!("00000000000000000000.log: position {third}: size of the batch: expected ");
        assert!(
            findings.iter().any(|finding| finding.starts_with(&start)),
            "{findings:?}"
        );

        partition.write("00000000000000000000.log", &log[..third as usize]);
        let findings = partition.findings();
        assert!(
            findings
                .iter()
                .any(|finding| finding.starts_with("00000000000000000000.index: position 16"))
        );

        partition.write("00000000000000000000.log", &log);
        partition.damage("00000000000000000000.index", 3);
        partition.damage("00000000000000000000.timeindex", 7);
        let findings = partition.findings();
        let expected = [
            "00000000000000000000.index: position 0: offset of the entry: expected 9, found 8",
            "00000000000000000000.timeindex: position 0: timestamp, the greatest of its batch: expected 1009, found 1008",
        ];
        assert_eq!(findings, expected);
    }

    #[test]
    fn offsets_and_epochs_that_fall_are_found() {
        let partition = Partition::new();
        partition.write("00000000000000000030.log", &batch(25, 0));
        let findings = partition.findings();
        let expected = [
            "00000000000000000030.log: position 0: base offset: expected at least 30, found 25",
            "00000000000000000030.log: position 0: leader epoch: expected at least 1, found 0",
            "00000000000000000030.log: position 0: leader epoch, by the checkpoint: expected 1, found 0",
        ];
        assert_eq!(findings, expected);
    }

    #[test]
    fn unreadable_snapshots_and_checkpoints_are_found() {
        let partition = Partition::new();
        partition.write("00000000000000000030.snapshot", b"junk");
        partition.write("leader-epoch-checkpoint", b"0\n9\n0 0\n");
        partition.write("partition.metadata", b"version: 7\n");
        assert_eq!(partition.findings().len(), 3);
    }
}
