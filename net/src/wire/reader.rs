//! Reading values from a frame.

use std::ops::{Deref, DerefMut, Range};

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{ARRAY_ELEMENTS_MAX, Encoding, STRING_BYTES_MAX, TAGGED_FIELDS_MAX};

/// Why bytes are not the value they should be. `at` is the offset from where the reader started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("{needed} bytes expected at {at}, {left} left")]
    Short { at: usize, needed: usize, left: usize },
    #[error("varint at {at} is too long")]
    VarintTooLong { at: usize },
    #[error("length {length} at {at} is negative")]
    NegativeLength { at: usize, length: i32 },
    #[error("null at {at}, where the field must not be null")]
    UnexpectedNull { at: usize },
    #[error("string of {length} bytes at {at}, at most {STRING_BYTES_MAX} are allowed")]
    StringTooLong { at: usize, length: usize },
    #[error("string at {at} is not UTF-8")]
    NotUtf8 { at: usize },
    #[error(
        "array of {count} elements at {at}, where {left} bytes are left and {allowed} more elements allowed"
    )]
    ArrayTooLong {
        at: usize,
        count: usize,
        left: usize,
        allowed: usize,
    },
    #[error("{count} tagged fields at {at}, where {allowed} more are allowed")]
    TooManyTaggedFields { at: usize, count: usize, allowed: usize },
    #[error("tagged field {tag} at {at} is {size} bytes long, its value takes {read}")]
    TaggedFieldSize {
        at: usize,
        tag: u32,
        size: usize,
        read: usize,
    },
}

type Result<T> = std::result::Result<T, WireError>;

