//! OffsetFetch v1 to v10. Up to v7 a request is about one group; here it is always a list of groups, and the older
//! versions have exactly one in it.

use bytes::BytesMut;
use kafka_protocol::protocol::{Request, StrBytes};
use uuid::Uuid;

use super::codec::{Codec, REQUEST, RESPONSE, message};
use super::offset_commit::{read_topic_name, write_topic_name};
use crate::wire::{FrameReader, WireError, Writer};

/// The first version that asks for several groups at once.
const GROUPS_SINCE: i16 = 8;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct OffsetFetchRequest {
    pub groups: Vec<OffsetFetchGroup>,
    /// Wait (with an error) for offsets of open transactions (v7 on).
    pub require_stable: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OffsetFetchGroup {
    pub group_id: StrBytes,
    /// Consumer groups only (v9 on).
    pub member_id: Option<StrBytes>,
    /// -1 = not a member.
    pub member_epoch: i32,
    /// `None` = all topics the group has offsets for (v2 on).
    pub topics: Option<Vec<OffsetFetchTopic>>,
}

impl Default for OffsetFetchGroup {
    fn default() -> Self {
        OffsetFetchGroup {
            group_id: StrBytes::new(),
            member_id: None,
            member_epoch: -1,
            topics: None,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct OffsetFetchTopic {
    /// Up to v9.
    pub name: StrBytes,
    /// From v10 on.
    pub topic_id: Uuid,
    pub partition_indexes: Vec<i32>,
}

/// Up to v7 the answer is about one group: the first of `groups` is written. Its error is written from v2 on; a v1
/// answer can say it only per partition, which is the handler's to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OffsetFetchResponse {
    /// v3 on.
    pub throttle_time_ms: i32,
    pub groups: Vec<OffsetFetchGroupResponse>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct OffsetFetchGroupResponse {
    /// Written from v8 on.
    pub group_id: StrBytes,
    pub topics: Vec<OffsetFetchTopicResponse>,
    pub error_code: i16,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct OffsetFetchTopicResponse {
    pub name: StrBytes,
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetFetchPartitionResponse>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OffsetFetchPartitionResponse {
    pub partition_index: i32,
    /// -1 = none.
    pub committed_offset: i64,
    /// -1 = unknown (v5 on).
    pub committed_leader_epoch: i32,
    pub metadata: Option<StrBytes>,
    pub error_code: i16,
}

impl Default for OffsetFetchPartitionResponse {
    fn default() -> Self {
        OffsetFetchPartitionResponse {
            partition_index: 0,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: None,
            error_code: 0,
        }
    }
}

impl Codec for OffsetFetchRequest {
    fn read(version: i16, reader: &mut FrameReader<'_>) -> Result<Self, WireError> {
        let groups = if version >= GROUPS_SINCE {
            reader.array_of(3, |reader| {
                let group = OffsetFetchGroup {
                    group_id: reader.string()?,
                    member_id: if version >= 9 {
                        reader.nullable_string()?
                    } else {
                        None
                    },
                    member_epoch: if version >= 9 { reader.i32()? } else { -1 },
                    topics: read_topics(version, reader)?,
                };
                reader.end_struct()?;
                Ok(group)
            })?
        } else {
            let group_id = reader.string()?;
            let at = reader.position();
            let topics = read_topics(version, reader)?;
            if version < 2 && topics.is_none() {
                return Err(WireError::UnexpectedNull { at });
            }
            vec![OffsetFetchGroup {
                group_id,
                topics,
                ..OffsetFetchGroup::default()
            }]
        };
        let require_stable = version >= 7 && reader.bool()?;
        reader.end_struct()?;
        Ok(OffsetFetchRequest {
            groups,
            require_stable,
        })
    }

    fn write(&self, version: i16, out: &mut Writer<&mut BytesMut>) {
        if version >= GROUPS_SINCE {
            out.array_of(&self.groups, |out, group| {
                out.string(&group.group_id);
                if version >= 9 {
                    out.nullable_string(group.member_id.as_deref());
                    out.i32(group.member_epoch);
                }
                write_topics(version, group.topics.as_deref(), out);
                out.end_struct();
            });
        } else {
            let group = self.groups.first();
            out.string(group.map_or("", |group| &group.group_id));
            let topics = group.and_then(|group| group.topics.as_deref());
            write_topics(
                version,
                if version < 2 {
                    Some(topics.unwrap_or_default())
                } else {
                    topics
                },
                out,
            );
        }
        if version >= 7 {
            out.bool(self.require_stable);
        }
        out.end_struct();
    }
}

fn read_topics(
    version: i16,
    reader: &mut FrameReader<'_>,
) -> Result<Option<Vec<OffsetFetchTopic>>, WireError> {
    reader.nullable_array_of(3, |reader| {
        let (name, topic_id) = read_topic_name(version, reader)?;
        let partition_indexes = reader.array_of(4, |reader| reader.i32())?;
        reader.end_struct()?;
        Ok(OffsetFetchTopic {
            name,
            topic_id,
            partition_indexes,
        })
    })
}

fn write_topics(version: i16, topics: Option<&[OffsetFetchTopic]>, out: &mut Writer<&mut BytesMut>) {
    out.nullable_array_of(topics, |out, topic| {
        write_topic_name(version, &topic.name, topic.topic_id, out);
        out.array_of(&topic.partition_indexes, |out, index| out.i32(*index));
        out.end_struct();
    });
}

impl Codec for OffsetFetchResponse {
    fn read(version: i16, reader: &mut FrameReader<'_>) -> Result<Self, WireError> {
        let throttle_time_ms = if version >= 3 { reader.i32()? } else { 0 };
        let groups = if version >= GROUPS_SINCE {
            reader.array_of(4, |reader| {
                let group = OffsetFetchGroupResponse {
                    group_id: reader.string()?,
                    topics: read_answers(version, reader)?,
                    error_code: reader.i16()?,
                };
                reader.end_struct()?;
                Ok(group)
            })?
        } else {
            let topics = read_answers(version, reader)?;
            let error_code = if version >= 2 { reader.i16()? } else { 0 };
            vec![OffsetFetchGroupResponse {
                group_id: StrBytes::new(),
                topics,
                error_code,
            }]
        };
        reader.end_struct()?;
        Ok(OffsetFetchResponse {
            throttle_time_ms,
            groups,
        })
    }

    fn write(&self, version: i16, out: &mut Writer<&mut BytesMut>) {
        if version >= 3 {
            out.i32(self.throttle_time_ms);
        }
        if version >= GROUPS_SINCE {
            out.array_of(&self.groups, |out, group| {
                out.string(&group.group_id);
                write_answers(version, &group.topics, out);
                out.i16(group.error_code);
                out.end_struct();
            });
        } else {
            let group = self.groups.first();
            write_answers(version, group.map_or(&[], |group| &group.topics), out);
            if version >= 2 {
                out.i16(group.map_or(0, |group| group.error_code));
            }
        }
        out.end_struct();
    }
}

fn read_answers(
    version: i16,
    reader: &mut FrameReader<'_>,
) -> Result<Vec<OffsetFetchTopicResponse>, WireError> {
    reader.array_of(3, |reader| {
        let (name, topic_id) = read_topic_name(version, reader)?;
        let partitions = reader.array_of(15, |reader| {
            let partition = OffsetFetchPartitionResponse {
                partition_index: reader.i32()?,
                committed_offset: reader.i64()?,
                committed_leader_epoch: if version >= 5 { reader.i32()? } else { -1 },
                metadata: reader.nullable_string()?,
                error_code: reader.i16()?,
            };
            reader.end_struct()?;
            Ok(partition)
        })?;
        reader.end_struct()?;
        Ok(OffsetFetchTopicResponse {
            name,
            topic_id,
            partitions,
        })
    })
}

fn write_answers(version: i16, topics: &[OffsetFetchTopicResponse], out: &mut Writer<&mut BytesMut>) {
    out.array_of(topics, |out, topic| {
        write_topic_name(version, &topic.name, topic.topic_id, out);
        out.array_of(&topic.partitions, |out, partition| {
            out.i32(partition.partition_index);
            out.i64(partition.committed_offset);
            if version >= 5 {
                out.i32(partition.committed_leader_epoch);
            }
            out.nullable_string(partition.metadata.as_deref());
            out.i16(partition.error_code);
            out.end_struct();
        });
        out.end_struct();
    });
}

message!(OffsetFetchRequest, versions 1..=10, flexible since 6, header REQUEST);
message!(OffsetFetchResponse, versions 1..=10, flexible since 6, header RESPONSE);

impl Request for OffsetFetchRequest {
    const KEY: i16 = 9;
    type Response = OffsetFetchResponse;
}
