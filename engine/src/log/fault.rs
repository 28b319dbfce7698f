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
