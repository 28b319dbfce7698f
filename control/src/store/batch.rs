//! Metadata records as record batches: the form they have in the log, in snapshots and in Kafka's dump tool.

use engine::batch::{Batch, BatchBuilder, ControlRecordType};
use engine::types::{LeaderEpoch, Offset, Timestamp};

use super::error::{AppendError, DecodeBatchError};
use super::plan::BATCH_BYTES_MAX;
use crate::record::{BrokerId, ControllerEpoch, Reader, Record, Writer};

/// Nothing we write is compressed or as large; Kafka's controllers write up to 8 MiB.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// One batch of the metadata log. Offsets are taken by control records too.
#[derive(Clone, Debug, PartialEq)]
pub struct LogBatch {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub epoch: ControllerEpoch,
    pub timestamp: Timestamp,
    /// Empty for a batch of control records.
    pub records: Vec<Record>,
}

/// A batch of records whose leader epoch is the controller's.
pub(super) fn encode(
    base_offset: Offset,
    epoch: ControllerEpoch,
    timestamp: Timestamp,
    records: &[Record],
) -> Result<Vec<u8>, AppendError> {
    let mut batch = BatchBuilder::new(base_offset).leader_epoch(LeaderEpoch(epoch.0));
    for record in records {
        batch.append(timestamp, None, Some(&record.encode()));
    }
    build(batch)
}

/// A batch of one control record.
pub(super) fn encode_control(
    base_offset: Offset,
    epoch: ControllerEpoch,
    timestamp: Timestamp,
    control: &Control,
) -> Result<Vec<u8>, AppendError> {
    let mut batch = BatchBuilder::new(base_offset)
        .leader_epoch(LeaderEpoch(epoch.0))
        .control();
    let (kind, value) = control.encode();
    batch.append(timestamp, Some(&kind.key()), Some(&value));
    build(batch)
}

fn build(batch: BatchBuilder) -> Result<Vec<u8>, AppendError> {
    let bytes = batch.size_bytes();
    if batch.is_empty() {
        return Err(AppendError::Empty);
    }
    let too_large = AppendError::TooLarge {
        bytes,
        max: BATCH_BYTES_MAX,
    };
    if bytes > BATCH_BYTES_MAX {
        return Err(too_large);
    }
    batch.build().map(Into::into).map_err(|_| too_large)
}

/// The control records of the metadata log and its snapshots; what else Kafka's quorum writes is skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// A controller begins its epoch: the first batch with a new leader epoch, as Kafka's leaders write it.
    LeaderChange {
        leader: BrokerId,
    },
    SnapshotHeader {
        last_contained_timestamp: Timestamp,
    },
    SnapshotFooter,
    Other,
}

impl Control {
    fn encode(&self) -> (ControlRecordType, Vec<u8>) {
        // Version 0 of each message, without tagged fields: `version i16`, fields, `tags varint`.
        let mut writer = Writer::new();
        writer.put(&0i16.to_be_bytes());
        let kind = match self {
            Control::LeaderChange { leader } => {
                writer.put(&leader.0.to_be_bytes());
                // the voters, and those of them that voted for the leader: each with its own tags
                for _ in 0..2 {
                    writer.compact_length(Some(1));
                    writer.put(&leader.0.to_be_bytes());
                    writer.unsigned_varint(0);
                }
                ControlRecordType::LeaderChange
            }
            Control::SnapshotHeader {
                last_contained_timestamp,
            } => {
                writer.put(&last_contained_timestamp.0.to_be_bytes());
                ControlRecordType::SnapshotHeader
            }
            Control::SnapshotFooter => ControlRecordType::SnapshotFooter,
            // never written
            Control::Other => ControlRecordType::Unknown(-1),
        };
        writer.unsigned_varint(0);
        (kind, writer.into_bytes())
    }

    fn decode(offset: Offset, key: &[u8], value: &[u8]) -> Result<Self, DecodeBatchError> {
        let control = |what| DecodeBatchError::Control { offset, what };
        let mut reader = Reader::new(value);
        match ControlRecordType::parse(key)? {
            ControlRecordType::LeaderChange => {
                reader.array::<2>().map_err(control)?;
                let leader = reader.array().map_err(control)?;
                Ok(Control::LeaderChange {
                    leader: BrokerId(i32::from_be_bytes(leader)),
                })
            }
            ControlRecordType::SnapshotHeader => {
                reader.array::<2>().map_err(control)?;
                let timestamp = reader.array().map_err(control)?;
                Ok(Control::SnapshotHeader {
                    last_contained_timestamp: Timestamp(i64::from_be_bytes(timestamp)),
                })
            }
            ControlRecordType::SnapshotFooter => Ok(Control::SnapshotFooter),
            _ => Ok(Control::Other),
        }
    }
}

/// What a batch says, once its CRC was found right.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Records(Vec<Record>),
    Control(Vec<Control>),
}

/// Reads a batch completely: CRC, then every record.
pub(super) fn decode(batch: &Batch<'_>) -> Result<Content, DecodeBatchError> {
    batch.verify_crc()?;
    let records = batch.records(DECOMPRESSED_BYTES_MAX)?;
    let mut content = if batch.attributes().is_control() {
        Content::Control(Vec::new())
    } else {
        Content::Records(Vec::new())
    };
    for record in &records {
        let record = record?;
        let offset = record.offset;
        let value = record.value.ok_or(DecodeBatchError::NoValue { offset })?;
        match &mut content {
            Content::Records(records) => {
                let record =
                    Record::decode(value).map_err(|what| DecodeBatchError::Record { offset, what })?;
                records.push(record);
            }
            Content::Control(controls) => {
                controls.push(Control::decode(offset, record.key.unwrap_or_default(), value)?);
            }
        }
    }
    Ok(content)
}

impl LogBatch {
    pub(super) fn decode(batch: &Batch<'_>) -> Result<LogBatch, DecodeBatchError> {
        let records = match decode(batch)? {
            Content::Records(records) => records,
            Content::Control(_) => Vec::new(),
        };
        Ok(LogBatch {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            epoch: ControllerEpoch(batch.leader_epoch().0),
            timestamp: batch.max_timestamp(),
            records,
        })
    }
}
