//! From a codec of ours to kafka-protocol's traits.

use bytes::{Bytes, BytesMut};

use crate::wire::{FrameReader, WireError, Writer};

/// A message we read and write ourselves.
pub(super) trait Codec: Sized {
    fn read(version: i16, reader: &mut FrameReader<'_>) -> Result<Self, WireError>;
    fn write(&self, version: i16, out: &mut Writer<&mut BytesMut>);
}

pub(super) fn out_of_range(name: &str, version: i16) -> anyhow::Error {
    anyhow::Error::msg(format!("{name} has no version {version}"))
}

/// The bytes of a message: what the crate's `Encodable` wants before it knows where they go.
pub(super) fn encoded<T: Codec>(message: &T, version: i16, flexible_since: i16) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(256);
    message.write(
        version,
        &mut Writer::new(&mut bytes, crate::wire::Encoding::of(version, flexible_since)),
    );
    bytes
}

/// Reads a message and says how many bytes it took.
pub(super) fn decoded<T: Codec>(
    frame: &Bytes,
    version: i16,
    flexible_since: i16,
) -> Result<(T, usize), WireError> {
    let mut reader = FrameReader::new(frame, crate::wire::Encoding::of(version, flexible_since));
    let message = T::read(version, &mut reader)?;
    Ok((message, reader.position()))
}

/// Implements the crate's traits over [`Codec`].
macro_rules! message {
    ($name:ident, versions $min:literal..=$max:literal, flexible since $flexible:literal, header $header:expr) => {
        impl kafka_protocol::protocol::Message for $name {
            const VERSIONS: kafka_protocol::protocol::VersionRange = kafka_protocol::protocol::VersionRange {
                min: $min,
                max: $max,
            };
            const DEPRECATED_VERSIONS: Option<kafka_protocol::protocol::VersionRange> = None;
        }

        impl kafka_protocol::protocol::HeaderVersion for $name {
            fn header_version(version: i16) -> i16 {
                let header: fn(bool) -> i16 = $header;
                header(version >= $flexible)
            }
        }

        impl kafka_protocol::protocol::Encodable for $name {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(
                &self,
                buf: &mut B,
                version: i16,
            ) -> anyhow::Result<()> {
                if !($min..=$max).contains(&version) {
                    return Err($crate::versions_beyond_crate::codec::out_of_range(
                        stringify!($name),
                        version,
                    ));
                }
                buf.put_slice(&$crate::versions_beyond_crate::codec::encoded(
                    self, version, $flexible,
                ));
                Ok(())
            }

            fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
                Ok($crate::versions_beyond_crate::codec::encoded(self, version, $flexible).len())
            }
        }

        impl kafka_protocol::protocol::Decodable for $name {
            fn decode<B: kafka_protocol::protocol::buf::ByteBuf>(
                buf: &mut B,
                version: i16,
            ) -> anyhow::Result<Self> {
                if !($min..=$max).contains(&version) {
                    return Err($crate::versions_beyond_crate::codec::out_of_range(
                        stringify!($name),
                        version,
                    ));
                }
                let frame = buf.peek_bytes(0..buf.remaining());
                let (message, length) =
                    $crate::versions_beyond_crate::codec::decoded(&frame, version, $flexible)
                        .map_err(|error| anyhow::Error::msg(error.to_string()))?;
                buf.advance(length);
                Ok(message)
            }
        }
    };
}

/// A message whose newest version has the bytes of the crate's newest: a newtype that asks the crate for that one.
macro_rules! same_bytes {
    ($(#[$doc:meta])* $name:ident over $crates:ty, crate until $crate_max:literal, here until $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name(pub $crates);

        impl std::ops::Deref for $name {
            type Target = $crates;

            fn deref(&self) -> &$crates {
                &self.0
            }
        }

        impl std::ops::DerefMut for $name {
            fn deref_mut(&mut self) -> &mut $crates {
                &mut self.0
            }
        }

        impl From<$crates> for $name {
            fn from(message: $crates) -> $name {
                $name(message)
            }
        }

        impl kafka_protocol::protocol::Message for $name {
            const VERSIONS: kafka_protocol::protocol::VersionRange = kafka_protocol::protocol::VersionRange {
                min: <$crates as kafka_protocol::protocol::Message>::VERSIONS.min,
                max: $max,
            };
            const DEPRECATED_VERSIONS: Option<kafka_protocol::protocol::VersionRange> = None;
        }

        impl kafka_protocol::protocol::HeaderVersion for $name {
            fn header_version(version: i16) -> i16 {
                <$crates as kafka_protocol::protocol::HeaderVersion>::header_version(version)
            }
        }

        impl kafka_protocol::protocol::Encodable for $name {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(
                &self,
                buf: &mut B,
                version: i16,
            ) -> anyhow::Result<()> {
                self.0.encode(buf, if version == $max { $crate_max } else { version })
            }

            fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
                self.0.compute_size(if version == $max { $crate_max } else { version })
            }
        }

        impl kafka_protocol::protocol::Decodable for $name {
            fn decode<B: kafka_protocol::protocol::buf::ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
                let version = if version == $max { $crate_max } else { version };
                <$crates as kafka_protocol::protocol::Decodable>::decode(buf, version).map($name)
            }
        }
    };
}

/// Request header v2 for flexible versions, v1 before.
pub(super) const REQUEST: fn(bool) -> i16 = |flexible| if flexible { 2 } else { 1 };
/// Response header v1 for flexible versions, v0 before.
pub(super) const RESPONSE: fn(bool) -> i16 = |flexible| if flexible { 1 } else { 0 };

pub(super) use {message, same_bytes};
