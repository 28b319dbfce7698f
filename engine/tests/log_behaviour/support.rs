//! A log in a temporary directory, batches to put into it, and a reader that decodes all of it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::BytesMut;
use engine::batch::{Batch, BatchBuilder, BatchInfo, Batches, Codec, Limits, Origin, validate};
use engine::log::{AppendContext, AppendError, Appended, Log, LogConfig, OpenState, RecoveryReport};
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use reactor::Piece;

pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub fn run<F: Future>(future: F) -> F::Output {
    reactor::run(reactor::Config::default(), future).expect("a reactor")
}

/// Small segments and a dense index, so that a few KiB of records cross every border.
pub fn small_config() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 200,
        file_delete_delay_ms: 0,
        producer_id_expiration_ms: i64::MAX,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

pub struct Fixture {
    pub temp: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture {
            temp: tempfile::tempdir().expect("a directory"),
        }
    }

    pub fn dir(&self) -> PathBuf {
        self.temp.path().join("topic-with-dashes-0")
    }

    pub async fn open(&self, config: LogConfig) -> Log {
        self.open_with(config, OpenState::default()).await.0
    }

    pub async fn open_with(&self, config: LogConfig, start: OpenState) -> (Log, RecoveryReport) {
        Log::open(&self.dir(), Rc::new(config), start, None)
            .await
            .expect("the log opens")
    }

    /// The directory as a crash would leave it, somewhere else.
    pub fn copy(&self) -> Fixture {
        let copy = Fixture::new();
        copy_dir(&self.dir(), &copy.dir());
        copy
    }

    pub fn names(&self) -> Vec<String> {
        let entries = reactor::disk::read_dir(&self.dir()).expect("the directory");
        entries.into_iter().map(|entry| entry.name).collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match std::fs::copy(entry.path(), to.join(entry.file_name())) {
            Ok(_) => {}
            // unlinked meanwhile, as what was deleted is
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A record as a test thinks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, Copy)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    pub sequence: i32,
}

pub fn validated(builder: BatchBuilder) -> (BytesMut, BatchInfo) {
    let batch = builder.build().expect("a batch");
    let info = validate(&batch, &Limits::default()).expect("a valid batch");
    (batch, info)
}

/// A batch of records, all of one timestamp, with values of some size.
pub fn batch(records: usize, timestamp: i64, value_bytes: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new(Offset(0));
    for index in 0..records {
        let value = vec![b'a' + (index % 26) as u8; value_bytes];
        builder.append(
            Timestamp(timestamp),
            Some(format!("key-{index}").as_bytes()),
            Some(&value),
        );
    }
    builder
}

pub fn from_producer(producer: Producer, records: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new(Offset(0)).producer(
        ProducerId(producer.id),
        ProducerEpoch(producer.epoch),
        Sequence(producer.sequence),
    );
    for index in 0..records {
        builder.append(NOW, Some(format!("key-{index}").as_bytes()), Some(b"value"));
    }
    builder
}

pub fn context() -> AppendContext {
    AppendContext {
        leader_epoch: LeaderEpoch(0),
        origin: Origin::Client,
        now: NOW,
    }
}

pub fn try_append(log: &Log, builder: BatchBuilder) -> Result<Appended, AppendError> {
    let (batch, info) = validated(builder);
    log.append(batch, &info, &context())
}

pub fn append(log: &Log, builder: BatchBuilder) -> Appended {
    try_append(log, builder).expect("an append")
}

/// Appends, commits and shows it to readers, as the broker does.
pub async fn produce(log: &Log, builder: BatchBuilder) -> Appended {
    let appended = append(log, builder);
    commit_all(log).await;
    appended
}

pub async fn commit_all(log: &Log) {
    log.commit(log.end_offset()).await.expect("a commit");
    log.set_high_watermark(log.committed_offset());
}

/// Lets retention finish, as the broker's ticks do.
pub async fn retain(log: &Log, now: i64) -> usize {
    let mut removed = 0;
    loop {
        let retained = log.apply_retention(Timestamp(now)).unwrap();
        removed += retained.segments_removed;
        if !retained.is_pending {
            return removed;
        }
        log.commit(log.end_offset()).await.unwrap();
        while log.apply_retention(Timestamp(now)).unwrap().is_pending {
            reactor::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

pub fn bytes_of(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(piece) => bytes.extend_from_slice(piece),
            Piece::File { file, offset, len } => {
                let from = bytes.len();
                bytes.resize(from + *len as usize, 0);
                file.read_exact_at(&mut bytes[from..], *offset)
                    .expect("the slice is there");
            }
        }
    }
    bytes
}

/// All bytes of the log, as a consumer gets them in answers of at most `max_bytes`.
pub fn read_all(log: &Log, max_bytes: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut from = log.start_offset();
    loop {
        let slice = log.read(from, max_bytes, log.end_offset(), true).expect("a read");
        if slice.bytes == 0 {
            return bytes;
        }
        let piece = bytes_of(&slice.pieces);
        assert_eq!(piece.len(), slice.bytes as usize);
        let mut last = None;
        for batch in Batches::new(&piece) {
            let batch = batch.expect("whole batches");
            batch.verify_crc().expect("the bytes a producer sent");
            last = Some(batch.next_offset());
        }
        let last = last.expect("at least one batch");
        assert!(slice.next_offset >= last && slice.next_offset > from);
        from = slice.next_offset;
        bytes.extend_from_slice(&piece);
    }
}

pub fn rows_of(bytes: &[u8]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in Batches::new(bytes) {
        rows.extend(rows_of_batch(&batch.expect("whole batches")));
    }
    rows
}

pub fn rows_of_batch(batch: &Batch<'_>) -> Vec<Row> {
    let records = batch.records(1 << 26).expect("records");
    let rows = records.iter().map(|record| {
        let record = record.expect("a record");
        Row {
            offset: record.offset.0,
            timestamp: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
        }
    });
    rows.collect()
}

pub fn rows(log: &Log) -> Vec<Row> {
    rows_of(&read_all(log, 1 << 20))
}

pub fn codecs() -> [Codec; 5] {
    Codec::ALL
}

/// Repeatable pseudo-random numbers (xorshift64*).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}
