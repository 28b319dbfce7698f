//! Reading a segment whole, batch by batch, each with its CRC checked: a damaged batch must not get a new CRC.

use reactor::File;

use super::{CompactError, Source};
use crate::batch::Batch;
use crate::log::scrub::OnceRead;
use crate::log::segment::read_batch;
use crate::log::window::{BULK_BYTES, BatchAt, Window};

/// A segment opened to be read once. What was not in the page cache before is not there afterwards.
pub(super) struct Opened {
    file: OnceRead,
    size_bytes: u64,
}

impl Opened {
    pub(super) fn new(source: &Source) -> std::io::Result<Opened> {
        Ok(Opened {
            file: OnceRead(File::open_once(&source.path)?),
            size_bytes: source.size_bytes,
        })
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            file: &self.file.0,
            window: Window::new(&self.file, self.size_bytes, BULK_BYTES),
            large: Vec::new(),
        }
    }
}

/// The walk over an opened segment.
pub(super) struct Reader<'o> {
    file: &'o File,
    window: Window<'o, OnceRead>,
    /// A batch that does not fit the window.
    large: Vec<u8>,
}

impl Reader<'_> {
    /// The batch at a position and where it ends; `None` at the end of the segment.
    pub(super) fn batch(
        &mut self,
        source: &Source,
        position: u64,
    ) -> Result<Option<(Batch<'_>, u64)>, CompactError> {
        let found = self.window.header(position).map_err(|error| source.scan(error))?;
        let Some(found) = found else {
            return Ok(None);
        };
        let bytes = self.bytes(&found).map_err(|error| source.io(error))?;
        let batch = Batch::only(bytes)
            .and_then(|batch| batch.verify_crc().map(|()| batch))
            .map_err(|error| source.batch(position, error))?;
        Ok(Some((batch, found.end())))
    }

    fn bytes(&mut self, found: &BatchAt) -> std::io::Result<&[u8]> {
        match usize::try_from(found.size_bytes) {
            Ok(size) if size <= BULK_BYTES => self.window.bytes(found.position, size),
            _ => {
                self.large = read_batch(self.file, found)?;
                Ok(&self.large)
            }
        }
    }
}
