//! Whole messages off the hot path: shape check, then kafka-protocol (or a codec of `versions_beyond_crate`).

use bytes::Bytes;
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request};

use crate::frame::{finish_frame, start_frame};
use crate::header::write_response_header;
use crate::shape::{self, ShapeError};
use crate::wire::Encoding;

/// Why a body is not the request its header announced. Kafka closes the connection then.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error("API key {key} v{version}: {reason}")]
    Content { key: i16, version: i16, reason: String },
}

/// Why an answer of ours cannot be written: a field of it does not exist at that version, a bug of the handler.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode version {version}: {reason}")]
pub struct EncodeError {
    pub version: i16,
    pub reason: String,
}

/// Decodes a request. Bytes after the message are ignored, as Kafka does (measured on kafka-clients 4.4.0).
pub fn decode_request<T: Request>(version: i16, mut body: Bytes) -> Result<T, DecodeError> {
    let length = shape::check(T::KEY, version, &body)?;
    body.truncate(length);
    T::decode(&mut body, version).map_err(|error| DecodeError::Content {
        key: T::KEY,
        version,
        reason: format!("{error:#}"),
    })
}

/// An answer as a frame: length, header, body.
pub fn encode_response<T>(version: i16, correlation_id: i32, response: &T) -> Result<Bytes, EncodeError>
where
    T: Encodable + HeaderVersion,
{
    let encoding = if T::header_version(version) >= 1 {
        Encoding::Flexible
    } else {
        Encoding::Classic
    };
    let mut frame = start_frame();
    write_response_header(correlation_id, encoding, &mut frame);
    response
        .encode(&mut frame, version)
        .map_err(|error| EncodeError {
            version,
            reason: format!("{error:#}"),
        })?;
    Ok(finish_frame(frame))
}
