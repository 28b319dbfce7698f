//! From the bytes of a fetch to records.

use engine::batch::{Batch, BatchError, Record};
use engine::types::Offset;

use super::AskError;

/// The most a batch may take decompressed: a bound against bombs, far above what brokers accept compressed.
const DECOMPRESSED_BYTES_MAX: usize = 512 << 20;

/// Shows every record from `position` on and moves it along; stops when `visit` returns false. Checksums are checked,
/// control records are not shown, a batch that is cut at the end is left for the next fetch.
pub fn for_each_record(
    what: &str,
    mut bytes: &[u8],
    position: &mut i64,
    mut visit: impl FnMut(&Record<'_>) -> bool,
) -> Result<(), AskError> {
    let failed = |source| AskError::Records {
        what: what.to_owned(),
        source,
    };
    while !bytes.is_empty() {
        let (batch, rest) = match Batch::split_first(bytes) {
            Ok(split) => split,
            Err(BatchError::Truncated { .. }) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        bytes = rest;
        if batch.next_offset() <= Offset(*position) {
            continue;
        }
        batch.verify_crc().map_err(failed)?;
        if !batch.attributes().is_control() {
            for record in &batch.records(DECOMPRESSED_BYTES_MAX).map_err(failed)? {
                let record = record.map_err(failed)?;
                if record.offset < Offset(*position) {
                    continue;
                }
                if !visit(&record) {
                    return Ok(());
                }
                *position = record.offset.next().0;
            }
        }
        // the end of a compacted batch may lie behind its last record
        *position = batch.next_offset().0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::batch::{BatchBuilder, Codec};
    use engine::types::Timestamp;

    #[test]
    fn records_come_from_the_position_on_and_damage_is_an_error() {
        let mut bytes = Vec::new();
        for base in [0, 10, 20] {
            let mut batch = BatchBuilder::new(Offset(base)).compression(Codec::Lz4);
            for i in 0..10 {
                batch.append(Timestamp(i), None, Some(b"v"));
            }
            bytes.extend_from_slice(&batch.build().unwrap());
        }
        let read = |bytes: &[u8], mut position, limit: usize| {
            let mut offsets = Vec::new();
            let result = for_each_record("t-0", bytes, &mut position, |record| {
                offsets.push(record.offset.0);
                offsets.len() < limit
            });
            (offsets, position, result.is_ok())
        };
        let (offsets, position, _) = read(&bytes, 5, usize::MAX);
        assert_eq!((offsets.first(), offsets.len(), position), (Some(&5), 25, 30));
        // the record that says stop is not taken
        assert_eq!(read(&bytes, 5, 2), (vec![5, 6], 6, true));
        let (offsets, position, is_ok) = read(&bytes[..bytes.len() - 1], 0, usize::MAX);
        assert_eq!((offsets.len(), position, is_ok), (20, 20, true));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(!read(&bytes, 0, usize::MAX).2);
    }
}
