//! Metadata records as record batches: the form they have in the log, in snapshots and in Kafka's dump tool.

use engine::batch::{Batch, BatchBuilder, ControlRecordType};
use engine::types::{LeaderEpoch, Offset, Timestamp};

use super::error::{AppendError, DecodeBatchError};
use super::plan::BATCH_BYTES_MAX;
use crate::record::{BrokerId, ControllerEpoch, DecodeError, Reader, Record, Writer};

/// Nothing we write is compressed or as large; Kafka's controllers write up to 8 MiB.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
const DIRECTORY_ID_BYTES: usize = 16;

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

/// A batch of control records.
pub(super) fn encode_control(
    base_offset: Offset,
    epoch: ControllerEpoch,
    timestamp: Timestamp,
    controls: &[Control],
) -> Result<Vec<u8>, AppendError> {
    let mut batch = BatchBuilder::new(base_offset)
        .leader_epoch(LeaderEpoch(epoch.0))
        .control();
    for control in controls {
        let (kind, value) = control.encode();
        batch.append(timestamp, Some(&kind.key()), Some(&value));
    }
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

/// The control records of the metadata log and its snapshots. There are no others to skip: one that is not known here
/// could say who may lead, and the batch is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// A controller begins its epoch: the first batch with a new leader epoch, as Kafka's leaders write it.
    LeaderChange {
        leader: BrokerId,
        /// The quorum of its time, the leader among them.
        voters: Vec<BrokerId>,
    },
    SnapshotHeader {
        last_contained_timestamp: Timestamp,
    },
    SnapshotFooter,
    /// KRaftVersionRecord and VotersRecord (KIP-853), as they were written: a Kafka that takes the directory back needs them.
    KraftVersion(Box<[u8]>),
    KraftVoters(Box<[u8]>),
}

impl Control {
    fn encode(&self) -> (ControlRecordType, Vec<u8>) {
        // Version 0 of each message, without tagged fields: `version i16`, fields, `tags varint`.
        let mut writer = Writer::new();
        writer.put(&0i16.to_be_bytes());
        let kind = match self {
            Control::LeaderChange { leader, voters } => {
                writer.put(&leader.0.to_be_bytes());
                // the voters, and those of them that voted for the leader: each with its own tags
                for list in [voters.as_slice(), &[*leader]] {
                    writer.compact_length(Some(list.len()));
                    for voter in list {
                        writer.put(&voter.0.to_be_bytes());
                        writer.unsigned_varint(0);
                    }
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
            Control::KraftVersion(value) => return (ControlRecordType::KraftVersion, value.to_vec()),
            Control::KraftVoters(value) => return (ControlRecordType::KraftVoters, value.to_vec()),
        };
        writer.unsigned_varint(0);
        (kind, writer.into_bytes())
    }

    fn decode(offset: Offset, key: &[u8], value: &[u8]) -> Result<Self, DecodeBatchError> {
        let control = |what| DecodeBatchError::Control { offset, what };
        let mut reader = Reader::new(value);
        match ControlRecordType::parse(key)? {
            ControlRecordType::LeaderChange => Control::decode_leader_change(&mut reader).map_err(control),
            ControlRecordType::SnapshotHeader => {
                reader.array::<2>().map_err(control)?;
                let timestamp = reader.array().map_err(control)?;
                Ok(Control::SnapshotHeader {
                    last_contained_timestamp: Timestamp(i64::from_be_bytes(timestamp)),
                })
            }
            ControlRecordType::SnapshotFooter => Ok(Control::SnapshotFooter),
            ControlRecordType::KraftVersion => Ok(Control::KraftVersion(value.into())),
            ControlRecordType::KraftVoters => Ok(Control::KraftVoters(value.into())),
            kind @ (ControlRecordType::Abort | ControlRecordType::Commit | ControlRecordType::Unknown(_)) => {
                Err(DecodeBatchError::UnknownControl {
                    offset,
                    kind: kind.id(),
                })
            }
        }
    }

    fn decode_leader_change(reader: &mut Reader<'_>) -> Result<Control, DecodeError> {
        let version = i16::from_be_bytes(reader.array()?);
        let leader = BrokerId(i32::from_be_bytes(reader.array()?));
        let mut voters = Vec::new();
        // one more than there are, as lengths are in this encoding; the bytes end a count that lies
        for _ in 1..reader.unsigned_varint()? {
            voters.push(BrokerId(i32::from_be_bytes(reader.array()?)));
            if version >= 1 {
                reader.array::<DIRECTORY_ID_BYTES>()?;
            }
            for _ in 0..reader.unsigned_varint()? {
                reader.unsigned_varint()?;
                let bytes = reader.unsigned_varint()?;
                reader.take(bytes as usize)?;
            }
        }
        Ok(Control::LeaderChange { leader, voters })
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
        Ok(LogBatch::decode_with_controls(batch)?.0)
    }

    pub(super) fn decode_with_controls(
        batch: &Batch<'_>,
    ) -> Result<(LogBatch, Vec<Control>), DecodeBatchError> {
        let (records, controls) = match decode(batch)? {
            Content::Records(records) => (records, Vec::new()),
            Content::Control(controls) => (Vec::new(), controls),
        };
        // Nothing takes a record out of this log. A batch that ends elsewhere would lead whoever takes it from another voter
        // to an end of the log that is not behind its records, or before where it was.
        let (base, last) = (batch.base_offset(), batch.last_offset());
        let count = records.len().max(controls.len());
        let spans = last.0.checked_sub(base.0).and_then(|delta| delta.checked_add(1));
        if count == 0 || spans.and_then(|spans| usize::try_from(spans).ok()) != Some(count) {
            return Err(DecodeBatchError::Offsets { base, last, count });
        }
        let batch = LogBatch {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            epoch: ControllerEpoch(batch.leader_epoch().0),
            timestamp: batch.max_timestamp(),
            records,
        };
        Ok((batch, controls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_are_the_drawn_ones() {
        // docs/FORMAT.md; a Kafka that takes the directory back reads them.
        let leader_change = Control::LeaderChange {
            leader: BrokerId(2),
            voters: vec![BrokerId(1), BrokerId(2)],
        };
        let snapshot = Control::SnapshotHeader {
            last_contained_timestamp: Timestamp(258),
        };
        let value = |control: &Control| control.encode().1;
        assert_eq!(
            value(&leader_change),
            [
                0, 0, 0, 0, 0, 2, // version, leader
                3, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, // voters
                2, 0, 0, 0, 2, 0, // granting
                0
            ]
        );
        assert_eq!(value(&snapshot), [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0]);
        assert_eq!(value(&Control::SnapshotFooter), [0, 0, 0]);
        // version 1, as Kafka writes it: each voter with its directory
        let mut later = vec![0, 1, 0, 0, 0, 2, 2, 0, 0, 0, 2];
        later.extend([7; DIRECTORY_ID_BYTES]);
        later.extend([0, 1, 0]);
        let key = ControlRecordType::LeaderChange.key();
        let found = Control::decode(Offset(0), &key, &later);
        let expected = Control::LeaderChange {
            leader: BrokerId(2),
            voters: vec![BrokerId(2)],
        };
        assert_eq!(found, Ok(expected));
    }
}
