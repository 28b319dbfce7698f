//! Kafka's primitive types, for records small enough to be built in one buffer.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use uuid::Uuid;

/// Why a record of `__consumer_offsets` cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    #[error("{field}: {wanted} bytes wanted, {left} left")]
    Short {
        field: &'static str,
        wanted: usize,
        left: usize,
    },
    #[error("{field}: null or negative length {length} where a value is required")]
    Null { field: &'static str, length: i64 },
    #[error("{field}: not UTF-8")]
    NotUtf8 { field: &'static str },
    #[error("{field}: {count} elements announced, at most {most} fit")]
    TooMany {
        field: &'static str,
        count: u64,
        most: usize,
    },
    #[error("{record} version {version} is not known")]
    Version { record: &'static str, version: i16 },
    #[error("{field}: number does not end")]
    Varint { field: &'static str },
}

/// Whether lengths are compact (tagged versions) or fixed integers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Classic,
    Flexible,
}

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn take(&mut self, field: &'static str, wanted: usize) -> Result<&'a [u8], RecordError> {
        match self.bytes.split_at_checked(wanted) {
            Some((head, tail)) => {
                self.bytes = tail;
                Ok(head)
            }
            None => Err(RecordError::Short {
                field,
                wanted,
                left: self.bytes.len(),
            }),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(field, N)?);
        Ok(out)
    }

    pub(super) fn int16(&mut self, field: &'static str) -> Result<i16, RecordError> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub(super) fn int32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub(super) fn int64(&mut self, field: &'static str) -> Result<i64, RecordError> {
        self.array(field).map(i64::from_be_bytes)
    }

    pub(super) fn uuid(&mut self, field: &'static str) -> Result<Uuid, RecordError> {
        self.array(field).map(Uuid::from_bytes)
    }

    pub(super) fn unsigned_varint(&mut self, field: &'static str) -> Result<u32, RecordError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array::<1>(field)?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::Varint { field })
    }

    /// A length where -1 (or compact 0) means null.
    fn length(&mut self, field: &'static str, form: Form, wide: bool) -> Result<Option<usize>, RecordError> {
        let length = match (form, wide) {
            (Form::Flexible, _) => i64::from(self.unsigned_varint(field)?) - 1,
            (Form::Classic, true) => i64::from(self.int32(field)?),
            (Form::Classic, false) => i64::from(self.int16(field)?),
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| RecordError::Null { field, length }),
        }
    }

    pub(super) fn string(&mut self, field: &'static str) -> Result<String, RecordError> {
        self.string_in(field, Form::Classic)
    }

    pub(super) fn string_in(&mut self, field: &'static str, form: Form) -> Result<String, RecordError> {
        self.nullable_string_in(field, form)?
            .ok_or(RecordError::Null { field, length: -1 })
    }

    pub(super) fn nullable_string_in(
        &mut self,
        field: &'static str,
        form: Form,
    ) -> Result<Option<String>, RecordError> {
        let Some(length) = self.length(field, form, false)? else {
            return Ok(None);
        };
        let bytes = self.take(field, length)?;
        std::str::from_utf8(bytes)
            .map(|s| Some(s.to_owned()))
            .map_err(|_| RecordError::NotUtf8 { field })
    }

    pub(super) fn bytes_in(&mut self, field: &'static str, form: Form) -> Result<Bytes, RecordError> {
        let length = self
            .length(field, form, true)?
            .ok_or(RecordError::Null { field, length: -1 })?;
        self.take(field, length).map(Bytes::copy_from_slice)
    }

    /// An array's count, refused when that many elements of `least` bytes cannot be in what is left: nothing is
    /// sized by a number that only claims.
    pub(super) fn count_in(
        &mut self,
        field: &'static str,
        form: Form,
        least: usize,
    ) -> Result<usize, RecordError> {
        let count = self
            .length(field, form, true)?
            .ok_or(RecordError::Null { field, length: -1 })?;
        let most = self.remaining() / least.max(1);
        if count > most {
            return Err(RecordError::TooMany {
                field,
                count: count as u64,
                most,
            });
        }
        Ok(count)
    }

    /// Tagged fields: each is handed to `known`, which reads the ones it knows from the slice it is given.
    pub(super) fn tags(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        let count = self.unsigned_varint("tagged fields")?;
        for _ in 0..count {
            let tag = self.unsigned_varint("tag")?;
            let size = self.unsigned_varint("tag size")? as usize;
            known(tag, &mut Reader::new(self.take("tag", size)?))?;
        }
        Ok(())
    }

    pub(super) fn skip_tags(&mut self) -> Result<(), RecordError> {
        self.tags(|_, _| Ok(()))
    }
}

pub(super) struct Writer {
    bytes: BytesMut,
}

impl Writer {
    pub(super) fn new() -> Self {
        Writer {
            bytes: BytesMut::with_capacity(128),
        }
    }

    pub(super) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }

    pub(super) fn int16(&mut self, value: i16) {
        self.bytes.put_i16(value);
    }

    pub(super) fn int32(&mut self, value: i32) {
        self.bytes.put_i32(value);
    }

    pub(super) fn int64(&mut self, value: i64) {
        self.bytes.put_i64(value);
    }

    pub(super) fn uuid(&mut self, value: Uuid) {
        self.bytes.put_slice(value.as_bytes());
    }

    pub(super) fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.put_u8(value as u8);
    }

    fn length(&mut self, form: Form, wide: bool, length: Option<usize>) {
        // why `as`: every value here came in a request frame or is shorter than one, far below these limits;
        // strings were read with an int16 length or are cut at the edge
        match (form, wide) {
            (Form::Flexible, _) => self.unsigned_varint(length.map_or(0, |l| l as u32 + 1)),
            (Form::Classic, true) => self.int32(length.map_or(-1, |l| l as i32)),
            (Form::Classic, false) => self.int16(length.map_or(-1, |l| l as i16)),
        }
    }

    pub(super) fn string(&mut self, value: &str) {
        self.string_in(value, Form::Classic);
    }

    pub(super) fn string_in(&mut self, value: &str, form: Form) {
        self.nullable_string_in(Some(value), form);
    }

    pub(super) fn nullable_string_in(&mut self, value: Option<&str>, form: Form) {
        let value = value.map(|v| clipped(v, form));
        self.length(form, false, value.map(str::len));
        self.bytes.put_slice(value.unwrap_or_default().as_bytes());
    }

    pub(super) fn bytes_in(&mut self, value: &[u8], form: Form) {
        self.length(form, true, Some(value.len()));
        self.bytes.put_slice(value);
    }

    pub(super) fn count_in(&mut self, count: usize, form: Form) {
        self.length(form, true, Some(count));
    }

    pub(super) fn no_tags(&mut self) {
        self.unsigned_varint(0);
    }
}

/// The part of `value` that an int16 length can announce. Flexible requests can carry longer client ids than the
/// classic group record can hold; a record that cannot be read back would be worse than a cut label.
fn clipped(value: &str, form: Form) -> &str {
    let most = match form {
        Form::Classic => i16::MAX as usize,
        Form::Flexible => return value,
    };
    if value.len() <= most {
        return value;
    }
    let end = (0..=most)
        .rev()
        .find(|&at| value.is_char_boundary(at))
        .unwrap_or(0);
    &value[..end]
}
