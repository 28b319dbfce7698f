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

/// An error cannot be cloned; this one is told to many.
pub(crate) fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// There is no room on the disk, or no quota left. Retention, deletes or an operator may change that.
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Something is short that may be there again soon: room on the disk, or descriptors. No sign of a failed disk.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    is_disk_full(error) || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

impl DiskFault {
    /// The operation of a call that came after [`super::Log::close`] or [`super::Log::delete`].
    pub(crate) const GONE: &str = "use of a log that is gone";

    /// There was no room, or no descriptor: nothing that speaks against the rest of the directory. The log stays offline: its journal may
    /// have acknowledged records that its segments lack, and only a start puts them there.
    pub fn is_out_of_room(&self) -> bool {
        is_shortage(&self.source)
    }

    /// The log was closed or deleted; nothing is wrong with the disk.
    pub fn is_gone(&self) -> bool {
        self.operation == Self::GONE
    }
}
