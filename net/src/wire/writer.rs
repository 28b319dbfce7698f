//! Writing values.

use bytes::BufMut;
use uuid::Uuid;

use super::Encoding;

/// Appends values to a buffer in one of the two encodings.
#[derive(Debug)]
pub struct Writer<B> {
    out: B,
    encoding: Encoding,
}

impl<B: BufMut> Writer<B> {
    pub fn new(out: B, encoding: Encoding) -> Writer<B> {
        Writer { out, encoding }
    }

    pub fn get_ref(&self) -> &B {
        &self.out
    }

    pub fn into_inner(self) -> B {
        self.out
    }

    pub fn i8(&mut self, value: i8) {
        self.out.put_i8(value);
    }

    pub fn bool(&mut self, value: bool) {
        self.out.put_u8(u8::from(value));
    }

    pub fn i16(&mut self, value: i16) {
        self.out.put_i16(value);
    }

    pub fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    pub fn i64(&mut self, value: i64) {
        self.out.put_i64(value);
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.out.put_slice(value.as_bytes());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }

    pub fn varint(&mut self, value: i32) {
        self.unsigned_varint(((value << 1) ^ (value >> 31)) as u32);
    }

    pub fn varlong(&mut self, value: i64) {
        let mut raw = ((value << 1) ^ (value >> 63)) as u64;
        while raw >= 0x80 {
            self.out.put_u8(raw as u8 | 0x80);
            raw >>= 7;
        }
        self.out.put_u8(raw as u8);
    }

    pub fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    /// Kafka's strings end at 32,767 bytes; of a longer one (only texts of our own can be) what fits is written.
    pub fn nullable_string(&mut self, value: Option<&str>) {
        let value = value.map(|text| {
            let longest = text.len().min(super::STRING_BYTES_MAX);
            let end = (0..=longest)
                .rev()
                .find(|end| text.is_char_boundary(*end))
                .unwrap_or(0);
            text.get(..end).unwrap_or_default()
        });
        match self.encoding {
            Encoding::Classic => self.i16(value.map_or(-1, |text| text.len() as i16)),
            Encoding::Flexible => self.unsigned_varint(value.map_or(0, |text| text.len() as u32 + 1)),
        }
        self.raw(value.unwrap_or_default().as_bytes());
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.length(Some(value.len()));
        self.raw(value);
    }

    pub fn nullable_bytes(&mut self, value: Option<&[u8]>) {
        self.length(value.map(<[u8]>::len));
        self.raw(value.unwrap_or_default());
    }

    /// The length of bytes or records (the caller sees to the bytes themselves) or the count of an array.
    pub fn length(&mut self, length: Option<usize>) {
        match self.encoding {
            Encoding::Classic => self.i32(length.map_or(-1, |length| length as i32)),
            Encoding::Flexible => self.unsigned_varint(length.map_or(0, |length| length as u32 + 1)),
        }
    }

    pub fn array_of<T>(&mut self, elements: &[T], mut element: impl FnMut(&mut Self, &T)) {
        self.length(Some(elements.len()));
        for each in elements {
            element(self, each);
        }
    }

    pub fn nullable_array_of<T>(&mut self, elements: Option<&[T]>, mut element: impl FnMut(&mut Self, &T)) {
        self.length(elements.map(<[T]>::len));
        for each in elements.unwrap_or_default() {
            element(self, each);
        }
    }

    /// Ends a struct without tagged fields.
    pub fn end_struct(&mut self) {
        self.tagged_fields(&[]);
    }

    /// Ends a struct with these tagged fields (ascending tags), each already encoded. Classic versions have none.
    pub fn tagged_fields(&mut self, fields: &[(u32, Vec<u8>)]) {
        if !self.encoding.is_flexible() {
            return;
        }
        self.unsigned_varint(fields.len() as u32);
        for (tag, value) in fields {
            self.unsigned_varint(*tag);
            self.unsigned_varint(value.len() as u32);
            self.raw(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use super::*;

    #[test]
    fn values_round_trip_in_both_encodings() {
        for encoding in [Encoding::Classic, Encoding::Flexible] {
            let mut writer = Writer::new(Vec::new(), encoding);
            for value in [0, 1, -1, 63, -64, 8191, i32::MAX, i32::MIN] {
                writer.varint(value);
            }
            for value in [0, -1, i64::MAX, i64::MIN, 1 << 40] {
                writer.varlong(value);
            }
            writer.string("tøpic");
            writer.nullable_string(None);
            writer.nullable_bytes(None);
            writer.bytes(b"xyz");
            writer.array_of(&[7i32, 8], |w, v| w.i32(*v));
            writer.tagged_fields(&[(5, vec![1, 2])]);
            let bytes = writer.into_inner();
            let mut reader = Reader::new(&bytes, encoding);
            for value in [0, 1, -1, 63, -64, 8191, i32::MAX, i32::MIN] {
                assert_eq!(reader.varint(), Ok(value));
            }
            for value in [0, -1, i64::MAX, i64::MIN, 1 << 40] {
                assert_eq!(reader.varlong(), Ok(value));
            }
            assert_eq!(reader.str(), Ok("tøpic"));
            assert_eq!(reader.nullable_str(), Ok(None));
            assert_eq!(reader.nullable_bytes(), Ok(None));
            assert_eq!(reader.bytes(), Ok(&b"xyz"[..]));
            assert_eq!(reader.array_of(4, |r| r.i32()), Ok(vec![7, 8]));
            assert_eq!(reader.end_struct(), Ok(()));
            assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_at_a_character() {
        let mut writer = Writer::new(Vec::new(), Encoding::Classic);
        writer.string(&"ø".repeat(20_000));
        let bytes = writer.into_inner();
        assert_eq!(bytes.len(), 2 + 32_766);
        assert!(Reader::new(&bytes, Encoding::Classic).str().is_ok());
    }
}
