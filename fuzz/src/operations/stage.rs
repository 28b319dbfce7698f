//! The log under test beside its model.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine::batch::{BatchBuilder, BatchHeader, Batches, Limits, Origin, validate};
use engine::log::file_name::{FileKind, FileName, Suffix};
use engine::log::{AppendContext, AppendError, Appended, Log, LogConfig, OpenState};
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use reactor::Piece;

use super::Choices;
use super::model::{Model, ModelBatch};

const PARTITION: &str = "fuzzed-0";
const PRODUCERS: usize = 3;

pub struct Stage {
    temp: tempfile::TempDir,
    /// Names the directories that crashes leave.
    lives: u32,
    log: Log,
    model: Model,
    epoch: i32,
    /// Next sequence of each producer.
    sequences: [i32; PRODUCERS],
}

/// Small, so that a few batches cross every border.
fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 100,
        file_delete_delay_ms: 0,
        producer_id_expiration_ms: i64::MAX,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

async fn open_log(dir: &Path, state: OpenState) -> Log {
    Log::open(dir, Rc::new(config()), state, None)
        .await
        .expect("a log opens whatever a crash left")
        .0
}

impl Stage {
    pub async fn open() -> Stage {
        // memory where there is some: a run writes a few KiB and syncs them often
        let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let temp = temp.expect("a directory");
        let dir = temp.path().join("0").join(PARTITION);
        std::fs::create_dir_all(&dir).expect("made");
        let log = open_log(&dir, OpenState::default()).await;
        Stage {
            temp,
            lives: 0,
            log,
            model: Model::default(),
            epoch: 0,
            sequences: [0; PRODUCERS],
        }
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join(self.lives.to_string()).join(PARTITION)
    }

    pub fn append(&mut self, choices: &mut Choices<'_>) {
        let builder = BatchBuilder::new(Offset(0));
        let appended = self.append_batch(choices, builder, None).expect("appended");
        assert!(!appended.duplicate);
    }

    pub fn append_from_producer(&mut self, choices: &mut Choices<'_>) {
        let producer = choices.below(PRODUCERS);
        let sequence = self.sequences[producer];
        let first = Sequence(sequence);
        let builder =
            BatchBuilder::new(Offset(0)).producer(ProducerId(producer as i64), ProducerEpoch(0), first);
        let appended = self
            .append_batch(choices, builder, Some((producer as i64, sequence)))
            .expect("the next sequence is welcome");
        assert!(!appended.duplicate);
        let records = appended.last_offset.0 - appended.base_offset.0 + 1;
        self.sequences[producer] = sequence + records as i32;
    }

    /// A producer that got no answer sends its last batch again, or one that is out of order.
    pub fn retry(&mut self, choices: &mut Choices<'_>) {
        let producer = choices.below(PRODUCERS) as i64;
        let last = self
            .model
            .batches
            .iter()
            .rev()
            .find(|batch| batch.producer.is_some_and(|(id, _)| id == producer));
        let Some(last) = last.cloned() else { return };
        let Some((_, sequence)) = last.producer else {
            return;
        };
        let is_gap = choices.below(4) == 0;
        let first = Sequence(if is_gap {
            self.sequences[producer as usize] + 5
        } else {
            sequence
        });
        let mut builder =
            BatchBuilder::new(Offset(0)).producer(ProducerId(producer), ProducerEpoch(0), first);
        for _ in last.base..=last.last {
            builder.append(Timestamp(last.timestamp), None, Some(b"again"));
        }
        let before = self.log.end_offset();
        let result = self.submit(builder);
        assert_eq!(
            self.log.end_offset(),
            before,
            "nothing is stored twice, or out of order"
        );
        match result {
            Ok(appended) => {
                assert!(appended.duplicate && !is_gap);
                assert_eq!(
                    (appended.base_offset.0, appended.last_offset.0),
                    (last.base, last.last)
                );
            }
            Err(AppendError::Producer { .. }) => assert!(is_gap, "a retry is answered as the first time"),
            Err(error) => panic!("{error}"),
        }
    }

    fn append_batch(
        &mut self,
        choices: &mut Choices<'_>,
        builder: BatchBuilder,
        producer: Option<(i64, i32)>,
    ) -> Result<Appended, AppendError> {
        let mut builder = builder;
        let shape = choices.byte();
        let records = 1 + i64::from(shape & 3);
        let timestamp = 1000 + i64::from(choices.byte());
        let value = vec![shape; usize::from(shape >> 2)];
        for _ in 0..records {
            builder.append(Timestamp(timestamp), Some(b"k"), Some(&value));
        }
        if shape & 0xf0 == 0xf0 {
            self.epoch += 1;
        }
        let end = self.model.end();
        let appended = self.submit(builder)?;
        assert_eq!(
            (appended.base_offset.0, appended.last_offset.0),
            (end, end + records - 1)
        );
        let bytes = self.bytes(end, 1 << 20, end + records, true);
        let header = BatchHeader::peek(&bytes).expect("the batch can be read at once");
        assert_eq!(
            (header.base_offset().0, header.last_offset().0),
            (end, end + records - 1)
        );
        assert_eq!(
            (header.leader_epoch().0, header.max_timestamp().0),
            (self.epoch, timestamp)
        );
        self.model.batches.push(ModelBatch {
            base: end,
            last: end + records - 1,
            timestamp,
            epoch: self.epoch,
            producer,
            bytes,
        });
        Ok(appended)
    }

