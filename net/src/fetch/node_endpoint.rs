//! Where a broker is, told along with the leader a client should have asked (KIP-951).

use kafka_protocol::protocol::StrBytes;

use crate::wire::{Encoding, Writer};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: StrBytes,
    pub port: i32,
    pub rack: Option<StrBytes>,
}

impl NodeEndpoint {
    /// As the value of a tagged field; `None` for no endpoints, which are not written at all.
    pub(crate) fn to_tagged(endpoints: &[NodeEndpoint]) -> Option<Vec<u8>> {
        if endpoints.is_empty() {
            return None;
        }
        let mut out = Writer::new(Vec::new(), Encoding::Flexible);
        out.array_of(endpoints, |out, endpoint| {
            out.i32(endpoint.node_id);
            out.string(&endpoint.host);
            out.i32(endpoint.port);
            out.nullable_string(endpoint.rack.as_deref());
            out.end_struct();
        });
        Some(out.into_inner())
    }
}
