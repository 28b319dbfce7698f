//! Request and response headers.
//!
//! ```text
//! request   v1: api key i16 | api version i16 | correlation id i32 | client id (classic nullable string)
//!           v2: the same and tagged fields           v0, without client id, is of no API we serve
//! response  v0: correlation id i32                   v1: the same and tagged fields
//! ```
//! Flexible versions of an API have request header v2 and response header v1. One exception, for ever: answers to
//! ApiVersions have header v0, since a client that asks does not know yet what the broker speaks (KIP-511).

use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::protocol::StrBytes;

use crate::shape;
use crate::wire::{Encoding, Reader, WireError};

/// API key of ApiVersions.
pub const API_VERSIONS: i16 = 18;

/// Who asks what; an absent client id reads as empty, as in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: StrBytes,
}

/// Why a frame does not begin with a header. Kafka closes the connection, so do we: without a correlation id, or a
/// known API, there is no answer a client could read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("API key {api_key} (version {api_version}) is not known")]
    UnknownApi { api_key: i16, api_version: i16 },
    #[error("header: {0}")]
    Malformed(#[from] WireError),
}

impl RequestHeader {
    /// Takes the header off the front of `frame`. The version may be one we do not serve: an unknown version of
    /// ApiVersions still gets an answer.
    pub fn split_from(frame: &mut BytesMut) -> Result<RequestHeader, HeaderError> {
        let mut reader = Reader::new(frame, Encoding::Classic);
        let api_key = reader.i16()?;
        let api_version = reader.i16()?;
        let api = shape::api(api_key).ok_or(HeaderError::UnknownApi { api_key, api_version })?;
        let correlation_id = reader.i32()?;
        // a copy of some ten bytes: a slice would keep the frame, and with it the records, from being owned alone
        let client_id = StrBytes::from_string(reader.classic_nullable_str()?.unwrap_or_default().to_owned());
        let fixed = reader.position();
        let mut rest = Reader::new(frame.get(fixed..).unwrap_or_default(), Encoding::Flexible);
        if api.is_flexible(api_version) {
            rest.end_struct()?;
        }
        let header_bytes = fixed + rest.position();
        frame.advance(header_bytes);
        Ok(RequestHeader {
            api_key,
            api_version,
            correlation_id,
            client_id,
        })
    }

    /// Appends the header: the client's side.
    pub fn write(&self, encoding: Encoding, out: &mut BytesMut) {
        out.put_i16(self.api_key);
        out.put_i16(self.api_version);
        out.put_i32(self.correlation_id);
        let client_id = self.client_id.as_bytes();
        let client_id = client_id.get(..i16::MAX as usize).unwrap_or(client_id);
        out.put_i16(client_id.len() as i16);
        out.put_slice(client_id);
        if encoding.is_flexible() {
            out.put_u8(0);
        }
    }

    /// The encoding of the answer's header.
    pub fn response_encoding(&self) -> Encoding {
        response_encoding(self.api_key, self.api_version)
    }
}

/// The encoding of the header of an answer to this API and version.
pub fn response_encoding(api_key: i16, api_version: i16) -> Encoding {
    let flexible = shape::api(api_key).is_some_and(|api| api.is_flexible(api_version));
    if flexible && api_key != API_VERSIONS {
        Encoding::Flexible
    } else {
        Encoding::Classic
    }
}

/// Appends a response header.
pub fn write_response_header(correlation_id: i32, encoding: Encoding, out: &mut BytesMut) {
    out.put_i32(correlation_id);
    if encoding.is_flexible() {
        out.put_u8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(api_key: i16, api_version: i16) -> RequestHeader {
        RequestHeader {
            api_key,
            api_version,
            correlation_id: 77,
            client_id: "kcat".into(),
        }
    }

    #[test]
    fn every_api_and_version_round_trips_as_kafka_protocol_writes_it() {
        for api in shape::apis() {
            for version in api.version_min..=api.version_max {
                let mut frame = BytesMut::new();
                let theirs = kafka_protocol::messages::RequestHeader::default()
                    .with_request_api_key(api.key)
                    .with_request_api_version(version)
                    .with_correlation_id(77)
                    .with_client_id(Some("kcat".into()));
                kafka_protocol::protocol::encode_request_header_into_buffer(&mut frame, &theirs).unwrap();
                let mut ours = BytesMut::new();
                header(api.key, version).write(Encoding::of(version, api.flexible_since), &mut ours);
                assert_eq!(ours, frame, "{} v{version}", api.name);
                frame.extend_from_slice(b"body");
                assert_eq!(
                    RequestHeader::split_from(&mut frame),
                    Ok(header(api.key, version))
                );
                assert_eq!(&frame[..], b"body");
            }
        }
    }

    #[test]
    fn answers_to_api_versions_never_have_tagged_fields() {
        assert_eq!(response_encoding(18, 3), Encoding::Classic);
        assert_eq!(response_encoding(18, 99), Encoding::Classic);
        assert_eq!(response_encoding(3, 9), Encoding::Flexible);
        assert_eq!(response_encoding(3, 8), Encoding::Classic);
        assert_eq!(response_encoding(47, 0), Encoding::Classic);
    }

    #[test]
    fn no_header_is_no_panic() {
        for bytes in [
            &b""[..],
            &[0, 3, 0, 1, 0, 0],
            &[0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff],
            &[0x47, 0x45, 0x54, 0x20],
        ] {
            assert!(
                RequestHeader::split_from(&mut BytesMut::from(bytes)).is_err(),
                "{bytes:?}"
            );
        }
        let mut null_client_id = BytesMut::from(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff][..]);
        let header = RequestHeader::split_from(&mut null_client_id).unwrap();
        assert_eq!(&*header.client_id, "");
    }
}
