//! Kafka's flexible encoding (KIP-482): big-endian numbers, lengths and counts as unsigned varints plus one.
//!
//! Reading never trusts a length: it is compared with the bytes that are left before anything is sized by it.

use bytes::Bytes;
use engine::types::{LeaderEpoch, ProducerId, Timestamp};
use thiserror::Error;
use uuid::Uuid;

use super::ids::{BrokerEpoch, BrokerId, DirectoryId, PartitionEpoch, PartitionId};

/// Why bytes are not the record they claim to be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("a field of {needed} bytes where {left} are left")]
    Truncated { needed: usize, left: usize },
    #[error("a varint longer than its type")]
    Varint,
    #[error("{count} elements where {left} bytes are left")]
    Count { count: usize, left: usize },
    #[error("null where a value is required")]
    Null,
    #[error("a string that is not UTF-8")]
    Utf8,
    #[error("a boolean of value {0}")]
    Bool(u8),
    #[error("tagged field {tag} after {previous}: tags must ascend")]
    TagOrder { tag: u32, previous: u32 },
    #[error("{bytes} bytes follow the last field")]
    Trailing { bytes: usize },
    #[error("frame version {0}, expected 1")]
    FrameVersion(u32),
    #[error("api key {0} does not fit 16 bits")]
    ApiKey(u32),
    #[error("record version {0} does not fit 16 bits")]
    RecordVersion(u32),
}

/// Cursor over the bytes of one record.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub fn left(&self) -> usize {
        self.rest.len()
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(DecodeError::Truncated {
                needed: count,
                left: self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let truncated = DecodeError::Truncated {
            needed: N,
            left: self.rest.len(),
        };
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// LEB128 of 32 bits.
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value: u32 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::Varint);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    /// A length or count: `None` is null.
    pub fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self
            .unsigned_varint()?
            .checked_sub(1)
            .map(|length| length as usize))
    }

    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { bytes }),
        }
    }
}

/// Growing buffer that records are written to.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Writer::default()
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Lengths come from memory, where nothing reaches 4 GiB: every record was bounded when it was decided.
    pub fn compact_length(&mut self, length: Option<usize>) {
        let announced = length.map_or(0, |length| u32::try_from(length + 1).unwrap_or(u32::MAX));
        self.unsigned_varint(announced);
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A type that occurs as a field of a record.
pub trait Field: Sized {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    fn write(&self, writer: &mut Writer);
}

macro_rules! big_endian {
    ($($int:ty),*) => {$(
        impl Field for $int {
            fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.array().map(<$int>::from_be_bytes)
            }
            fn write(&self, writer: &mut Writer) {
                writer.put(&self.to_be_bytes());
            }
        }
    )*};
}
big_endian!(i8, i16, u16, i32, i64, f64);

macro_rules! newtype {
    ($($name:ident),*) => {$(
        impl Field for $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Field::read(reader).map($name)
            }
            fn write(&self, writer: &mut Writer) {
                self.0.write(writer);
            }
        }
    )*};
}
newtype!(
    BrokerId,
    BrokerEpoch,
    PartitionId,
    PartitionEpoch,
    DirectoryId,
    LeaderEpoch,
    ProducerId,
    Timestamp
);

impl Field for bool {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // Kafka reads every other number as true; what it writes is 0 and 1, so another one is damage.
        match reader.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(DecodeError::Bool(other)),
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer.put(&[u8::from(*self)]);
    }
}

impl Field for Uuid {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Uuid::from_bytes)
    }

    fn write(&self, writer: &mut Writer) {
        writer.put(self.as_bytes());
    }
}

impl Field for Option<String> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let Some(length) = reader.compact_length()? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(reader.take(length)?).map_err(|_| DecodeError::Utf8)?;
        Ok(Some(text.to_owned()))
    }

    fn write(&self, writer: &mut Writer) {
        write_sized(writer, self.as_deref().map(str::as_bytes));
    }
}

impl Field for String {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Option::read(reader)?.ok_or(DecodeError::Null)
    }

    fn write(&self, writer: &mut Writer) {
        write_sized(writer, Some(self.as_bytes()));
    }
}

impl Field for Bytes {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.compact_length()?.ok_or(DecodeError::Null)?;
        Ok(Bytes::copy_from_slice(reader.take(length)?))
    }

    fn write(&self, writer: &mut Writer) {
        write_sized(writer, Some(self));
    }
}

impl<T: Field> Field for Option<Vec<T>> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let Some(count) = reader.compact_length()? else {
            return Ok(None);
        };
        // No element is smaller than one byte.
        let left = reader.left();
        if count > left {
            return Err(DecodeError::Count { count, left });
        }
        // An element in memory may be a hundred times its byte on disk, so the vector grows with what was read.
        let mut elements = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            elements.push(T::read(reader)?);
        }
        Ok(Some(elements))
    }

    fn write(&self, writer: &mut Writer) {
        writer.compact_length(self.as_ref().map(Vec::len));
        for element in self.iter().flatten() {
            element.write(writer);
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Option::read(reader)?.ok_or(DecodeError::Null)
    }

    fn write(&self, writer: &mut Writer) {
        writer.compact_length(Some(self.len()));
        for element in self {
            element.write(writer);
        }
    }
}

fn write_sized(writer: &mut Writer, bytes: Option<&[u8]>) {
    writer.compact_length(bytes.map(<[u8]>::len));
    writer.put(bytes.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_end_where_their_type_ends() {
        // A sixth byte would let a damaged record read as a different, plausible one.
        for value in [0, 1, 127, 128, 300, 1 << 28, u32::MAX] {
            let mut writer = Writer::new();
            writer.unsigned_varint(value);
            let bytes = writer.into_bytes();
            assert_eq!(Reader::new(&bytes).unsigned_varint(), Ok(value));
        }
        let too_long = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unsigned_varint();
        assert_eq!(too_long, Err(DecodeError::Varint));
    }

    #[test]
    fn announced_lengths_are_compared_with_the_bytes_left() {
        // A damaged count of four thousand million must not reserve memory.
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2];
        assert!(matches!(
            Vec::<i8>::read(&mut Reader::new(&huge)),
            Err(DecodeError::Count { left: 2, .. })
        ));
        assert!(matches!(
            String::read(&mut Reader::new(&huge)),
            Err(DecodeError::Truncated { left: 2, .. })
        ));
        assert_eq!(String::read(&mut Reader::new(&[0])), Err(DecodeError::Null));
        assert_eq!(Option::<String>::read(&mut Reader::new(&[0])), Ok(None));
    }
}
