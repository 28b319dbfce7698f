//! What the background work on logs has done: compaction and scrubbing.

use std::cell::Cell;

use engine::log::{Compacted, Scrubbed};

use super::Snapshot;

#[derive(Debug, Default)]
pub struct Upkeep {
    compactions: Cell<u64>,
    compacted_bytes: Cell<u64>,
    compacted_bytes_freed: Cell<u64>,
    scrubbed_batches: Cell<u64>,
    scrubbed_bytes: Cell<u64>,
    bad_ranges_found: Cell<u64>,
    bad_ranges_lifted: Cell<u64>,
}

impl Upkeep {
    pub fn compacted(&self, compacted: &Compacted) {
        add(&self.compactions, 1);
        add(&self.compacted_bytes, compacted.bytes_before);
        add(
            &self.compacted_bytes_freed,
            compacted.bytes_before.saturating_sub(compacted.bytes_after),
        );
    }

    pub fn scrubbed(&self, scrubbed: &Scrubbed) {
        add(&self.scrubbed_batches, scrubbed.batches);
        add(&self.scrubbed_bytes, scrubbed.bytes);
        add(&self.bad_ranges_found, scrubbed.ranges_found);
        add(&self.bad_ranges_lifted, scrubbed.ranges_lifted);
    }

    pub fn collect(&self, out: &mut Snapshot) {
        let rows = [
            (
                "compactions",
                "Compactions of a log that came to their end.",
                &self.compactions,
            ),
            (
                "compacted_bytes",
                "Bytes of log that compactions went over.",
                &self.compacted_bytes,
            ),
            (
                "compacted_bytes_freed",
                "Bytes of log that compactions removed.",
                &self.compacted_bytes_freed,
            ),
            (
                "scrubbed_batches",
                "Batches whose CRC the scrubber found right.",
                &self.scrubbed_batches,
            ),
            (
                "scrubbed_bytes",
                "Bytes of log the scrubber read.",
                &self.scrubbed_bytes,
            ),
            (
                "scrub_bad_ranges_found",
                "Ranges of log that are not what was written, as they were found.",
                &self.bad_ranges_found,
            ),
            (
                "scrub_bad_ranges_lifted",
                "Ranges that were bad and could be read again later.",
                &self.bad_ranges_lifted,
            ),
        ];
        for (name, help, count) in rows {
            out.counter(name, help, &[], count.get());
        }
    }
}

fn add(to: &Cell<u64>, more: u64) {
    to.set(to.get().saturating_add(more));
}
