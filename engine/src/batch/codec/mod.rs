//! The five codecs of record batches: which bytes they are on the wire, read bounded and written as Kafka writes them.
//!
//! | codec  | read                                                        | written                         |
//! |--------|-------------------------------------------------------------|---------------------------------|
//! | gzip   | RFC 1952, any number of members                              | one member                      |
//! | snappy | xerial framing (Java, most clients) and raw blocks           | xerial framing, 32 KiB blocks   |
//! | lz4    | LZ4 frame, independent and linked blocks, checksums verified | independent 64 KiB blocks       |
//! | zstd   | any number of frames, any window                             | one frame                       |

mod compress;
mod decompress;
mod error;
mod gzip;
mod lz4;
mod scratch;
mod snappy;
mod zstd;

use std::fmt;

pub use compress::{Compression, compress};
pub use decompress::{Decompressor, decompress_to_vec, with_decompressed};
pub use error::CodecError;
pub(super) use lz4::has_linked_blocks;

/// How the records of a batch are compressed; the numbers are the wire's.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    pub fn from_id(id: u8) -> Option<Codec> {
        Codec::ALL.get(usize::from(id)).copied()
    }

    pub fn id(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }

    /// Kafka's word for it, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    pub fn from_name(name: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