/// A cursor over borrowed bytes: `at <= bytes.len()`.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    encoding: Encoding,
    elements_allowed: usize,
    tagged_fields_allowed: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], encoding: Encoding) -> Reader<'a> {
        Reader {
            bytes,
            at: 0,
            encoding,
            elements_allowed: ARRAY_ELEMENTS_MAX,
            tagged_fields_allowed: TAGGED_FIELDS_MAX,
        }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..n) else {
            return Err(WireError::Short {
                at: self.at,
                needed: n,
                left: rest.len(),
            });
        };
        self.at += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let at = self.at;
        let left = self.remaining();
        self.take(N)?
            .try_into()
            .map_err(|_| WireError::Short { at, needed: N, left })
    }

    pub fn i8(&mut self) -> Result<i8> {
        self.array().map(i8::from_be_bytes)
    }

    /// Anything but zero is true, as Kafka reads it.
    pub fn bool(&mut self) -> Result<bool> {
        self.i8().map(|value| value != 0)
    }

    pub fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub fn uuid(&mut self) -> Result<Uuid> {
        self.array().map(Uuid::from_bytes)
    }

    /// An unsigned varint of at most 32 bits.
    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let at = self.at;
        let value = self.varint_bits(at, 5)?;
        u32::try_from(value).map_err(|_| WireError::VarintTooLong { at })
    }

    /// A zigzag varint of at most 32 bits.
    pub fn varint(&mut self) -> Result<i32> {
        let raw = self.unsigned_varint()?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A zigzag varint of at most 64 bits.
    pub fn varlong(&mut self) -> Result<i64> {
        let at = self.at;
        let raw = self.varint_bits(at, 10)?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    fn varint_bits(&mut self, at: usize, bytes_max: u32) -> Result<u64> {
        let mut value = 0u64;
        for i in 0..bytes_max {
            let [byte] = self.array::<1>()?;
            let bits = u64::from(byte & 0x7f);
            if i == 9 && bits > 1 {
                break; // bits beyond the 64th
            }
            value |= bits << (i * 7);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::VarintTooLong { at })
    }

    pub fn str(&mut self) -> Result<&'a str> {
        let at = self.at;
        self.nullable_str()?.ok_or(WireError::UnexpectedNull { at })
    }

    pub fn nullable_str(&mut self) -> Result<Option<&'a str>> {
        let length = match self.encoding {
            Encoding::Classic => {
                let at = self.at;
                length_of(at, i32::from(self.i16()?))?
            }
            Encoding::Flexible => self.compact_length()?,
        };
        self.str_of_length(length)
    }

    /// A string in the classic encoding whatever the message's: the client id of request headers.
    pub(crate) fn classic_nullable_str(&mut self) -> Result<Option<&'a str>> {
        let at = self.at;
        let length = length_of(at, i32::from(self.i16()?))?;
        self.str_of_length(length)
    }

    fn str_of_length(&mut self, length: Option<usize>) -> Result<Option<&'a str>> {
        let Some(length) = length else { return Ok(None) };
        let at = self.at;
        if length > STRING_BYTES_MAX {
            return Err(WireError::StringTooLong { at, length });
        }
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| WireError::NotUtf8 { at })
    }

    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let at = self.at;
        self.nullable_bytes()?.ok_or(WireError::UnexpectedNull { at })
    }

    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>> {
        match self.length_or_count()? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// Where the bytes lie in what the reader was given, for callers that split an owned buffer later.
    pub fn nullable_bytes_range(&mut self) -> Result<Option<Range<usize>>> {
        match self.length_or_count()? {
            Some(length) => {
                self.take(length)?;
                Ok(Some(self.at - length..self.at))
            }
            None => Ok(None),
        }
    }

    /// The count of an array that must not be null; `element_bytes_min` is the least an element takes on the wire.
    pub fn array_count(&mut self, element_bytes_min: usize) -> Result<usize> {
        let at = self.at;
        self.nullable_array_count(element_bytes_min)?
            .ok_or(WireError::UnexpectedNull { at })
    }

    /// The count of an array, checked against the bytes left and against [`ARRAY_ELEMENTS_MAX`]: safe to allocate for.
    pub fn nullable_array_count(&mut self, element_bytes_min: usize) -> Result<Option<usize>> {
        let at = self.at;
        let Some(count) = self.length_or_count()? else {
            return Ok(None);
        };
        let left = self.remaining();
        let allowed = self.elements_allowed;
        if count > allowed || count.saturating_mul(element_bytes_min.max(1)) > left {
            return Err(WireError::ArrayTooLong {
                at,
                count,
                left,
                allowed,
            });
        }
        self.elements_allowed -= count;
        Ok(Some(count))
    }

    /// Reads a non-null array, one `element` after the other.
    pub fn array_of<T>(
        &mut self,
        element_bytes_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.array_count(element_bytes_min)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    fn length_or_count(&mut self) -> Result<Option<usize>> {
        let at = self.at;
        match self.encoding {
            Encoding::Classic => length_of(at, self.i32()?),
            Encoding::Flexible => self.compact_length(),
        }
    }

    fn compact_length(&mut self) -> Result<Option<usize>> {
        Ok(self
            .unsigned_varint()?
            .checked_sub(1)
            .map(|length| length as usize))
    }

    /// Ends a struct that has no tagged fields we know: skips those of newer peers.
    pub fn end_struct(&mut self) -> Result<()> {
        self.tagged_fields(|_, _| Ok(Tag::Unknown))
    }

    /// Ends a struct with known tagged fields. `field` reads the value of a tag it knows and must take all of its bytes.
    pub fn tagged_fields(&mut self, mut field: impl FnMut(u32, &mut Self) -> Result<Tag>) -> Result<()> {
        if !self.encoding.is_flexible() {
            return Ok(());
        }
        let at = self.at;
        let count = self.unsigned_varint()? as usize;
        if count.saturating_mul(2) > self.remaining() {
            return Err(WireError::TooManyTaggedFields {
                at,
                count,
                allowed: self.remaining() / 2,
            });
        }
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()? as usize;
            let start = self.at;
            if size > self.remaining() {
                return Err(WireError::Short {
                    at: start,
                    needed: size,
                    left: self.remaining(),
                });
            }
            match field(tag, self)? {
                Tag::Known if self.at == start + size => {}
                Tag::Known => {
                    return Err(WireError::TaggedFieldSize {
                        at: start,
                        tag,
                        size,
                        read: self.at - start,
                    });
                }
                Tag::Unknown => {
                    let Some(allowed) = self.tagged_fields_allowed.checked_sub(1) else {
                        return Err(WireError::TooManyTaggedFields {
                            at,
                            count,
                            allowed: 0,
                        });
                    };
                    self.tagged_fields_allowed = allowed;
                    self.at = start + size;
                }
            }
        }
        Ok(())
    }
}

/// Whether the reader of tagged fields knew the tag (and read it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    Known,
    Unknown,
}

fn length_of(at: usize, length: i32) -> Result<Option<usize>> {
    match length {
        -1 => Ok(None),
        length => usize::try_from(length)
            .map(Some)
            .map_err(|_| WireError::NegativeLength { at, length }),
    }
}

/// A reader over a frame that hands out strings and bytes as slices of it.
#[derive(Debug)]
pub struct FrameReader<'a> {
    frame: &'a Bytes,
    reader: Reader<'a>,
}

