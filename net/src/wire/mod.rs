//! Checked primitives of Kafka's wire encoding, for the messages we read and write ourselves.
//!
//! A reader never allocates for a count or a length it has not seen covered by bytes; a writer only appends.
//! Both carry the [`Encoding`], so that one codec serves classic and flexible versions:
//!
//! | value | classic | flexible |
//! |---|---|---|
//! | string | i16 length, -1 = null | unsigned varint of length + 1, 0 = null |
//! | bytes, records | i32 length, -1 = null | unsigned varint of length + 1, 0 = null |
//! | array | i32 count, -1 = null | unsigned varint of count + 1, 0 = null |
//! | end of a struct | nothing | tagged fields: count, then (tag, size, bytes) each |

mod limits;
mod reader;
mod writer;

pub use limits::{ARRAY_ELEMENTS_MAX, STRING_BYTES_MAX, TAGGED_FIELDS_MAX};
pub use reader::{FrameReader, Reader, Tag, WireError};
pub use writer::Writer;

/// Which of the two encodings a version of a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Classic,
    Flexible,
}

impl Encoding {
    /// The encoding of `version` if versions from `flexible_since` on are flexible.
    pub const fn of(version: i16, flexible_since: i16) -> Encoding {
        if version >= flexible_since {
            Encoding::Flexible
        } else {
            Encoding::Classic
        }
    }

    pub const fn is_flexible(self) -> bool {
        matches!(self, Encoding::Flexible)
    }
}
