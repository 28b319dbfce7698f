//! `ringlog log dump`.

use std::path::{Path, PathBuf};

use clap::Args;
use engine::directory::{MetaProperties, OffsetCheckpoint};
use engine::log::epoch_cache::EpochCache;
use engine::log::scrub::Quarantine;
use engine::log::{partition_metadata, producer_snapshot};
use serde_json::{Value, json};

use super::files::{self, Kind, LogFile};
use super::{derived, dump_journal, dump_segment};
use crate::cli::CliError;
use crate::cli::output::{self, Table, time};

#[derive(Debug, Args)]
pub struct Dump {
    /// A file, a partition's directory or a data directory.
    #[arg(value_name = "DIR-or-FILE", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    pub detail: Detail,
    /// Print one JSON object a line: per batch, or per entry.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Detail {
    /// Show records, too: decompressed, and decoded where they are Kafka's own.
    #[arg(long, short)]
    pub records: bool,
    /// Show so many bytes of a key or value.
    #[arg(long, value_name = "BYTES", default_value_t = 120)]
    pub value_bytes: usize,
    /// Show only batches and records from this offset on.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub from: i64,
}

impl Dump {
    pub fn run(self) -> Result<(), CliError> {
        let mut failed = 0;
        let mut total = 0;
        for path in &self.paths {
            for file in files::find(path)? {
                total += 1;
                if !self.json {
                    output::line(&format!("{}", file.path.display()));
                }
                if let Err(error) = self.show(&file) {
                    failed += 1;
                    eprintln!("ringlog: {error}");
                }
            }
        }
        match failed {
            0 => Ok(()),
            failed => Err(CliError::Some {
                failed,
                total,
                what: "files",
            }),
        }
    }

    fn show(&self, file: &LogFile) -> Result<(), CliError> {
        let table = match file.kind {
            Kind::Segment { .. } | Kind::MetadataSnapshot => {
                return dump_segment::show(file, &self.detail, self.json);
            }
            Kind::Journal => return dump_journal::show(file, &self.detail, self.json),
            Kind::OffsetIndex { base_offset } => {
                let mut table = Table::new(["OFFSET", "POSITION"]);
                for entry in derived::offset_entries(base_offset, &read(&file.path)?).0 {
                    table.row([json!(entry.offset.0), json!(entry.position)]);
                }
                table
            }
            Kind::TimeIndex { base_offset } => {
                let mut table = Table::new(["TIMESTAMP", "TIME", "OFFSET"]);
                for entry in derived::time_entries(base_offset, &read(&file.path)?).0 {
                    let ms = entry.timestamp.0;
                    table.row([json!(ms), json!(time::format(ms)), json!(entry.offset.0)]);
                }
                table
            }
            Kind::TransactionIndex { .. } => {
                let mut table = Table::new(["PRODUCER", "FIRST OFFSET", "LAST OFFSET", "LAST STABLE OFFSET"]);
                for entry in derived::transaction_entries(&read(&file.path)?).0 {
                    table.row([
                        json!(entry.producer_id),
                        json!(entry.first_offset.0),
                        json!(entry.last_offset.0),
                        json!(entry.last_stable_offset.0),
                    ]);
                }
                table
            }
            Kind::ProducerSnapshot { .. } => producers(&file.path)?,
            Kind::Quarantine { .. } => bad_ranges(&file.path)?,
            Kind::LeaderEpochs => {
                let cache =
                    EpochCache::parse(&read(&file.path)?).map_err(|error| damaged(&file.path, error))?;
                let mut table = Table::new(["EPOCH", "FIRST OFFSET"]);
                for entry in cache.entries() {
                    table.row([json!(entry.epoch.0), json!(entry.start_offset.0)]);
                }
                table
            }
            Kind::PartitionMetadata => {
                let id = partition_metadata::parse(&read(&file.path)?)
                    .map_err(|error| damaged(&file.path, error))?;
                let mut table = Table::new(["TOPIC ID"]);
                table.row([json!(partition_metadata::to_base64(id))]);
                table
            }
            Kind::OffsetCheckpoint(_) => offsets(&file.path)?,
            Kind::MetaProperties => {
                let properties =
                    MetaProperties::parse(&read(&file.path)?).map_err(|error| damaged(&file.path, error))?;
                let mut table = Table::new(["CLUSTER", "NODE", "DIRECTORY"]);
                table.row([
                    json!(properties.cluster_id),
                    json!(properties.node_id),
                    json!(properties.directory_id.map(partition_metadata::to_base64)),
                ]);
                table
            }
            Kind::CleanShutdown => {
                let mut table = Table::new(["CONTENT"]);
                table.row([json!(String::from_utf8_lossy(&read(&file.path)?))]);
                table
            }
            Kind::TopicIds => {
                let mut table = Table::new(["TOPIC", "TOPIC ID"]);
                for (topic, id) in
                    derived::topic_ids(&read(&file.path)?).map_err(|error| damaged(&file.path, error))?
                {
                    table.row([json!(topic), json!(partition_metadata::to_base64(id))]);
                }
                table
            }
        };
        self.print(file, &table);
        Ok(())
    }

