//! Entries of the quorum as batches of the log, and back.

use bytes::Bytes;
use engine::batch::{BatchError, Batches};
use engine::types::{Offset, Timestamp};

use super::voters_record;
use crate::quorum::{Body, ControlRecord, Entry, VoterSet};
use crate::store::batch::{self, Control, LogBatch};
use crate::store::error::{AppendError, DecodeBatchError};
use crate::store::quorum::Quorum;

pub(super) fn encode(entry: &Entry, now: Timestamp) -> Result<Bytes, AppendError> {
    let records = match &entry.body {
        Body::Batch(bytes) => return Ok(bytes.clone()),
        Body::Control(records) => records,
    };
    let controls: Vec<Control> = records.iter().map(control).collect();
    batch::encode_control(entry.base_offset, entry.epoch, now, &controls).map(Bytes::from)
}

fn control(record: &ControlRecord) -> Control {
    match record {
        ControlRecord::LeaderChange { leader, voters, .. } => Control::LeaderChange {
            leader: *leader,
            voters: voters.clone(),
        },
        ControlRecord::KraftVersion(version) => {
            Control::KraftVersion(voters_record::encode_version(*version))
        }
        ControlRecord::Voters(voters) => Control::KraftVoters(voters_record::encode(voters)),
    }
}

/// The whole batches in `bytes` from the one that begins at `from` on; a batch that is cut off at the end is left out. What
/// comes from another machine goes to the disk from here: every record is looked at.
pub fn decode(bytes: &Bytes, from: Offset) -> Result<Vec<Entry>, DecodeBatchError> {
    let mut entries = Vec::new();
    let mut position = 0;
    for batch in Batches::new(bytes) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(BatchError::Truncated { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        let start = position;
        position += batch.size_bytes();
        if batch.base_offset() < from {
            continue;
        }
        let (decoded, controls) = LogBatch::decode_with_controls(&batch)?;
        let voters = controls.iter().rev().find_map(|control| match control {
            Control::KraftVoters(value) => Some(value),
            _ => None,
        });
        let offset = decoded.base_offset;
        let voters = voters
            .map(|value| voters_record::decode(value))
            .transpose()
            .map_err(|what| DecodeBatchError::Control { offset, what })?;
        entries.push(Entry {
            base_offset: decoded.base_offset,
            last_offset: decoded.last_offset,
            epoch: decoded.epoch,
            voters,
            body: Body::Batch(bytes.slice(start..position)),
        });
    }
    Ok(entries)
}

/// What a snapshot has to say of these voters.
pub(super) fn quorum(voters: Option<&VoterSet>) -> Quorum {
    let mut quorum = Quorum::default();
    if let Some(voters) = voters {
        quorum.replay(&Control::KraftVersion(voters_record::encode_version(1)));
        quorum.replay(&Control::KraftVoters(voters_record::encode(voters)));
    }
    quorum
}

#[cfg(test)]
mod tests {
    use engine::batch::{CRC_START, HEADER_BYTES, crc};

    use super::*;
    use crate::record::{ControllerEpoch, NoOpRecord, Record};

    /// What is said of a batch once its CRC agrees.
    fn refusal(mut bytes: Vec<u8>) -> Result<Vec<Entry>, DecodeBatchError> {
        let sum = crc::crc32c(&bytes[CRC_START..]);
        bytes[17..21].copy_from_slice(&sum.to_be_bytes());
        decode(&bytes.into(), Offset::ZERO)
    }

    #[test]
    fn a_batch_that_does_not_end_with_its_records_is_refused() {
        // Its CRC is right, so another voter wrote it: taken as it is, it would move the log's end back, or past what is there.
        let records = [
            Record::from(NoOpRecord::default()),
            Record::from(NoOpRecord::default()),
        ];
        let bytes = batch::encode(Offset(7), ControllerEpoch(1), Timestamp(1), &records).expect("encodes");
        let entries = decode(&bytes.clone().into(), Offset(7)).expect("decodes");
        assert_eq!(
            (entries[0].base_offset, entries[0].last_offset),
            (Offset(7), Offset(8))
        );
        let mut nothing = bytes[..HEADER_BYTES].to_vec();
        nothing[8..12].copy_from_slice(&(HEADER_BYTES as i32 - 12).to_be_bytes());
        nothing[23..27].copy_from_slice(&(-1i32).to_be_bytes());
        nothing[57..61].copy_from_slice(&0i32.to_be_bytes());
        let refused = refusal(nothing);
        assert!(
            matches!(refused, Err(DecodeBatchError::Offsets { count: 0, .. })),
            "{refused:?}"
        );
        for delta in [-3i32, -1, 0, 2, i32::MAX] {
            let mut bytes = bytes.clone();
            bytes[23..27].copy_from_slice(&delta.to_be_bytes());
            let refused = refusal(bytes);
            assert!(
                matches!(refused, Err(DecodeBatchError::Offsets { count: 2, .. })),
                "{delta}: {refused:?}"
            );
        }
    }
}
