//! Zigzag varints, the numbers inside records (protobuf's sint32 and sint64).

use bytes::BufMut;

use super::error::RecordFault;

/// What is left to read of a record. Reading takes from the front; nothing is read beyond the end.
#[derive(Copy, Clone, Debug)]
pub(super) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, RecordFault> {
        let (byte, rest) = self.0.split_first().ok_or(RecordFault::Truncated)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn take(&mut self, length: i32) -> Result<&'a [u8], RecordFault> {
        let fault = RecordFault::Length {
            length,
            available: self.0.len(),
        };
        let Ok(count) = usize::try_from(length) else {
            return Err(fault);
        };
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            return Err(fault);
        };
        self.0 = rest;
        Ok(taken)
    }

    /// At most five bytes; a fifth byte that does not fit 32 bits is refused, where Kafka would drop its high bits and
    /// another client would not.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<i32, RecordFault> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(unzigzag(u64::from(first)) as i32);
        }
        let value = self.long(first)?;
        if value > u64::from(u32::MAX) {
            Err(RecordFault::Varint)
        } else {
            Ok(unzigzag(value) as i32)
        }
    }

    /// At most ten bytes.
    #[inline]
    pub(super) fn varlong(&mut self) -> Result<i64, RecordFault> {
        let first = self.byte()?;
        if first < 0x80 {
            Ok(unzigzag(u64::from(first)))
        } else {
            Ok(unzigzag(self.long(first)?))
        }
    }

    fn long(&mut self, first: u8) -> Result<u64, RecordFault> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..=63).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return Err(RecordFault::Varint);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(RecordFault::Varint)
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn put_varint(out: &mut impl BufMut, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

pub(super) fn varint_bytes(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_and_as_long_as_foretold(value: i64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varint_bytes(value));
            let mut cursor = Cursor(&bytes);
            prop_assert_eq!(cursor.varlong(), Ok(value));
            prop_assert!(cursor.0.is_empty());
            let read = Cursor(&bytes).varint();
            match i32::try_from(value) {
                Ok(small) => prop_assert_eq!(read, Ok(small)),
                Err(_) => prop_assert_eq!(read, Err(RecordFault::Varint)),
            }
        }
    }

    #[test]
    fn endless_numbers_are_refused() {
        // A run of continuation bytes must end at the type's size, not at the end of the batch.
        assert_eq!(Cursor(&[0x80; 20]).varlong(), Err(RecordFault::Varint));
        assert_eq!(Cursor(&[0x80; 20]).varint(), Err(RecordFault::Varint));
        assert_eq!(Cursor(&[0x80; 3]).varint(), Err(RecordFault::Truncated));
        assert_eq!(Cursor(&[0xff, 0xff, 0xff, 0xff, 0x0f]).varint(), Ok(i32::MIN));
        assert_eq!(
            Cursor(&[0xff, 0xff, 0xff, 0xff, 0x1f]).varint(),
            Err(RecordFault::Varint)
        );
    }
}
