//! DeleteGroups v0 to v3.

use bytes::BytesMut;
use kafka_protocol::messages::DeleteGroupsRequest as CrateRequest;
use kafka_protocol::protocol::{Request, StrBytes};

use super::codec::{Codec, RESPONSE, message, same_bytes};
use crate::wire::{FrameReader, WireError, Writer};

same_bytes! {
    /// v3 asks as v2 does.
    DeleteGroupsRequest over CrateRequest, crate until 2, here until 3
}

impl Request for DeleteGroupsRequest {
    const KEY: i16 = 42;
    type Response = DeleteGroupsResponse;
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeleteGroupsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<DeletableGroupResult>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeletableGroupResult {
    pub group_id: StrBytes,
    pub error_code: i16,
    /// Written from v3 on.
    pub error_message: Option<StrBytes>,
}

impl Codec for DeleteGroupsResponse {
    fn read(version: i16, reader: &mut FrameReader<'_>) -> Result<Self, WireError> {
        let throttle_time_ms = reader.i32()?;
        let results = reader.array_of(4, |reader| {
            let result = DeletableGroupResult {
                group_id: reader.string()?,
                error_code: reader.i16()?,
                error_message: if version >= 3 {
                    reader.nullable_string()?
                } else {
                    None
                },
            };
            reader.end_struct()?;
            Ok(result)
        })?;
        reader.end_struct()?;
        Ok(DeleteGroupsResponse {
            throttle_time_ms,
            results,
        })
    }

    fn write(&self, version: i16, out: &mut Writer<&mut BytesMut>) {
        out.i32(self.throttle_time_ms);
        out.array_of(&self.results, |out, result| {
            out.string(&result.group_id);
            out.i16(result.error_code);
            if version >= 3 {
                out.nullable_string(result.error_message.as_deref());
            }
            out.end_struct();
        });
        out.end_struct();
    }
}

message!(DeleteGroupsResponse, versions 0..=3, flexible since 2, header RESPONSE);
