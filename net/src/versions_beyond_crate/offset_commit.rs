//! OffsetCommit v2 to v10.

use bytes::BytesMut;
use kafka_protocol::protocol::{Request, StrBytes};
use uuid::Uuid;

use super::codec::{Codec, REQUEST, RESPONSE, message};
use crate::wire::{FrameReader, WireError, Writer};

const TOPIC_ID_SINCE: i16 = 10;

#[derive(Debug, Clone, PartialEq)]
pub struct OffsetCommitRequest {
    pub group_id: StrBytes,
    /// Classic groups: generation. Consumer groups: member epoch. -1 = neither, offsets kept without membership.
    pub generation_id_or_member_epoch: i32,
    pub member_id: StrBytes,
    /// v7 on.
    pub group_instance_id: Option<StrBytes>,
    /// v2 to v4; -1 = the broker's retention.
    pub retention_time_ms: i64,
    pub topics: Vec<OffsetCommitTopic>,
}

impl Default for OffsetCommitRequest {
    fn default() -> Self {
        OffsetCommitRequest {
            group_id: StrBytes::new(),
            generation_id_or_member_epoch: -1,
            member_id: StrBytes::new(),
            group_instance_id: None,
            retention_time_ms: -1,
            topics: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct OffsetCommitTopic {
    /// Up to v9.
    pub name: StrBytes,
    /// From v10 on.
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetCommitPartition>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct OffsetCommitPartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    /// -1 = unknown (always before v6).
    pub committed_leader_epoch: i32,
    pub committed_metadata: Option<StrBytes>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct OffsetCommitResponse {
    /// v3 on.
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetCommitTopicResponse>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct OffsetCommitTopicResponse {
    pub name: StrBytes,
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetCommitPartitionResponse>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OffsetCommitPartitionResponse {
    pub partition_index: i32,
    pub error_code: i16,
}

impl Codec for OffsetCommitRequest {
    fn read(version: i16, reader: &mut FrameReader<'_>) -> Result<Self, WireError> {
        let request = OffsetCommitRequest {
            group_id: reader.string()?,
            generation_id_or_member_epoch: reader.i32()?,
            member_id: reader.string()?,
            group_instance_id: if version >= 7 {
                reader.nullable_string()?
            } else {
                None
            },
            retention_time_ms: if version <= 4 { reader.i64()? } else { -1 },
            topics: reader.array_of(3, |reader| {
                let (name, topic_id) = read_topic_name(version, reader)?;
                let partitions = reader.array_of(13, |reader| {
                    let partition = OffsetCommitPartition {
                        partition_index: reader.i32()?,
                        committed_offset: reader.i64()?,
                        committed_leader_epoch: if version >= 6 { reader.i32()? } else { -1 },
                        committed_metadata: reader.nullable_string()?,
                    };
                    reader.end_struct()?;
                    Ok(partition)
                })?;
                reader.end_struct()?;
                Ok(OffsetCommitTopic {
                    name,
                    topic_id,
                    partitions,
                })
            })?,
        };
        reader.end_struct()?;
        Ok(request)
    }

    fn write(&self, version: i16, out: &mut Writer<&mut BytesMut>) {
        out.string(&self.group_id);
        out.i32(self.generation_id_or_member_epoch);
        out.string(&self.member_id);
        if version >= 7 {
            out.nullable_string(self.group_instance_id.as_deref());
        }
        if version <= 4 {
            out.i64(self.retention_time_ms);
        }
        out.array_of(&self.topics, |out, topic| {
            write_topic_name(version, &topic.name, topic.topic_id, out);
            out.array_of(&topic.partitions, |out, partition| {
                out.i32(partition.partition_index);
                out.i64(partition.committed_offset);
                if version >= 6 {
                    out.i32(partition.committed_leader_epoch);
                }
                out.nullable_string(partition.committed_metadata.as_deref());
                out.end_struct();
            });
            out.end_struct();
        });
        out.end_struct();
    }
}

impl Codec for OffsetCommitResponse {
    fn read(version: i16, reader: &mut FrameReader<'_>) -> Result<Self, WireError> {
        let response = OffsetCommitResponse {
            throttle_time_ms: if version >= 3 { reader.i32()? } else { 0 },
            topics: reader.array_of(3, |reader| {
                let (name, topic_id) = read_topic_name(version, reader)?;
                let partitions = reader.array_of(6, |reader| {
                    let partition = OffsetCommitPartitionResponse {
                        partition_index: reader.i32()?,
                        error_code: reader.i16()?,
                    };
                    reader.end_struct()?;
                    Ok(partition)
                })?;
                reader.end_struct()?;
                Ok(OffsetCommitTopicResponse {
                    name,
                    topic_id,
                    partitions,
                })
            })?,
        };
        reader.end_struct()?;
        Ok(response)
    }

    fn write(&self, version: i16, out: &mut Writer<&mut BytesMut>) {
        if version >= 3 {
            out.i32(self.throttle_time_ms);
        }
        out.array_of(&self.topics, |out, topic| {
            write_topic_name(version, &topic.name, topic.topic_id, out);
            out.array_of(&topic.partitions, |out, partition| {
                out.i32(partition.partition_index);
                out.i16(partition.error_code);
                out.end_struct();
            });
            out.end_struct();
        });
        out.end_struct();
    }
}

pub(super) fn read_topic_name(
    version: i16,
    reader: &mut FrameReader<'_>,
) -> Result<(StrBytes, Uuid), WireError> {
    if version >= TOPIC_ID_SINCE {
        Ok((StrBytes::new(), reader.uuid()?))
    } else {
        Ok((reader.string()?, Uuid::nil()))
    }
}

pub(super) fn write_topic_name(version: i16, name: &str, topic_id: Uuid, out: &mut Writer<&mut BytesMut>) {
    if version >= TOPIC_ID_SINCE {
        out.uuid(topic_id);
    } else {
        out.string(name);
    }
}

message!(OffsetCommitRequest, versions 2..=10, flexible since 8, header REQUEST);
message!(OffsetCommitResponse, versions 2..=10, flexible since 8, header RESPONSE);

impl Request for OffsetCommitRequest {
    const KEY: i16 = 8;
    type Response = OffsetCommitResponse;
}
