//! The first half of a round: the last offset of every key of the dirty part.

use std::sync::Arc;

use super::cleaner::Cleaner;
use super::offset_map::OffsetMap;
use super::reader::Opened;
use super::transactions::Transactions;
use super::{CompactError, Source};
use crate::batch::MAX_DECOMPRESSED_BYTES;
use crate::log::scrub::Step;
use crate::planted::{self, Bug};
use crate::types::Offset;

/// Reads the keys from `first_dirty` on until the sources or the memory end.
pub(super) struct Mapping {
    cleaner: Arc<Cleaner>,
    sources: Arc<[Source]>,
    first_dirty: Offset,
    map: OffsetMap,
    transactions: Transactions,
    /// The source being read, and how far.
    at: usize,
    position: u64,
}

impl Mapping {
    pub(super) fn new(cleaner: Arc<Cleaner>, sources: Arc<[Source]>, first_dirty: Offset) -> Mapping {
        // No key more than offsets: a small dirty part takes little memory.
        let keys_max = sources
            .last()
            .map_or(0, |last| last.end.0.saturating_sub(first_dirty.0));
        let map = OffsetMap::new(
            cleaner.map_bytes,
            cleaner.map_load_factor,
            u64::try_from(keys_max).unwrap_or(0),
            cleaner.hash_keys,
            first_dirty,
        );
        Mapping {
            cleaner,
            sources,
            first_dirty,
            map,
            transactions: Transactions::default(),
            at: 0,
            position: 0,
        }
    }

    /// Reads the next `slice_bytes` or so.
    pub(super) fn step(&mut self, slice_bytes: u64) -> Result<Step, CompactError> {
        let sources = self.sources.clone();
        let mut spent = 0;
        while let Some(source) = sources.get(self.at) {
            if source.end <= self.first_dirty {
                self.at += 1;
                continue;
            }
            if self.position == 0 {
                self.transactions.add(self.cleaner.aborted_in(source)?);
            }
            let opened = Opened::new(source).map_err(|error| source.io(error))?;
            let mut reader = opened.reader();
            loop {
                if spent >= slice_bytes {
                    return Ok(Step {
                        bytes: spent,
                        is_done: false,
                    });
                }
                let Some((batch, end)) = reader.batch(source, self.position)? else {
                    break;
                };
                let position = self.position;
                spent += end - position;
                self.position = end;
                if batch.last_offset() < self.first_dirty {
                    continue;
                }
                if batch.attributes().is_control() {
                    self.transactions.is_superfluous(&batch);
                } else if !self.transactions.is_aborted(&batch) || planted::is(Bug::AbortedRecordsMapped) {
                    let failed = |error| source.undecodable(position, error);
                    for record in &batch.records(MAX_DECOMPRESSED_BYTES).map_err(failed)? {
                        let record = record.map_err(failed)?;
                        if record.offset < self.first_dirty {
                            continue;
                        }
                        if let Some(key) = record.key
                            && !self.map.put(key, record.offset)
                        {
                            return Ok(Step {
                                bytes: spent,
                                is_done: true,
                            });
                        }
                        self.map.advance_to(record.offset.next());
                    }
                }
                self.map.advance_to(batch.next_offset());
            }
            self.map.advance_to(source.end);
            self.at += 1;
            self.position = 0;
        }
        Ok(Step {
            bytes: spent,
            is_done: true,
        })
    }

    pub(super) fn finish(self) -> OffsetMap {
        self.map
    }
}