    fn submit(&mut self, builder: BatchBuilder) -> Result<Appended, AppendError> {
        let batch = builder.build().expect("a batch");
        let info = validate(&batch, &Limits::default()).expect("valid");
        let context = AppendContext {
            leader_epoch: LeaderEpoch(self.epoch),
            origin: Origin::Client,
            now: Timestamp(2000),
        };
        self.log.append(batch, &info, &context)
    }

    pub async fn commit(&mut self) {
        self.log.commit(self.log.end_offset()).await.expect("a commit");
        self.log.set_high_watermark(self.log.end_offset());
        self.model.durable = self.model.end();
    }

    pub fn roll(&mut self) {
        self.log.roll(Timestamp(2000)).expect("a roll");
    }

    pub fn delete_records(&mut self, choices: &mut Choices<'_>) {
        let high_watermark = self.log.high_watermark().0;
        let start = self.model.start;
        let to = start + choices.up_to(high_watermark - start);
        let found = self
            .log
            .delete_records_before(Offset(to))
            .expect("below the high watermark");
        assert_eq!(found.0, to);
        self.model.advance(to);
        let above = self.log.delete_records_before(Offset(high_watermark + 1));
        assert!(above.is_err(), "what may still vanish cannot be deleted");
    }

    /// Lets retention by size run once.
    pub fn retain(&mut self, choices: &mut Choices<'_>) {
        let bytes = i64::from(choices.byte()) * 8;
        self.log.set_config(Rc::new(LogConfig {
            retention_bytes: bytes,
            ..config()
        }));
        let retained = self.log.apply_retention(Timestamp(2000)).expect("retention");
        self.log.set_config(Rc::new(config()));
        let start = self.log.start_offset().0;
        assert!(
            start <= self.log.high_watermark().0,
            "only what everybody has goes"
        );
        assert!(start >= self.model.start);
        assert!(start == self.model.start || retained.segments_removed > 0);
        let is_boundary =
            start == self.model.end() || self.model.batches.iter().any(|batch| batch.base == start);
        assert!(start == self.model.start || is_boundary, "whole segments go");
        self.model.advance(start);
    }

    pub fn read(&mut self, choices: &mut Choices<'_>) {
        let start = self.model.start;
        let from = start + choices.up_to(self.model.end() - start);
        let below = start + choices.up_to(self.model.end() - start);
        let max_bytes = choices.up_to(2000) as u32;
        let at_least_one = choices.below(2) == 0;
        self.check_read(from, max_bytes, below, at_least_one);
    }

    /// Bytes of one read, against the model: the same batches, though fewer when they lie in several pieces of the log.
    fn check_read(&self, from: i64, max_bytes: u32, below: i64, at_least_one: bool) -> i64 {
        let expected = self.model.read(from, max_bytes as usize, below, at_least_one);
        let bytes = self.bytes(from, max_bytes, below, at_least_one);
        let mut at = 0;
        let mut count = 0;
        let mut next = from;
        for batch in Batches::new(&bytes) {
            let batch = batch.expect("whole batches");
            let model = expected
                .get(count)
                .expect("no more than there is, and no more than fits");
            assert!(
                bytes[at..].starts_with(&model.bytes),
                "offset {}: other bytes than were appended",
                model.base
            );
            at += batch.size_bytes();
            count += 1;
            next = model.last + 1;
        }
        assert!(
            count > 0 || expected.is_empty(),
            "from {from} below {below}: {} batches were due",
            expected.len()
        );
        next
    }

    fn bytes(&self, from: i64, max_bytes: u32, below: i64, at_least_one: bool) -> Vec<u8> {
        let slice = self
            .log
            .read(Offset(from), max_bytes, Offset(below), at_least_one)
            .expect("a read");
        let mut bytes = Vec::new();
        for piece in &slice.pieces {
            match piece {
                Piece::Bytes(piece) => bytes.extend_from_slice(piece),
                Piece::File { file, offset, len } => {
                    let at = bytes.len();
                    bytes.resize(at + *len as usize, 0);
                    file.read_exact_at(&mut bytes[at..], *offset)
                        .expect("the slice is there");
                }
            }
        }
        assert_eq!(bytes.len(), slice.bytes as usize);
        bytes
    }

    /// The whole log, from an offset on.
    pub fn read_all(&self, from: Offset) {
        let mut from = from.0.max(self.model.start);
        while from < self.model.end() {
            let next = self.check_read(from, 600, self.model.end(), true);
            assert!(next > from);
            from = next;
        }
    }

