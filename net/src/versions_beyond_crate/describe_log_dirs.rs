//! DescribeLogDirs v1 to v5.

use bytes::BytesMut;
use kafka_protocol::messages::DescribeLogDirsRequest as CrateRequest;
use kafka_protocol::protocol::{Request, StrBytes};

use super::codec::{Codec, RESPONSE, message, same_bytes};
use crate::wire::{FrameReader, WireError, Writer};

same_bytes! {
    /// v5 asks as v4 does.
    DescribeLogDirsRequest over CrateRequest, crate until 4, here until 5
}

impl Request for DescribeLogDirsRequest {
    const KEY: i16 = 35;
    type Response = DescribeLogDirsResponse;
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct DescribeLogDirsResponse {
    pub throttle_time_ms: i32,
    /// Of the request as a whole (v3 on).
    pub error_code: i16,
    pub results: Vec<DescribeLogDirsResult>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DescribeLogDirsResult {
    pub error_code: i16,
    pub log_dir: StrBytes,
    pub topics: Vec<DescribeLogDirsTopic>,
    /// Of the volume; -1 = unknown (v4 on).
    pub total_bytes: i64,
    pub usable_bytes: i64,
    /// No new partitions go there (v5 on).
    pub is_cordoned: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct DescribeLogDirsTopic {
    pub name: StrBytes,
    pub partitions: Vec<DescribeLogDirsPartition>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DescribeLogDirsPartition {
    pub partition_index: i32,
    pub partition_size_bytes: i64,
    pub offset_lag: i64,
    pub is_future: bool,
}

impl Codec for DescribeLogDirsResponse {
    fn read(version: i16, reader: &mut FrameReader<'_>) -> Result<Self, WireError> {
        let response = DescribeLogDirsResponse {
            throttle_time_ms: reader.i32()?,
            error_code: if version >= 3 { reader.i16()? } else { 0 },
            results: reader.array_of(5, |reader| DescribeLogDirsResult::read(version, reader))?,
        };
        reader.end_struct()?;
        Ok(response)
    }

    fn write(&self, version: i16, out: &mut Writer<&mut BytesMut>) {
        out.i32(self.throttle_time_ms);
        if version >= 3 {
            out.i16(self.error_code);
        }
        out.array_of(&self.results, |out, result| result.write(version, out));
        out.end_struct();
    }
}

impl Codec for DescribeLogDirsResult {
    fn read(version: i16, reader: &mut FrameReader<'_>) -> Result<Self, WireError> {
        let result = DescribeLogDirsResult {
            error_code: reader.i16()?,
            log_dir: reader.string()?,
            topics: reader.array_of(3, |reader| {
                let name = reader.string()?;
                let partitions = reader.array_of(21, |reader| {
                    let partition = DescribeLogDirsPartition {
                        partition_index: reader.i32()?,
                        partition_size_bytes: reader.i64()?,
                        offset_lag: reader.i64()?,
                        is_future: reader.bool()?,
                    };
                    reader.end_struct()?;
                    Ok(partition)
                })?;
                reader.end_struct()?;
                Ok(DescribeLogDirsTopic { name, partitions })
            })?,
            total_bytes: if version >= 4 { reader.i64()? } else { -1 },
            usable_bytes: if version >= 4 { reader.i64()? } else { -1 },
            is_cordoned: version >= 5 && reader.bool()?,
        };
        reader.end_struct()?;
        Ok(result)
    }

    fn write(&self, version: i16, out: &mut Writer<&mut BytesMut>) {
        out.i16(self.error_code);
        out.string(&self.log_dir);
        out.array_of(&self.topics, |out, topic| {
            out.string(&topic.name);
            out.array_of(&topic.partitions, |out, partition| {
                out.i32(partition.partition_index);
                out.i64(partition.partition_size_bytes);
                out.i64(partition.offset_lag);
                out.bool(partition.is_future);
                out.end_struct();
            });
            out.end_struct();
        });
        if version >= 4 {
            out.i64(self.total_bytes);
            out.i64(self.usable_bytes);
        }
        if version >= 5 {
            out.bool(self.is_cordoned);
        }
        out.end_struct();
    }
}

message!(DescribeLogDirsResponse, versions 1..=5, flexible since 2, header RESPONSE);
