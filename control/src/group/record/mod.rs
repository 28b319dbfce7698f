//! Records of `__consumer_offsets`, as Kafka writes and reads them.
//!
//! ```text
//! key    int16 kind-and-version, then the fields         0, 1: offset commit    2: group
//! value  int16 version, then the fields                  no value: a tombstone
//! ```
//! Other kinds (the newer group protocols) are kept apart as [`Record::Unknown`]: a coordinator that does not know
//! them must leave them alone and must not stumble over them. Fields of versions with tagged fields may be followed
//! by tags unknown here; they are skipped, as KIP-915 asks.

mod codec;
mod group_metadata;
mod offset_commit;

use bytes::Bytes;

pub use codec::RecordError;
pub use group_metadata::{GroupMetadataValue, MemberMetadata};
pub use offset_commit::{OffsetCommitKey, OffsetCommitValue};

use codec::{Reader, Writer};

const OFFSET_COMMIT_KEY_LEGACY: i16 = 0;
const OFFSET_COMMIT_KEY: i16 = 1;
const GROUP_METADATA_KEY: i16 = 2;

/// One record, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// What a group committed for a partition; `None` takes it back.
    OffsetCommit {
        key: OffsetCommitKey,
        value: Option<OffsetCommitValue>,
    },
    /// A generation of a group; `None` ends the group.
    GroupMetadata {
        group: String,
        value: Option<GroupMetadataValue>,
    },
    /// A kind this coordinator does not serve.
    Unknown { kind: i16 },
}

/// One record as the log takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRecord {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

impl Record {
    /// Reads a record of the log. An error means damage, or a version newer than this reader.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Record, RecordError> {
        let mut reader = Reader::new(key);
        match reader.int16("key kind")? {
            OFFSET_COMMIT_KEY_LEGACY | OFFSET_COMMIT_KEY => Ok(Record::OffsetCommit {
                key: OffsetCommitKey::read(&mut reader)?,
                value: value.map(OffsetCommitValue::decode).transpose()?,
            }),
            GROUP_METADATA_KEY => Ok(Record::GroupMetadata {
                group: reader.string("group")?,
                value: value.map(GroupMetadataValue::decode).transpose()?,
            }),
            kind => Ok(Record::Unknown { kind }),
        }
    }

    /// The bytes Kafka 4.3 would write. [`Record::Unknown`] is never written: nobody decides one.
    pub fn encode(&self) -> Option<EncodedRecord> {
        match self {
            Record::OffsetCommit { key, value } => Some(EncodedRecord {
                key: key.encode(OFFSET_COMMIT_KEY),
                value: value.as_ref().map(|v| v.encode(v.written_version())),
            }),
            Record::GroupMetadata { group, value } => {
                let mut writer = Writer::new();
                writer.int16(GROUP_METADATA_KEY);
                writer.string(group);
                Some(EncodedRecord {
                    key: writer.finish(),
                    value: value
                        .as_ref()
                        .map(|v| v.encode(GroupMetadataValue::WRITTEN_VERSION)),
                })
            }
            Record::Unknown { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