    fn print(&self, file: &LogFile, table: &Table) {
        if !self.json {
            let text = if table.is_empty() {
                "(empty)".to_owned()
            } else {
                table.to_string()
            };
            return output::line(&format!("  {}\n", text.replace('\n', "\n  ")));
        }
        let Value::Array(rows) = table.to_json() else {
            return;
        };
        for mut row in rows {
            if let Value::Object(row) = &mut row {
                row.insert("file".to_owned(), json!(file.path.display().to_string()));
            }
            output::line(&row.to_string());
        }
    }
}

fn producers(path: &Path) -> Result<Table, CliError> {
    let entries = producer_snapshot::parse(&read(path)?).map_err(|error| damaged(path, error))?;
    let mut table = Table::new([
        "PRODUCER",
        "EPOCH",
        "LAST SEQUENCE",
        "LAST OFFSET",
        "LAST TIME",
        "COORDINATOR EPOCH",
        "TRANSACTION START",
    ]);
    for (id, entry) in entries {
        table.row([
            json!(id.0),
            json!(entry.epoch.0),
            json!(entry.last_sequence().0),
            json!(entry.last_batch().map(|batch| batch.last_offset.0)),
            json!(time::format(entry.last_timestamp.0)),
            json!(entry.coordinator_epoch),
            json!(entry.current_transaction_start.map(|offset| offset.0)),
        ]);
    }
    Ok(table)
}

fn bad_ranges(path: &Path) -> Result<Table, CliError> {
    let quarantine = Quarantine::parse(&read(path)?).map_err(|error| damaged(path, error))?;
    let mut table = Table::new(["POSITION", "END", "FIRST OFFSET", "NEXT OFFSET"]);
    for range in quarantine.ranges() {
        table.row([
            json!(range.position),
            json!(range.end),
            json!(range.first_offset.0),
            json!(range.next_offset.0),
        ]);
    }
    Ok(table)
}

/// The checkpoints of a data directory have `topic partition offset` a line.
fn offsets(path: &Path) -> Result<Table, CliError> {
    let checkpoint = OffsetCheckpoint::parse(&read(path)?).map_err(|error| damaged(path, error))?;
    let mut table = Table::new(["TOPIC", "PARTITION", "OFFSET"]);
    for (partition, offset) in checkpoint.0 {
        table.row([
            json!(partition.topic),
            json!(partition.partition),
            json!(offset.0),
        ]);
    }
    Ok(table)
}

pub fn damaged(path: &Path, error: impl std::fmt::Display) -> CliError {
    CliError::Usage(format!("{}: {error}", path.display()))
}

pub fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    reactor::disk::read(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarantine_shows_its_ranges() {
        // Who sees no ranges takes a topic that answers errors for a bug of the broker, and not for a bad disk.
        let golden = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/engine/tests/golden/data/partition-2/orders-0"
        );
        let files = files::find(Path::new(golden)).unwrap();
        let shown = files
            .iter()
            .filter(|file| matches!(file.kind, Kind::Quarantine { .. }));
        let tables: Vec<Value> = shown
            .map(|file| bad_ranges(&file.path).unwrap().to_json())
            .collect();
        let range = json!({"position": 100, "end": 200, "first_offset": 3, "next_offset": 6});
        assert_eq!(tables, [json!([range])]);
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("00000000000000000000.quarantine");
        std::fs::write(&path, b"RNGLOGQ1").unwrap();
        let error = bad_ranges(&path).expect_err("cut").to_string();
        assert!(error.contains("8 bytes, expected 24"), "{error}");
    }
}
