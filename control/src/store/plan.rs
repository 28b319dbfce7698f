//! How a change becomes batches: one if it fits, a metadata transaction of several if not.

use thiserror::Error;

use crate::record::{BeginTransactionRecord, EndTransactionRecord, Record};

/// Largest batch of the metadata log. One value of etcd takes 1.5 MiB with its request around it (measured, see the
/// control plane's reference), one znode 1 MiB.
pub const BATCH_BYTES_MAX: usize = 960 << 10;
/// Of a record in a batch around its value: length, attributes, deltas, null key, no headers; at most.
const RECORD_OVERHEAD_BYTES: usize = 24;
/// Of a batch around its records, and of the transaction's own records.
const BATCH_OVERHEAD_BYTES: usize = 256;

/// One record alone does not fit a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a {kind} of {bytes} bytes, at most {max} fit the metadata log")]
pub struct RecordTooLarge {
    pub kind: &'static str,
    pub bytes: usize,
    pub max: usize,
}

/// Batches to append one after the other, each of at most [`BATCH_BYTES_MAX`] bytes.
///
/// Changes that belong together (all records of one request) take effect together: they are in one batch, or between a
/// begin and an end record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    batches: Vec<Vec<Record>>,
    /// Of the last batch, while it may still take changes.
    last_bytes: usize,
    record_count: usize,
    bytes: usize,
}

impl Plan {
    /// Adds one change. Refused, it leaves the plan as it was.
    pub fn push(&mut self, change: &[Record]) -> Result<(), RecordTooLarge> {
        let room = BATCH_BYTES_MAX - BATCH_OVERHEAD_BYTES;
        let mut sizes = Vec::with_capacity(change.len());
        for record in change {
            let bytes = record.encode().len() + RECORD_OVERHEAD_BYTES;
            if bytes > room {
                return Err(RecordTooLarge {
                    kind: record.kind(),
                    bytes,
                    max: room,
                });
            }
            sizes.push(bytes);
        }
        let change_bytes: usize = sizes.iter().sum();
        self.bytes += change_bytes;
        if change_bytes > room {
            self.push_transaction(change, &sizes, room);
            return Ok(());
        }
        self.record_count += change.len();
        match self.batches.last_mut() {
            Some(batch) if self.last_bytes + change_bytes <= room => {
                batch.extend_from_slice(change);
                self.last_bytes += change_bytes;
            }
            _ => {
                self.batches.push(change.to_vec());
                self.last_bytes = change_bytes;
            }
        }
        Ok(())
    }

    fn push_transaction(&mut self, change: &[Record], sizes: &[usize], room: usize) {
        let mut batch = vec![Record::from(BeginTransactionRecord::default())];
        let mut bytes = 0;
        for (record, size) in change.iter().zip(sizes) {
            if bytes + size > room {
                self.batches.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            batch.push(record.clone());
            bytes += size;
        }
        batch.push(EndTransactionRecord::default().into());
        self.batches.push(batch);
        self.record_count += change.len() + 2;
        // A transaction's last batch takes no other change, so that a change is never half inside it.
        self.last_bytes = usize::MAX / 2;
    }

    pub fn batches(&self) -> &[Vec<Record>] {
        &self.batches
    }

    /// Offsets the plan takes, begin and end records included.
    pub fn record_count(&self) -> usize {
        self.record_count
    }

    /// Of the changes' records, as they are stored.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::TransactionAssembler;
    use crate::record::{ConfigRecord, ControllerEpoch};
    use crate::store::batch;

    fn config(number: usize, value_bytes: usize) -> Record {
        ConfigRecord {
            resource_type: 2,
            resource_name: format!("topic-{number}"),
            name: "retention.ms".to_owned(),
            value: Some("1".repeat(value_bytes)),
            ..ConfigRecord::default()
        }
        .into()
    }

    #[test]
    fn small_changes_share_a_batch_and_a_sync() {
        let mut plan = Plan::default();
        for number in 0..100 {
            plan.push(&[config(number, 5), config(number, 5)]).unwrap();
        }
        assert_eq!((plan.batches().len(), plan.record_count()), (1, 200));
    }

    #[test]
    fn a_large_change_takes_effect_as_one() {
        // Cut into batches without a transaction, a crash in between would leave half of a topic.
        let large: Vec<_> = (0..100).map(|number| config(number, 30_000)).collect();
        let small = [config(1000, 5)];
        let mut plan = Plan::default();
        plan.push(&small).unwrap();
        plan.push(&large).unwrap();
        plan.push(&small).unwrap();
        assert_eq!(plan.record_count(), 104);
        assert!(plan.batches().len() > 4);
        let mut assembler = TransactionAssembler::default();
        let mut effective = Vec::new();
        for records in plan.batches() {
            let bytes = batch::encode(0.into(), ControllerEpoch(1), 0.into(), records).expect("fits");
            assert!(bytes.len() <= BATCH_BYTES_MAX);
            effective.push(assembler.push(records.clone()).unwrap());
        }
        assert!(!assembler.is_open());
        effective.retain(|records| !records.is_empty());
        assert_eq!(effective, [small.to_vec(), large, small.to_vec()]);
    }

    #[test]
    fn a_record_that_fits_no_batch_is_refused() {
        let mut plan = Plan::default();
        let before = plan.clone();
        assert!(plan.push(&[config(1, 5), config(2, 1 << 20)]).is_err());
        assert_eq!(plan, before);
    }
}
