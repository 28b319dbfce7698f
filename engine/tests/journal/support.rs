//! A log directory with a journal, and a crash: a copy of the files as they are.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::BytesMut;
use engine::batch::{
    Batch, BatchBuilder, Batches, ControlRecordType, EndTransactionMarker, Limits, Origin, validate,
};
use engine::journal::{Journal, JournalConfig, Owner, Replayed, replay};
use engine::log::{AppendContext, Appended, Log, LogConfig, OpenState, RecoveryReport, partition_metadata};
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use reactor::Piece;
use uuid::Uuid;

pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub fn run<F: Future>(future: F) -> F::Output {
    reactor::run(reactor::Config::default(), future).expect("a reactor")
}

/// Files of 64 KiB, so that a test goes round the ring.
pub fn small_journal() -> JournalConfig {
    JournalConfig {
        file_bytes: 64 << 10,
        files_max: 3,
        group_bytes_max: 16 << 10,
        direct_bytes: 8 << 10,
        checkpoint_bytes: 32 << 10,
        // by bytes alone: where the machine stands still for a while one would come in the middle of a test
        checkpoint_every: std::time::Duration::from_secs(3600),
        ..JournalConfig::default()
    }
}

/// One that makes no checkpoint by itself: nothing is synced in segments.
pub fn lazy_journal() -> JournalConfig {
    JournalConfig {
        file_bytes: 1 << 20,
        checkpoint_bytes: 1 << 30,
        ..small_journal()
    }
}

pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 40_000,
        index_interval_bytes: 500,
        file_delete_delay_ms: 0,
        retention_ms: -1,
        producer_id_expiration_ms: i64::MAX,
        ..LogConfig::default()
    }
}

pub fn topic_id(topic: &str) -> Uuid {
    let mut id = [0; 16];
    id[..topic.len().min(16)].copy_from_slice(&topic.as_bytes()[..topic.len().min(16)]);
    Uuid::from_bytes(id)
}

pub struct Directory {
    pub temp: tempfile::TempDir,
}

impl Directory {
    pub fn new() -> Directory {
        Directory {
            temp: tempfile::tempdir().expect("a directory"),
        }
    }

    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    pub async fn journal(&self) -> Journal {
        self.journal_with(small_journal()).await
    }

    pub async fn journal_with(&self, config: JournalConfig) -> Journal {
        Journal::open(self.path(), 0, config)
            .await
            .expect("the journal opens")
    }

    pub fn dir(&self, topic: &str) -> PathBuf {
        self.path().join(format!("{topic}-0"))
    }

    pub async fn log(&self, topic: &str, config: LogConfig, journal: &Journal) -> Log {
        self.log_with(topic, config, OpenState::default(), journal)
            .await
            .0
    }

    pub async fn log_with(
        &self,
        topic: &str,
        config: LogConfig,
        start: OpenState,
        journal: &Journal,
    ) -> (Log, RecoveryReport) {
        let dir = self.dir(topic);
        std::fs::create_dir_all(&dir).unwrap();
        let metadata = partition_metadata::encode(topic_id(topic));
        std::fs::write(dir.join("partition.metadata"), metadata).unwrap();
        Log::open(&dir, Rc::new(config), start, Some(journal))
            .await
            .expect("the log opens")
    }

    /// The directory as a kill leaves it, somewhere else.
    pub fn crash(&self) -> Directory {
        let copy = Directory::new();
        copy_dir(self.path(), copy.path());
        copy
    }