    pub fn look_up(&mut self, choices: &mut Choices<'_>) {
        let timestamp = 990 + i64::from(choices.byte()) + choices.below(20) as i64;
        let found = self
            .log
            .offset_for_timestamp(Timestamp(timestamp))
            .expect("a lookup");
        assert_eq!(
            found.map(|found| found.offset.0),
            self.model.offset_for(timestamp)
        );
        let greatest = self.log.offset_of_max_timestamp().expect("a lookup");
        let expected = self.model.batches.iter().map(|batch| batch.timestamp).max();
        // As in Kafka, a deleted record counts as long as its segment is there.
        let is_deleted = greatest.is_some_and(|found| found.offset.0 < self.model.start);
        assert!(is_deleted || greatest.map(|found| found.timestamp.0) == expected);
    }

    /// A clean stop and start.
    pub async fn restart(&mut self) {
        self.log.clone().close().await.expect("closed");
        self.model.durable = self.model.end();
        let state = OpenState {
            clean: true,
            recovery_point: Some(Offset(self.model.end())),
            log_start: Some(Offset(self.model.start)),
            ..OpenState::default()
        };
        self.log = open_log(&self.dir(), state).await;
        self.after_open();
    }

    /// The process dies, and with it perhaps the power: what was not committed is there, in part, or overwritten.
    pub async fn crash(&mut self, choices: &mut Choices<'_>) {
        let before = self.dir();
        self.lives += 1;
        copy_dir(&before, &self.dir());
        if choices.below(2) == 0 {
            self.tear(choices);
        }
        let recovery_point = match choices.below(3) {
            0 => None,
            1 => Some(self.model.durable / 2),
            _ => Some(self.model.durable),
        };
        let state = OpenState {
            recovery_point: recovery_point.map(Offset),
            log_start: Some(Offset(self.model.start)),
            ..OpenState::default()
        };
        self.log = open_log(&self.dir(), state).await;
        std::fs::remove_dir_all(before.parent().expect("a parent")).unwrap_or_default();
        let end = self.log.end_offset().0;
        assert!(end >= self.model.durable, "acknowledged records are gone");
        assert!(end <= self.model.end());
        self.model.truncate(end);
        assert_eq!(self.model.end(), end, "half a batch stayed");
        self.model.durable = end;
        self.forget_lost_sequences();
        self.after_open();
    }

    /// Cuts or overwrites the end of the newest segment, behind everything committed.
    fn tear(&self, choices: &mut Choices<'_>) {
        let names = reactor::disk::read_dir(&self.dir()).expect("the directory");
        let newest = names
            .iter()
            .filter_map(|entry| FileName::parse(&entry.name))
            .filter(|name| name.kind == FileKind::Log && name.suffix == Suffix::Live)
            .map(|name| name.base_offset)
            .max();
        let Some(base) = newest else { return };
        let path = FileName::new(base, FileKind::Log, Suffix::Live).in_dir(&self.dir());
        let mut bytes = std::fs::read(&path).expect("the segment");
        let kept: usize = Batches::new(&bytes)
            .map_while(Result::ok)
            .take_while(|batch| batch.last_offset().0 < self.model.durable)
            .map(|batch| batch.size_bytes())
            .sum();
        let room = bytes.len().saturating_sub(kept);
        let cut = kept + choices.up_to(room as i64) as usize;
        match choices.below(3) {
            0 => bytes.truncate(cut),
            1 => bytes[cut..].fill(0),
            _ => {
                if let Some(byte) = bytes.get_mut(cut) {
                    // offset, length and epoch are not under the checksum: a bit there is not what a crash leaves
                    *byte ^= 0x40;
                    bytes.truncate(cut + 1);
                }
            }
        }
        std::fs::write(&path, bytes).expect("written");
    }

    /// A producer knows what was acknowledged; what was lost it sends again.
    fn forget_lost_sequences(&mut self) {
        for (producer, next) in self.sequences.iter_mut().enumerate() {
            let last = self
                .model
                .batches
                .iter()
                .rev()
                .find(|batch| batch.producer.is_some_and(|(id, _)| id == producer as i64));
            if let Some(batch) = last
                && let Some((_, first)) = batch.producer
            {
                *next = first + (batch.last - batch.base + 1) as i32;
            } else if let Some(known) = self
                .log
                .producers()
                .iter()
                .find(|row| row.producer_id.0 == producer as i64)
            {
                *next = known.last_sequence.0 + 1;
            } else {
                *next = 0;
            }
        }
    }

    fn after_open(&mut self) {
        self.log.set_high_watermark(self.log.end_offset());
        self.epoch = self.epoch.max(self.log.latest_epoch().map_or(0, |epoch| epoch.0));
        self.read_all(Offset::ZERO);
    }

    pub fn check(&self) {
        assert_eq!(self.log.start_offset().0, self.model.start);
        assert_eq!(self.log.end_offset().0, self.model.end());
        if let Some(last) = self.model.batches.last() {
            let epoch = self.log.epoch_of(Offset(last.last)).map(|epoch| epoch.0);
            assert_eq!(epoch, Some(last.epoch));
        }
    }

    pub async fn close(self) {
        self.log.clone().close().await.expect("closed");
    }
}

/// As a crash leaves it. Files that are on their way out may vanish meanwhile.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("the directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        let copied = std::fs::copy(entry.path(), to.join(&name));
        assert!(copied.is_ok() || name.to_string_lossy().ends_with(".deleted"));
    }
}
