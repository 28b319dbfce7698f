//! A latency histogram of one shard: fixed buckets in seconds, plain counters.

use std::time::Duration;

/// Upper bounds in microseconds. From the fastest answer seen here (tens of microseconds) to a client's timeout.
const BOUNDS_US: [u64; 17] = [
    50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 204_800, 500_000,
    1_000_000, 5_000_000, 30_000_000,
];

/// Counts per bucket, and the sum of all observations.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Histogram {
    /// One more than the bounds: the last counts what is above all of them.
    counts: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Histogram {
    pub fn observe(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[bucket] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Seconds.
    pub fn sum(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    /// (upper bound in seconds, observations in this bucket alone); the last bound is infinite.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::MAX]);
        bounds.zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: latency dashboards are off by a bucket.
    #[test]
    fn a_value_on_a_bound_counts_in_that_bucket() {
        let mut histogram = Histogram::default();
        histogram.observe(Duration::from_micros(100));
        histogram.observe(Duration::from_micros(101));
        histogram.observe(Duration::from_secs(3600));
        let buckets = histogram.buckets();
        assert_eq!((buckets[1].1, buckets[2].1, buckets.last().unwrap().1), (1, 1, 1));
        assert_eq!(histogram.count(), 3);
    }
}
