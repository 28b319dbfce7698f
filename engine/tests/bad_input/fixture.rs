//! A partition whose every record is known, a way to damage it, and a reader that believes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use engine::batch::{Batch, BatchBuilder, BatchHeader, HEADER_BYTES, Limits, Origin, validate};
use engine::log::{AppendContext, Log, LogConfig, OpenError, OpenState, partition_metadata};
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use reactor::Piece;
use uuid::Uuid;

pub const NOW: i64 = 1_700_000_000_000;
pub const PARTITION: &str = "orders-0";
pub const TOPIC_ID: Uuid = Uuid::from_u128(77);
const PRODUCER: ProducerId = ProducerId(9);

pub fn run<F: Future>(future: F) -> F::Output {
    reactor::run(reactor::Config::default(), future).expect("a reactor")
}

fn config() -> Rc<LogConfig> {
    Rc::new(LogConfig {
        segment_bytes: 1200,
        index_interval_bytes: 150,
        producer_id_expiration_ms: i64::MAX,
        retention_ms: -1,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    })
}

/// How the damaged log is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The files claim to be as a clean stop left them.
    Clean,
    /// Everything was synced, as the checkpoint says.
    Synced,
    /// Nothing is known.
    Unknown,
}

pub const STARTS: [Start; 3] = [Start::Clean, Start::Synced, Start::Unknown];

/// In memory where there is some: a thousand logs are opened and closed, and each syncs.
fn scratch() -> tempfile::TempDir {
    let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    temp.expect("a directory")
}

/// A log of some segments, closed cleanly.
pub struct Partition {
    _temp: tempfile::TempDir,
    pub dir: PathBuf,
    /// By base offset, as it was written.
    pub batches: BTreeMap<i64, Bytes>,
    pub end: i64,
    /// First offsets of the leader epochs.
    pub epochs: Vec<(i32, i64)>,
}

pub async fn open(dir: &Path, start: Start, end: i64) -> Result<Log, OpenError> {
    let state = OpenState {
        clean: start == Start::Clean,
        recovery_point: (start != Start::Unknown).then_some(Offset(end)),
        ..OpenState::default()
    };
    Log::open(dir, config(), state, None).await.map(|(log, _)| log)
}

impl Partition {
    /// `salt` makes the records of one partition differ from those of another.
    pub async fn new(salt: u8) -> Partition {
        let temp = scratch();
        let dir = temp.path().join(PARTITION);
        std::fs::create_dir(&dir).expect("made");
        std::fs::write(
            dir.join("partition.metadata"),
            partition_metadata::encode(TOPIC_ID),
        )
        .expect("written");
        let log = open(&dir, Start::Unknown, 0).await.expect("opened");
        let mut sequence = 0;
        for number in 0..40i64 {
            let mut builder = BatchBuilder::new(Offset(0));
            if number % 3 == 0 {
                builder = builder.producer(PRODUCER, ProducerEpoch(1), Sequence(sequence));
            }
            let records = 1 + number % 3;
            for record in 0..records {
                let value = format!("value {salt} {number} {record}");
                builder.append(Timestamp(NOW + number), Some(b"key"), Some(value.as_bytes()));
            }
            if number % 3 == 0 {
                sequence += records as i32;
            }
            let batch = builder.build().expect("a batch");
            let info = validate(&batch, &Limits::default()).expect("valid");
            let context = AppendContext {
                leader_epoch: LeaderEpoch((number / 15) as i32),
                origin: Origin::Client,
                now: Timestamp(NOW),
            };
            log.append(batch, &info, &context).expect("appended");
        }
        log.commit(log.end_offset()).await.expect("committed");
        let end = log.end_offset().0;
        let mut partition = Partition {
            _temp: temp,
            dir,
            batches: BTreeMap::new(),
            end,
            epochs: vec![(0, 0), (1, 0), (2, 0)],
        };
        let mut from = 0;
        while from < end {
            let read = read_from(&log, from).expect("readable");
            for batch in read.batches {
                let header = *BatchHeader::peek(&batch).expect("a header");
                partition.batches.insert(header.base_offset().0, batch);
            }
            from = read.next;
        }
        for (epoch, first) in &mut partition.epochs {
            let of = |batch: &Bytes| BatchHeader::peek(batch).map(BatchHeader::leader_epoch);
            let found = partition
                .batches
                .iter()
                .find(|(_, batch)| of(batch) == Some(LeaderEpoch(*epoch)));
            *first = *found.expect("a batch of the epoch").0;
        }
        log.close().await.expect("closed");
        partition
    }

