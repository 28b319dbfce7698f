//! A log as a list of batches.

/// A batch as it was acknowledged, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelBatch {
    pub base: i64,
    pub last: i64,
    pub timestamp: i64,
    pub epoch: i32,
    /// Producer id and first sequence.
    pub producer: Option<(i64, i32)>,
    pub bytes: Vec<u8>,
}

/// Holds: batches follow each other without gaps; `start <= durable <= end`, where everything below `durable` outlives a crash.
#[derive(Debug, Default)]
pub struct Model {
    pub batches: Vec<ModelBatch>,
    pub start: i64,
    pub durable: i64,
}

impl Model {
    pub fn end(&self) -> i64 {
        self.batches
            .last()
            .map_or(self.start, |batch| batch.last + 1)
            .max(self.start)
    }

    /// The batch that holds an offset, or the first one behind it.
    pub fn index_of(&self, offset: i64) -> usize {
        self.batches.partition_point(|batch| batch.last < offset)
    }

    /// Whole batches from the one that holds `from` on, as long as they end below `below` and fit.
    pub fn read(&self, from: i64, max_bytes: usize, below: i64, at_least_one: bool) -> Vec<&ModelBatch> {
        let mut found: Vec<&ModelBatch> = Vec::new();
        let mut bytes = 0;
        for batch in self.batches.iter().skip(self.index_of(from)) {
            bytes += batch.bytes.len();
            let is_first = found.is_empty();
            if batch.last >= below || (bytes > max_bytes && !(is_first && at_least_one)) {
                break;
            }
            found.push(batch);
        }
        found
    }

    /// Offset of the first record that is not older, from the start on.
    pub fn offset_for(&self, timestamp: i64) -> Option<i64> {
        let found = self
            .batches
            .iter()
            .find(|batch| batch.timestamp >= timestamp && batch.last >= self.start)?;
        Some(found.base.max(self.start))
    }

    /// The log was cut: what lies at or behind `end` is gone.
    pub fn truncate(&mut self, end: i64) {
        self.batches.retain(|batch| batch.last < end);
    }

    /// The log starts later: batches that end before are gone.
    pub fn advance(&mut self, start: i64) {
        self.start = self.start.max(start);
        self.durable = self.durable.max(start);
        self.batches.retain(|batch| batch.last >= start);
    }
}