    /// Replays for the topics named.
    pub fn replay(&self, topics: &[&str]) -> Replayed {
        replay(self.path(), |(id, _)| {
            let topic = topics.iter().find(|topic| topic_id(topic) == id)?;
            Some(Owner {
                topic: (*topic).to_owned(),
                state: OpenState::default(),
                is_compacted: false,
            })
        })
        .expect("the replay")
    }
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

pub fn batch(records: usize, value_bytes: usize, producer: Option<(i64, i32)>) -> BytesMut {
    let mut builder = BatchBuilder::new(Offset(0));
    if let Some((id, sequence)) = producer {
        builder = builder.producer(ProducerId(id), ProducerEpoch(0), Sequence(sequence));
    }
    for index in 0..records {
        let value = vec![b'a' + (index % 26) as u8; value_bytes];
        builder.append(NOW, Some(format!("key-{index}").as_bytes()), Some(&value));
    }
    builder.build().expect("a batch")
}

/// Two records of a transaction.
pub fn transaction(producer: i64, sequence: i32) -> BytesMut {
    let mut builder = BatchBuilder::new(Offset(0))
        .producer(ProducerId(producer), ProducerEpoch(0), Sequence(sequence))
        .transactional();
    for key in ["a", "b"] {
        builder.append(NOW, Some(key.as_bytes()), Some(b"value"));
    }
    builder.build().expect("a batch")
}

pub fn append_marker(log: &Log, producer: i64, kind: ControlRecordType) -> Appended {
    let mut builder = BatchBuilder::new(Offset(0))
        .producer(ProducerId(producer), ProducerEpoch(0), Sequence::NONE)
        .transactional()
        .control();
    let value = EndTransactionMarker { coordinator_epoch: 3 }.value();
    builder.append(NOW, Some(&kind.key()), Some(&value));
    append_from(log, builder.build().expect("a marker"), Origin::Coordinator)
}

pub fn append(log: &Log, batch: BytesMut) -> Appended {
    append_from(log, batch, Origin::Client)
}

fn append_from(log: &Log, batch: BytesMut, origin: Origin) -> Appended {
    let limits = Limits {
        origin,
        ..Limits::default()
    };
    let info = validate(&batch, &limits).expect("a valid batch");
    let context = AppendContext {
        leader_epoch: log.latest_epoch().unwrap_or(LeaderEpoch(0)),
        origin,
        now: NOW,
    };
    log.append(batch, &info, &context).expect("an append")
}

/// Appends, waits until it may be acknowledged, shows it to readers.
pub async fn produce(log: &Log, batch: BytesMut) -> Appended {
    let appended = append(log, batch);
    log.commit(appended.commit_offset()).await.expect("a commit");
    log.set_high_watermark(log.committed_offset());
    appended
}

/// All bytes of the log from its start to its high watermark, as readers get them.
pub fn bytes(log: &Log) -> Vec<u8> {
    let mut all = Vec::new();
    let mut from = log.start_offset();
    while from < log.high_watermark() {
        let slice = log.read(from, 3000, log.high_watermark(), true).expect("a read");
        assert!(slice.next_offset > from, "stuck at {from}");
        for piece in slice.pieces {
            match piece {
                Piece::Bytes(bytes) => all.extend_from_slice(&bytes),
                Piece::File { file, offset, len } => {
                    let mut part = vec![0; len as usize];
                    file.read_exact_at(&mut part, offset)
                        .expect("the slice is in the file");
                    all.extend_from_slice(&part);
                }
            }
        }
        from = slice.next_offset;
    }
    all
}

/// Offsets of all records.
pub fn offsets(bytes: &[u8]) -> Vec<i64> {
    let mut offsets = Vec::new();
    for batch in Batches::new(bytes) {
        let batch: Batch<'_> = batch.expect("whole batches");
        offsets.extend(batch.base_offset().0..=batch.last_offset().0);
    }
    offsets
}

/// The file of the newest segment.
/// Waits until the first segment of a topic has so many bytes: what is durable by the journal alone is written behind.
pub async fn settled(directory: &Directory, topic: &str, bytes: usize) {
    let segment = directory.dir(topic).join("00000000000000000000.log");
    while std::fs::metadata(&segment).map_or(0, |found| found.len()) < bytes as u64 {
        reactor::sleep(std::time::Duration::from_millis(1)).await;
    }
}

pub fn last_segment(dir: &Path) -> PathBuf {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let logs = names.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.max().expect("a segment")
}
