//! A disk that failed under a log.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::types::Offset;

/// The log is offline, for good: what it last wrote may or may not be on the disk, and asking again would get a wrong
/// "yes" (the kernel reports a failed write-back once and then forgets it).
#[derive(Clone, Debug, Error)]
#[error("{partition}: log offline, {operation} failed at offset {offset}: {source}")]
pub struct DiskFault {
    pub partition: Arc<str>,
    pub operation: &'static str,
    /// End of the log when it happened.
    pub offset: Offset,
    pub source: Arc<io::Error>,
}

impl DiskFault {
    /// The operation of a call that came after [`super::Log::close`] or [`super::Log::delete`].
    pub(crate) const GONE: &str = "use of a log that is gone";

    /// There was no room for something that is not needed to keep what was acknowledged: opened again when there is room, the log is
    /// as after a crash. A sync that found no room is not among them: what it was to write may be in the page cache, looking
    /// as if it were on the disk.
    pub fn is_out_of_room(&self) -> bool {
        const HARMLESS: [&str; 5] = [
            "open segment",
            "roll",
            "close",
            "rename deleted segment",
            "swap compacted segment",
        ];
        let is_full = matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        is_full && HARMLESS.contains(&self.operation)
    }

    /// The log was closed or deleted; nothing is wrong with the disk.
    pub fn is_gone(&self) -> bool {
        self.operation == Self::GONE
    }
}
