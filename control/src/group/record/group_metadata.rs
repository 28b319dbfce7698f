//! A generation of a group: value versions 0 to 4.

use bytes::Bytes;
use engine::types::Timestamp;

use super::codec::{Form, Reader, RecordError, Writer};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadataValue {
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// From version 2: when the group came into the state the record tells of.
    pub current_state_timestamp: Option<Timestamp>,
    pub members: Vec<MemberMetadata>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    pub member_id: String,
    /// From version 3.
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// From version 1; -1 stands for "the session timeout".
    pub rebalance_timeout: i32,
    pub session_timeout: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

/// The least bytes a member takes in any version: four empty strings or arrays and a number, in compact form.
const MEMBER_BYTES_LEAST: usize = 9;

impl GroupMetadataValue {
    /// The newest version without tagged fields, which is what Kafka 4.3 writes.
    pub(super) const WRITTEN_VERSION: i16 = 3;

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let version = reader.int16("version")?;
        let form = match version {
            0..=3 => Form::Classic,
            4 => Form::Flexible,
            _ => {
                return Err(RecordError::Version {
                    record: "GroupMetadataValue",
                    version,
                });
            }
        };
        let protocol_type = reader.string_in("protocol type", form)?;
        let generation = reader.int32("generation")?;
        let protocol = reader.nullable_string_in("protocol", form)?;
        let leader = reader.nullable_string_in("leader", form)?;
        let current_state_timestamp = match version {
            0 | 1 => None,
            _ => Some(Timestamp(reader.int64("state timestamp")?)).filter(|at| at.0 != -1),
        };
        let count = reader.count_in("members", form, MEMBER_BYTES_LEAST)?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            members.push(MemberMetadata::read(&mut reader, version, form)?);
        }
        if form == Form::Flexible {
            reader.skip_tags()?;
        }
        Ok(GroupMetadataValue {
            protocol_type,
            generation,
            protocol,
            leader,
            current_state_timestamp,
            members,
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
        writer.string_in(&self.protocol_type, form);
        writer.int32(self.generation);
        writer.nullable_string_in(self.protocol.as_deref(), form);
        writer.nullable_string_in(self.leader.as_deref(), form);
        if version >= 2 {
            writer.int64(self.current_state_timestamp.map_or(-1, |at| at.0));
        }
        writer.count_in(self.members.len(), form);
        for member in &self.members {
            member.write(&mut writer, version, form);
        }
        if form == Form::Flexible {
            writer.no_tags();
        }
        writer.finish()
    }
}

impl MemberMetadata {
    fn read(reader: &mut Reader<'_>, version: i16, form: Form) -> Result<Self, RecordError> {
        let member_id = reader.string_in("member id", form)?;
        let group_instance_id = if version >= 3 {
            reader.nullable_string_in("instance id", form)?
        } else {
            None
        };
        let client_id = reader.string_in("client id", form)?;
        let client_host = reader.string_in("client host", form)?;
        let rebalance_timeout = if version >= 1 {
            reader.int32("rebalance timeout")?
        } else {
            -1
        };
        let session_timeout = reader.int32("session timeout")?;
        let subscription = reader.bytes_in("subscription", form)?;
        let assignment = reader.bytes_in("assignment", form)?;
        if form == Form::Flexible {
            reader.skip_tags()?;
        }
        Ok(MemberMetadata {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            rebalance_timeout,
            session_timeout,
            subscription,
            assignment,
        })
    }

    fn write(&self, writer: &mut Writer, version: i16, form: Form) {
        writer.string_in(&self.member_id, form);
        if version >= 3 {
            writer.nullable_string_in(self.group_instance_id.as_deref(), form);
        }
        writer.string_in(&self.client_id, form);
        writer.string_in(&self.client_host, form);
        if version >= 1 {
            writer.int32(self.rebalance_timeout);
        }
        writer.int32(self.session_timeout);
        writer.bytes_in(&self.subscription, form);
        writer.bytes_in(&self.assignment, form);
        if form == Form::Flexible {
            writer.no_tags();
        }
    }
}
