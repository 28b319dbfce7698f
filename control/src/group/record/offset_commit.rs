//! A committed offset: key versions 0 and 1, value versions 0 to 4.

use bytes::Bytes;
use engine::types::{LeaderEpoch, Offset, Timestamp};
use uuid::Uuid;

use super::codec::{Form, Reader, RecordError, Writer};

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetCommitKey {
    pub group: String,
    pub topic: String,
    pub partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitValue {
    pub offset: Offset,
    /// From version 3.
    pub leader_epoch: LeaderEpoch,
    pub metadata: String,
    pub commit_timestamp: Timestamp,
    /// Version 1 only: the client asked for its own retention (OffsetCommit v2 to v4).
    pub expire_timestamp: Option<Timestamp>,
    /// From version 4.
    pub topic_id: Option<Uuid>,
}

const TOPIC_ID_TAG: u32 = 0;

impl OffsetCommitKey {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        Ok(OffsetCommitKey {
            group: reader.string("group")?,
            topic: reader.string("topic")?,
            partition: reader.int32("partition")?,
        })
    }

    pub(super) fn encode(&self, kind: i16) -> Bytes {
        let mut writer = Writer::new();
        writer.int16(kind);
        writer.string(&self.group);
        writer.string(&self.topic);
        writer.int32(self.partition);
        writer.finish()
    }
}

impl OffsetCommitValue {
    /// The version Kafka 4.3 writes: the newest, unless an expiry must be kept, which only version 1 has.
    pub(super) fn written_version(&self) -> i16 {
        if self.expire_timestamp.is_some() { 1 } else { 4 }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let version = reader.int16("version")?;
        let form = match version {
            0..=3 => Form::Classic,
            4 => Form::Flexible,
            _ => {
                return Err(RecordError::Version {
                    record: "OffsetCommitValue",
                    version,
                });
            }
        };
        let offset = Offset(reader.int64("offset")?);
        let leader_epoch = if version >= 3 {
            LeaderEpoch(reader.int32("leader epoch")?)
        } else {
            LeaderEpoch::NONE
        };
        let metadata = reader.string_in("metadata", form)?;
        let commit_timestamp = Timestamp(reader.int64("commit timestamp")?);
        let expire_timestamp = match version {
            1 => Some(Timestamp(reader.int64("expire timestamp")?)).filter(|at| at.0 != -1),
            _ => None,
        };
        let mut topic_id = None;
        if form == Form::Flexible {
            reader.tags(|tag, value| {
                if tag == TOPIC_ID_TAG {
                    topic_id = Some(value.uuid("topic id")?).filter(|id| !id.is_nil());
                }
                Ok(())
            })?;
        }
        Ok(OffsetCommitValue {
            offset,
            leader_epoch,
            metadata,
            commit_timestamp,
            expire_timestamp,
            topic_id,
        })
    }

    pub(super) fn encode(&self, version: i16) -> Bytes {
        let form = if version >= 4 {
            Form::Flexible
        } else {
            Form::Classic
        };
        let mut writer = Writer::new();
        writer.int16(version);
        writer.int64(self.offset.0);
        if version >= 3 {
            writer.int32(self.leader_epoch.0);
        }
        writer.string_in(&self.metadata, form);
        writer.int64(self.commit_timestamp.0);
        if version == 1 {
            writer.int64(self.expire_timestamp.map_or(-1, |at| at.0));
        }
        if form == Form::Flexible {
            match self.topic_id {
                Some(id) => {
                    writer.unsigned_varint(1);
                    writer.unsigned_varint(TOPIC_ID_TAG);
                    writer.unsigned_varint(16);
                    writer.uuid(id);
                }
                None => writer.no_tags(),
            }
        }
        writer.finish()
    }
}