impl<'a> FrameReader<'a> {
    pub fn new(frame: &'a Bytes, encoding: Encoding) -> FrameReader<'a> {
        FrameReader {
            frame,
            reader: Reader::new(frame, encoding),
        }
    }

    pub fn string(&mut self) -> Result<StrBytes> {
        let at = self.at;
        self.nullable_string()?.ok_or(WireError::UnexpectedNull { at })
    }

    pub fn nullable_string(&mut self) -> Result<Option<StrBytes>> {
        let text = self.reader.nullable_str()?;
        let at = self.at;
        text.map(|text| {
            StrBytes::from_utf8(self.frame.slice_ref(text.as_bytes())).map_err(|_| WireError::NotUtf8 { at })
        })
        .transpose()
    }

    pub fn byte_slice(&mut self) -> Result<Bytes> {
        Ok(self.frame.slice_ref(self.reader.bytes()?))
    }

    /// As [`Reader::array_of`], with elements that keep slices of the frame.
    pub fn array_of<T>(
        &mut self,
        element_bytes_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.reader.array_count(element_bytes_min)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// As [`FrameReader::array_of`], for an array that may be null.
    pub fn nullable_array_of<T>(
        &mut self,
        element_bytes_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(count) = self.reader.nullable_array_count(element_bytes_min)? else {
            return Ok(None);
        };
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }
}

impl<'a> Deref for FrameReader<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Reader<'a> {
        &self.reader
    }
}

impl DerefMut for FrameReader<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.reader
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_counts_are_refused_before_anything_is_allocated() {
        // A count of 2^31 - 1 in a small frame must not size a vector.
        let mut reader = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 0, 0], Encoding::Classic);
        assert!(matches!(
            reader.array_count(4),
            Err(WireError::ArrayTooLong {
                count: 0x7fff_ffff,
                ..
            })
        ));
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], Encoding::Flexible);
        assert!(matches!(
            reader.array_count(1),
            Err(WireError::ArrayTooLong { .. })
        ));
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f], Encoding::Flexible);
        assert!(matches!(
            reader.end_struct(),
            Err(WireError::TooManyTaggedFields { .. })
        ));
    }

    #[test]
    fn elements_are_limited_over_the_whole_message() {
        let mut bytes = Vec::new();
        for _ in 0..2 {
            bytes.extend_from_slice(&600_000i32.to_be_bytes());
            bytes.resize(bytes.len() + 600_000, 0);
        }
        let mut reader = Reader::new(&bytes, Encoding::Classic);
        assert_eq!(reader.array_of(1, |r| r.i8()).map(|v| v.len()), Ok(600_000));
        assert!(matches!(
            reader.array_count(1),
            Err(WireError::ArrayTooLong { allowed: 400_000, .. })
        ));
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        assert!(matches!(
            Reader::new(&[0xff, 0xfe], Encoding::Classic).nullable_str(),
            Err(WireError::NegativeLength { length: -2, .. })
        ));
        assert!(matches!(
            Reader::new(&[0, 5, b'a'], Encoding::Classic).str(),
            Err(WireError::Short { .. })
        ));
        assert!(matches!(
            Reader::new(&[0], Encoding::Flexible).str(),
            Err(WireError::UnexpectedNull { at: 0 })
        ));
        assert!(matches!(
            Reader::new(&[3, 0xc3, 0x28], Encoding::Flexible).str(),
            Err(WireError::NotUtf8 { .. })
        ));
        assert!(matches!(
            Reader::new(&[0x81, 0x80, 0x02], Encoding::Flexible).str(),
            Err(WireError::StringTooLong { length: 32768, .. })
        ));
        assert!(matches!(
            Reader::new(&[0x80; 11], Encoding::Flexible).varlong(),
            Err(WireError::VarintTooLong { at: 0 })
        ));
        assert!(matches!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f], Encoding::Flexible).unsigned_varint(),
            Err(WireError::VarintTooLong { at: 0 })
        ));
    }

    #[test]
    fn a_known_tagged_field_must_fill_its_size() {
        let bytes = [1, 0, 3, 9, 9, 9];
        let mut reader = Reader::new(&bytes, Encoding::Flexible);
        let result = reader.tagged_fields(|_, r| r.i16().map(|_| Tag::Known));
        assert!(matches!(
            result,
            Err(WireError::TaggedFieldSize { size: 3, read: 2, .. })
        ));
    }
}
