//! ListOffsets v1 to v11.

use kafka_protocol::messages::{ListOffsetsRequest as CrateRequest, ListOffsetsResponse as CrateResponse};
use kafka_protocol::protocol::Request;

use super::codec::same_bytes;

same_bytes! {
    /// v11 allows timestamp -6, the earliest offset not yet uploaded.
    ListOffsetsRequest over CrateRequest, crate until 10, here until 11
}

same_bytes! {
    /// v11 answers as v10 does.
    ListOffsetsResponse over CrateResponse, crate until 10, here until 11
}

impl Request for ListOffsetsRequest {
    const KEY: i16 = 2;
    type Response = ListOffsetsResponse;
}
