//! Walking a message by its table.

use super::field::{Api, Field, Kind};
use crate::wire::{Encoding, Reader, Tag, WireError};

/// Where a request does not have the shape of its API and version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("API key {key} is not known")]
    UnknownApi { key: i16 },
    #[error("{api} has no version {version}")]
    UnsupportedVersion { api: &'static str, version: i16 },
    #[error("{api} v{version}, field {field}: {source}")]
    Malformed {
        api: &'static str,
        version: i16,
        field: &'static str,
        source: WireError,
    },
}

/// Checks that `body` begins with a message of this API and version; returns how many bytes the message takes.
///
/// More bytes may follow: Kafka ignores them, and so do we.
pub fn check(key: i16, version: i16, body: &[u8]) -> Result<usize, ShapeError> {
    let api = super::api(key).ok_or(ShapeError::UnknownApi { key })?;
    if !api.serves(version) {
        return Err(ShapeError::UnsupportedVersion {
            api: api.name,
            version,
        });
    }
    let mut walk = Walk { version, field: "" };
    let mut reader = Reader::new(body, encoding(api, version));
    match walk.fields(api.fields, &mut reader) {
        Ok(()) => Ok(reader.position()),
        Err(source) => Err(ShapeError::Malformed {
            api: api.name,
            version,
            field: walk.field,
            source,
        }),
    }
}

fn encoding(api: &Api, version: i16) -> Encoding {
    Encoding::of(version, api.flexible_since)
}

struct Walk {
    version: i16,
    /// The field being read, for the error.
    field: &'static str,
}

impl Walk {
    fn fields(&mut self, fields: &'static [Field], reader: &mut Reader<'_>) -> Result<(), WireError> {
        for field in fields {
            if field.tag.is_none() && field.is_in(self.version) {
                self.field = field.name;
                self.value(field, reader)?;
            }
        }
        reader.tagged_fields(|tag, reader| {
            let known = fields
                .iter()
                .find(|field| field.tag == Some(tag) && field.is_in(self.version));
            match known {
                Some(field) => {
                    self.field = field.name;
                    self.value(field, reader).map(|()| Tag::Known)
                }
                None => Ok(Tag::Unknown),
            }
        })
    }

    fn value(&mut self, field: &'static Field, reader: &mut Reader<'_>) -> Result<(), WireError> {
        let at = reader.position();
        let nullable = field.is_nullable(self.version);
        let present = match field.kind {
            Kind::I8 => reader.i8().map(|_| true),
            Kind::I16 => reader.i16().map(|_| true),
            Kind::I32 => reader.i32().map(|_| true),
            Kind::I64 => reader.i64().map(|_| true),
            Kind::Uuid => reader.uuid().map(|_| true),
            Kind::String => reader.nullable_str().map(|text| text.is_some()),
            Kind::Bytes => reader.nullable_bytes().map(|bytes| bytes.is_some()),
            Kind::Struct(fields) => {
                let present = !nullable || reader.i8()? >= 0;
                if present {
                    self.fields(fields, reader)?;
                }
                Ok(present)
            }
            Kind::Strings => {
                let least = least_bytes(Kind::String, self.version, reader.encoding());
                let count = reader.nullable_array_count(least)?;
                for _ in 0..count.unwrap_or(0) {
                    reader.str()?;
                }
                Ok(count.is_some())
            }
            Kind::I8s => integers(reader, 1),
            Kind::I32s => integers(reader, 4),
            Kind::Structs(fields) => {
                let least = least_bytes(Kind::Struct(fields), self.version, reader.encoding());
                let count = reader.nullable_array_count(least)?;
                for _ in 0..count.unwrap_or(0) {
                    self.fields(fields, reader)?;
                }
                Ok(count.is_some())
            }
        }?;
        if present || nullable {
            Ok(())
        } else {
            Err(WireError::UnexpectedNull { at })
        }
    }
}

fn integers(reader: &mut Reader<'_>, width: usize) -> Result<bool, WireError> {
    let count = reader.nullable_array_count(width)?;
    reader.take(count.unwrap_or(0) * width)?;
    Ok(count.is_some())
}

/// The least bytes a value of the kind takes: a count that needs more than is left cannot be true.
fn least_bytes(kind: Kind, version: i16, encoding: Encoding) -> usize {
    match kind {
        Kind::I8 => 1,
        Kind::I16 => 2,
        Kind::I32 => 4,
        Kind::I64 => 8,
        Kind::Uuid => 16,
        Kind::String if encoding.is_flexible() => 1,
        Kind::String => 2,
        Kind::Bytes | Kind::Strings | Kind::I8s | Kind::I32s | Kind::Structs(_) if encoding.is_flexible() => {
            1
        }
        Kind::Bytes | Kind::Strings | Kind::I8s | Kind::I32s | Kind::Structs(_) => 4,
        Kind::Struct(fields) => {
            let tagged_fields = usize::from(encoding.is_flexible());
            let plain = fields
                .iter()
                .filter(|field| field.tag.is_none() && field.is_in(version));
            tagged_fields
                + plain
                    .map(|field| match field.kind {
                        Kind::Struct(_) if field.is_nullable(version) => 1,
                        kind => least_bytes(kind, version, encoding),
                    })
                    .sum::<usize>()
        }
    }
}
