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

    /// There was no room, or no descriptor: nothing that speaks against the rest of the directory. The log stays offline: its journal may
    /// have acknowledged records that its segments lack, and only a start puts them there.
    pub fn is_out_of_room(&self) -> bool {
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        let is_full = matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        is_full || matches!(self.source.raw_os_error(), Some(EMFILE | ENFILE))
    }

    /// The log was closed or deleted; nothing is wrong with the disk.
    pub fn is_gone(&self) -> bool {
        self.operation == Self::GONE
    }
}