    /// The files by name, without those that hold nothing.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.dir)
            .expect("the directory")
            .map(|entry| entry.expect("an entry"))
            .filter(|entry| entry.metadata().expect("metadata").len() > 0)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The directory again, with one file as `change` makes it.
    pub fn with(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Copy {
        let temp = scratch();
        let dir = temp.path().join(PARTITION);
        std::fs::create_dir(&dir).expect("made");
        for name in self.files() {
            std::fs::copy(self.dir.join(&name), dir.join(&name)).expect("copied");
        }
        let path = dir.join(file);
        let mut bytes = std::fs::read(&path).unwrap_or_default();
        change(&mut bytes);
        std::fs::write(&path, bytes).expect("written");
        Copy { _temp: temp, dir }
    }

    /// Judges what a consumer gets that reads from the start: whatever it would accept must be what a producer sent.
    pub fn judge(&self, log: &Log, what: &str) -> Served {
        let mut served = Served::default();
        let mut from = log.start_offset().0;
        while from < log.end_offset().0 {
            let read = match read_from(log, from) {
                Ok(read) => read,
                Err(error) => {
                    assert!(error.contains(PARTITION), "{what}: {error}");
                    served.errors.push(error);
                    return served;
                }
            };
            let before = from;
            for batch in &read.batches {
                // A consumer takes what its checksum confirms and goes on behind it; half a batch at the end it fetches again.
                match Batch::only(batch).map(|batch| (batch.verify_crc().is_ok(), batch.next_offset().0)) {
                    Ok((true, next)) => {
                        self.judge_batch(batch, &mut served, what);
                        from = from.max(next);
                    }
                    Ok((false, _)) => {
                        served.refused += 1;
                        return served;
                    }
                    Err(_) => break,
                }
            }
            if from == before {
                return served; // nothing more will come
            }
        }
        served
    }

    fn judge_batch(&self, batch: &Bytes, served: &mut Served, what: &str) {
        let base = BatchHeader::peek(batch).map_or(-1, |header| header.base_offset().0);
        if self.batches.get(&base) == Some(batch) {
            served.whole.push(base);
            return;
        }
        // Offset, length and epoch are not under the checksum: Kafka's format.
        let rest = |batch: &Bytes| batch.get(16..).map(<[u8]>::to_vec);
        let same = self
            .batches
            .values()
            .any(|original| rest(original) == rest(batch));
        assert!(same, "{what}: a batch that nobody sent at {base}");
        served.moved.push(base);
    }

    /// All of it is served, and all lookups answer as before.
    pub fn assert_sound(&self, log: &Log, what: &str) {
        let served = self.judge(log, what);
        let all: Vec<i64> = self.batches.keys().copied().collect();
        assert_eq!(served.errors, Vec::<String>::new(), "{what}");
        assert_eq!(served.whole, all, "{what}");
        // every offset is found by itself, through the index
        for from in (0..self.end).rev() {
            let read = read_from(log, from).unwrap_or_else(|error| panic!("{what}: {error}"));
            let first = read.batches.first().expect("a batch");
            let holder = self.batches.range(..=from).next_back().expect("a batch");
            assert_eq!(first, holder.1, "{what}: offset {from}");
        }
    }

    /// Each timestamp is found where its first record lies.
    pub fn assert_times(&self, log: &Log, what: &str) {
        for (number, base) in (0..).zip(self.batches.keys()) {
            let found = log
                .offset_for_timestamp(Timestamp(NOW + number))
                .expect("readable");
            assert_eq!(
                found.map(|found| found.offset.0),
                Some(*base),
                "{what}: time {number}"
            );
        }
    }

    pub fn assert_epochs(&self, log: &Log, what: &str) {
        for offset in 0..self.end {
            let expected = self.epochs.iter().rev().find(|(_, first)| *first <= offset);
            assert_eq!(
                log.epoch_of(Offset(offset)).map(|epoch| epoch.0),
                expected.map(|(epoch, _)| *epoch),
                "{what}: epoch of {offset}"
            );
        }
    }

    /// The idempotent producer may go on where it was.
    pub fn assert_producer(&self, log: &Log, what: &str) {
        let last = self.batches.values().rev().find_map(|batch| {
            BatchHeader::peek(batch)
                .and_then(BatchHeader::producer)
                .filter(|producer| producer.id == PRODUCER)
        });
        let known = log.producers();
        assert_eq!(
            known
                .iter()
                .map(|producer| producer.last_sequence)
                .collect::<Vec<_>>(),
            last.map(|last| last.last_sequence)
                .into_iter()
                .collect::<Vec<_>>(),
            "{what}"
        );
    }
}

/// A damaged directory.
pub struct Copy {
    _temp: tempfile::TempDir,
    pub dir: PathBuf,
}

/// What a consumer got that reads from the start to the end, or to the first error.
#[derive(Debug, Default)]
pub struct Served {
    /// Base offsets of batches that are as they were sent.
    pub whole: Vec<i64>,
    /// Batches with another offset or epoch than they had.
    pub moved: Vec<i64>,
    /// Batches whose checksum stops the consumer.
    pub refused: usize,
    pub errors: Vec<String>,
}

pub struct Read {
    pub batches: Vec<Bytes>,
    pub next: i64,
}

/// One fetch, cut into batches as a consumer cuts it.
pub fn read_from(log: &Log, from: i64) -> Result<Read, String> {
    let slice = log
        .read(Offset(from), 1 << 20, log.end_offset(), true)
        .map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    for piece in &slice.pieces {
        match piece {
            Piece::Bytes(piece) => bytes.extend_from_slice(piece),
            Piece::File { file, offset, len } => {
                let at = bytes.len();
                bytes.resize(at + *len as usize, 0);
                file.read_exact_at(&mut bytes[at..], *offset)
                    .map_err(|error| format!("{PARTITION}: {error}"))?;
            }
        }
    }
    let mut bytes = Bytes::from(bytes);
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let size = BatchHeader::peek(&bytes).map_or(0, |header| header.size_bytes());
        let size = usize::try_from(size).unwrap_or(0);
        if size < HEADER_BYTES || size > bytes.len() {
            batches.push(bytes); // what no consumer can cut it refuses
            break;
        }
        batches.push(bytes.split_to(size));
    }
    Ok(Read {
        batches,
        next: slice.next_offset.0,
    })
}

/// Repeatable pseudo-random numbers (xorshift64*).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides as u64) as usize
    }
}
