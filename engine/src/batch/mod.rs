//! Record batches, Kafka's format of magic 2: the unit a producer sends, the log stores and a consumer fetches.
//!
//! Pure code: bytes in, facts or bytes out. A batch from a client goes through [`validate`] once, is stamped in place
//! with its offset and epoch, and stays the bytes the producer sent (invariant 6). Everything read from wire or disk is
//! untrusted here: no function panics on it, and nothing is sized by what it merely announces.

mod builder;
pub mod codec;
mod control;
pub mod crc;
mod error;
mod header;
mod limits;
mod recompress;
mod record;
mod stamp;
mod validate;
mod varint;
mod view;

pub use builder::{BatchBuilder, BuildError};
pub use codec::{Codec, CodecError, Compression};
pub use control::{ControlRecordType, EndTransactionMarker};
pub use error::{BatchError, BatchFault, RecordError, RecordFault};
pub use header::{
    Attributes, BatchHeader, BatchProducer, CRC_START, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, MAGIC,
    TimestampType,
};
pub use limits::{BatchInfo, InnerCheck, Limits, MAX_DECOMPRESSED_BYTES, MAX_RECORDS, Origin, TimestampRule};
pub use recompress::recompress;
pub use record::{Headers, Record, RecordHeader, RecordIter, Records};
pub use stamp::{assign, set_log_append_time, set_max_timestamp};
pub use validate::validate;
pub use view::{Batch, Batches};
