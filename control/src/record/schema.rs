//! How a record's fields are declared: once, in Kafka's order, and read and written from that declaration.

use super::codec::{DecodeError, Field, Reader, Writer};

/// Tagged fields a newer version wrote, kept so that what we read we can write again.
pub type UnknownTags = Vec<(u32, Box<[u8]>)>;

/// The fields of one kind of record.
pub trait Message: Sized {
    /// Highest version of the schema that is understood.
    const HIGHEST: u16;

    /// The version to write: the one in use, or the first that can carry the fields that are set.
    fn version(&self) -> u16;

    fn read(reader: &mut Reader<'_>, version: u16) -> Result<Self, DecodeError>;

    /// Fields that `version` does not know are left out.
    fn write(&self, writer: &mut Writer, version: u16);
}

/// Tagged fields of one message while they are gathered for writing.
pub(super) struct Tags(Vec<(u32, Vec<u8>)>);

impl Tags {
    pub(super) fn new(unknown: &UnknownTags) -> Self {
        Tags(
            unknown
                .iter()
                .map(|(tag, bytes)| (*tag, bytes.to_vec()))
                .collect(),
        )
    }

    pub(super) fn put(&mut self, tag: u32, value: &impl Field) {
        let mut writer = Writer::new();
        value.write(&mut writer);
        self.0.push((tag, writer.into_bytes()));
    }

    pub(super) fn write(mut self, writer: &mut Writer) {
        self.0.sort_by_key(|(tag, _)| *tag);
        writer.unsigned_varint(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for (tag, bytes) in self.0 {
            writer.unsigned_varint(tag);
            writer.unsigned_varint(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            writer.put(&bytes);
        }
    }
}

/// Walks the tagged fields at the end of a message; each is handed over with its tag and its own bytes.
pub(super) fn read_tags(
    reader: &mut Reader<'_>,
    mut visit: impl FnMut(u32, &mut Reader<'_>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut previous = None;
    for _ in 0..reader.unsigned_varint()? {
        let tag = reader.unsigned_varint()?;
        if let Some(previous) = previous.filter(|previous| *previous >= tag) {
            return Err(DecodeError::TagOrder { tag, previous });
        }
        previous = Some(tag);
        let size = reader.unsigned_varint()? as usize;
        let mut field = Reader::new(reader.take(size)?);
        visit(tag, &mut field)?;
        field.finish()?;
    }
    Ok(())
}

/// Declares a message: `writes` is the version in use, `highest` the newest one understood. A field that appeared
/// later than the version in use raises the version written once it is set.
macro_rules! message {
    (
        $(#[$doc:meta])*
        $name:ident writes $writes:literal highest $highest:literal {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr, since $since:literal; )*
        }
        tagged {
            $( $(#[$tag_doc:meta])* $tag:literal $tagged:ident: $tag_type:ty = $tag_default:expr, since $tag_since:literal; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
            $( $(#[$tag_doc])* pub $tagged: $tag_type, )*
            pub unknown_tags: $crate::record::UnknownTags,
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $( $field: $default, )*
                    $( $tagged: $tag_default, )*
                    unknown_tags: Vec::new(),
                }
            }
        }

        impl $crate::record::Message for $name {
            const HIGHEST: u16 = $highest;

            #[allow(unused_mut, unused_comparisons, clippy::absurd_extreme_comparisons)]
            fn version(&self) -> u16 {
                let mut version = $writes;
                $( if $tag_since > version && self.$tagged != $tag_default { version = $tag_since; } )*
                version
            }

            #[allow(unused_variables, unused_comparisons, clippy::absurd_extreme_comparisons)]
            fn read(
                reader: &mut $crate::record::codec::Reader<'_>,
                version: u16,
            ) -> Result<Self, $crate::record::codec::DecodeError> {
                let mut message = $name {
                    $( $field: if version >= $since {
                        $crate::record::codec::Field::read(reader)?
                    } else {
                        $default
                    }, )*
                    $( $tagged: $tag_default, )*
                    unknown_tags: Vec::new(),
                };
                $crate::record::schema::read_tags(reader, |tag, field| {
                    match tag {
                        $( $tag => message.$tagged = $crate::record::codec::Field::read(field)?, )*
                        _ => message.unknown_tags.push((tag, field.take(field.left())?.into())),
                    }
                    Ok(())
                })?;
                Ok(message)
            }

            #[allow(unused_mut, unused_variables, unused_comparisons, clippy::absurd_extreme_comparisons)]
            fn write(&self, writer: &mut $crate::record::codec::Writer, version: u16) {
                $( if version >= $since {
                    $crate::record::codec::Field::write(&self.$field, writer);
                } )*
                let mut tags = $crate::record::schema::Tags::new(&self.unknown_tags);
                $( if version >= $tag_since && self.$tagged != $tag_default {
                    tags.put($tag, &self.$tagged);
                } )*
                tags.write(writer);
            }
        }
    };
}

/// Declares a structure that occurs inside messages. The ones of the metadata records never changed their version.
macro_rules! element {
    (
        $(#[$doc:meta])*
        $name:ident {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr; )*
        }
    ) => {
        $crate::record::schema::message! {
            $(#[$doc])*
            $name writes 0 highest 0 {
                $( $(#[$field_doc])* $field: $type = $default, since 0; )*
            }
            tagged {}
        }

        impl $crate::record::codec::Field for $name {
            fn read(
                reader: &mut $crate::record::codec::Reader<'_>,
            ) -> Result<Self, $crate::record::codec::DecodeError> {
                $crate::record::Message::read(reader, 0)
            }

            fn write(&self, writer: &mut $crate::record::codec::Writer) {
                $crate::record::Message::write(self, writer, 0);
            }
        }
    };
}

pub(super) use {element, message};
