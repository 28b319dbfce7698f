//! ApiVersions v0 to v5.

use bytes::BytesMut;
use kafka_protocol::messages::ApiVersionsResponse as CrateResponse;
use kafka_protocol::protocol::{Request, StrBytes};

use super::codec::{Codec, REQUEST, message, same_bytes};
use crate::wire::{FrameReader, WireError, Writer};

/// Who connects, and from v5 on to whom it believes to talk.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiVersionsRequest {
    pub client_software_name: StrBytes,
    pub client_software_version: StrBytes,
    /// The cluster the client expects; null = it does not know (v5).
    pub cluster_id: Option<StrBytes>,
    /// The broker the client expects; -1 = it does not know (v5).
    pub node_id: i32,
}

impl Default for ApiVersionsRequest {
    fn default() -> Self {
        ApiVersionsRequest {
            client_software_name: StrBytes::new(),
            client_software_version: StrBytes::new(),
            cluster_id: None,
            node_id: -1,
        }
    }
}

impl Codec for ApiVersionsRequest {
    fn read(version: i16, reader: &mut FrameReader<'_>) -> Result<Self, WireError> {
        let mut request = ApiVersionsRequest::default();
        if version >= 3 {
            request.client_software_name = reader.string()?;
            request.client_software_version = reader.string()?;
        }
        if version >= 5 {
            request.cluster_id = reader.nullable_string()?;
            request.node_id = reader.i32()?;
        }
        reader.end_struct()?;
        Ok(request)
    }

    fn write(&self, version: i16, out: &mut Writer<&mut BytesMut>) {
        if version >= 3 {
            out.string(&self.client_software_name);
            out.string(&self.client_software_version);
        }
        if version >= 5 {
            out.nullable_string(self.cluster_id.as_deref());
            out.i32(self.node_id);
        }
        out.end_struct();
    }
}

message!(ApiVersionsRequest, versions 0..=5, flexible since 3, header REQUEST);

impl Request for ApiVersionsRequest {
    const KEY: i16 = 18;
    type Response = ApiVersionsResponse;
}

same_bytes! {
    /// v5 answers as v4 does.
    ApiVersionsResponse over CrateResponse, crate until 4, here until 5
}
