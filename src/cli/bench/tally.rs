//! What a run counts, and the figures that come of it.

use std::time::Duration;

use hdrhistogram::Histogram;
use reactor::Instant;
use serde_json::{Value, json};

use super::usage::Usage;
use crate::cli::output::number;
use crate::cli::{CliError, output};

/// Three significant digits up to ten minutes; a longer latency counts as ten minutes.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Counters of a run. What begins before `measured_from` is warm-up and not counted.
#[derive(Debug)]
pub struct Tally {
    measured_from: Instant,
    last: Instant,
    records: u64,
    bytes: u64,
    errors: u64,
    unsent: u64,
    first_error: Option<String>,
    latencies_ns: Histogram<u64>,
}

/// Figures of a moment, for the progress line.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub records: u64,
    pub bytes: u64,
    pub errors: u64,
    pub p99: Duration,
}

impl Tally {
    pub fn new(measured_from: Instant) -> Tally {
        #[expect(clippy::expect_used, reason = "the bounds are constants a test builds with")]
        let latencies_ns =
            Histogram::new_with_bounds(1, LATENCY_MAX_NS, SIGNIFICANT_DIGITS).expect("constant bounds");
        Tally {
            measured_from,
            last: measured_from,
            records: 0,
            bytes: 0,
            errors: 0,
            unsent: 0,
            first_error: None,
            latencies_ns,
        }
    }

    pub fn is_measured(&self, intended: Instant) -> bool {
        intended >= self.measured_from
    }

    /// Something intended at one time was complete at another. What was intended in the warm-up and is complete only
    /// now counts as work done, not as a latency: a broker that is seconds behind its rate still shows what it can do.
    pub fn completed(&mut self, intended: Instant, now: Instant, records: u64, bytes: u64) {
        self.arrived(now, records, bytes);
        if self.is_measured(intended) {
            self.latency(intended, now);
        }
    }

    /// Counts records whose latencies are counted one by one.
    pub fn arrived(&mut self, now: Instant, records: u64, bytes: u64) {
        if self.is_measured(now) {
            self.records += records;
            self.bytes += bytes;
            self.last = self.last.max(now);
        }
    }

    pub fn latency(&mut self, intended: Instant, now: Instant) {
        let latency = now.saturating_since(intended).as_nanos();
        self.latencies_ns
            .saturating_record(u64::try_from(latency).unwrap_or(LATENCY_MAX_NS).max(1));
    }

    /// Records that were due and are given up: the broker is that far behind. Their latency is at least what it is now.
    pub fn given_up(&mut self, intended: Instant, now: Instant, records: u64) {
        if self.is_measured(intended) {
            self.unsent += records;
            self.latency(intended, now);
        }
    }

    pub fn failed(&mut self, count: u64, why: impl FnOnce() -> String) {
        self.errors += count;
        if count > 0 {
            self.first_error.get_or_insert_with(why);
        }
    }

    pub fn reading(&self) -> Reading {
        Reading {
            records: self.records,
            bytes: self.bytes,
            errors: self.errors,
            p99: Duration::from_nanos(self.latencies_ns.value_at_quantile(0.99)),
        }
    }

    pub fn result(&self, usage: Option<Usage>) -> Result {
        let seconds = self.last.saturating_since(self.measured_from).as_secs_f64();
        let per_second = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        let us = |ns: u64| round1(ns as f64 / 1e3);
        let quantile = |quantile: f64| us(self.latencies_ns.value_at_quantile(quantile));
        Result {
            records: self.records,
            bytes: self.bytes,
            seconds: (seconds * 1e6).round() / 1e6,
            mb_per_s: (per_second(self.bytes as f64) / 1e4).round() / 1e2,
            records_per_s: round1(per_second(self.records as f64)),
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: us(self.latencies_ns.max()),
            errors: self.errors,
            unsent: self.unsent,
            first_error: self.first_error.clone(),
            usage,
        }
    }
}

fn round1(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The outcome of a run. MB are 1,000,000 bytes of record batches as they are on the wire.
#[derive(Debug, Clone)]
pub struct Result {
    pub records: u64,
    pub bytes: u64,
    pub seconds: f64,
    pub mb_per_s: f64,
    pub records_per_s: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    pub errors: u64,
    /// Records of a rate that the broker was too far behind to be sent.
    pub unsent: u64,
    pub first_error: Option<String>,
    pub usage: Option<Usage>,
}

impl Result {
    pub fn to_json(&self) -> Value {
        json!({
            "records": self.records,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "mb_per_s": self.mb_per_s,
            "records_per_s": self.records_per_s,
            "p50_us": self.p50_us,
            "p90_us": self.p90_us,
            "p99_us": self.p99_us,
            "p999_us": self.p999_us,
            "max_us": self.max_us,
            "errors": self.errors,
            "unsent": self.unsent,
            "usage": self.usage.as_ref().map(Usage::to_json),
        })
    }

    /// Prints the figures. Errors are figures, too, but a run of nothing else is a failure.
    pub fn print(&self, json: bool, latency: &str) -> std::result::Result<(), CliError> {
        output::emit(json, || self.to_json(), || self.to_text(latency));
        match (&self.first_error, self.records) {
            (Some(error), 0) => Err(CliError::Usage(format!(
                "nothing succeeded; first error: {error}"
            ))),
            (Some(error), _) => {
                eprintln!("ringlog: {} errors; the first: {error}", self.errors);
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// For people; `latency` says from what to what.
    pub fn to_text(&self, latency: &str) -> String {
        let unsent = match self.unsent {
            0 => String::new(),
            unsent => format!(", {} given up unsent", number::grouped(unsent)),
        };
        let usage = self
            .usage
            .as_ref()
            .map_or(String::new(), |usage| format!("\n{}", usage.to_text()));
        format!(
            "{} records, {} in {:.2} s: {:.1} MB/s, {} records/s, {} errors{unsent}\n\
             {latency}: p50 {}  p90 {}  p99 {}  p99.9 {}  max {}{usage}",
            number::grouped(self.records),
            number::bytes(self.bytes),
            self.seconds,
            self.mb_per_s,
            number::grouped(self.records_per_s as u64),
            number::grouped(self.errors),
            number::micros(self.p50_us),
            number::micros(self.p90_us),
            number::micros(self.p99_us),
            number::micros(self.p999_us),
            number::micros(self.max_us),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    #[test]
    fn figures_follow_from_the_counts() {
        // docs/PERFORMANCE.md and CI read these keys.
        let mut tally = Tally::new(ms(1000));
        tally.completed(ms(998), ms(999), 5, 5); // warm-up
        for i in 0..100 {
            tally.completed(ms(1000 + i), ms(1000 + i + 2), 10, 20_000);
        }
        tally.completed(ms(1100), ms(2000), 10, 20_000);
        tally.failed(3, || "lost".to_owned());
        let result = tally.result(None);
        assert_eq!(
            (result.records, result.bytes, result.errors),
            (1010, 2_020_000, 3)
        );
        assert_eq!(
            (result.seconds, result.mb_per_s, result.records_per_s),
            (1.0, 2.02, 1010.0)
        );
        assert!((result.p50_us - 2000.0).abs() < 3.0, "{}", result.p50_us);
        assert!((result.max_us - 900_000.0).abs() < 1000.0, "{}", result.max_us);
        let json = result.to_json();
        for key in [
            "records",
            "bytes",
            "seconds",
            "mb_per_s",
            "records_per_s",
            "p50_us",
            "p90_us",
            "p99_us",
            "p999_us",
            "max_us",
            "errors",
            "unsent",
        ] {
            assert!(json.get(key).is_some_and(Value::is_number), "{key}");
        }
        assert!(result.to_text("latency").contains("3 errors"));
        assert_eq!(result.first_error.as_deref(), Some("lost"));
    }

    #[test]
    fn a_latency_beyond_the_histogram_is_not_lost() {
        let mut tally = Tally::new(ms(0));
        tally.completed(ms(0), ms(10_000_000), 1, 1);
        assert!(tally.result(None).max_us >= 599e6);
        assert_eq!(Tally::new(ms(0)).result(None).records_per_s, 0.0);
    }

    #[test]
    fn what_an_overloaded_broker_never_got_counts_as_late() {
        // Without it a broker at half the asked rate would show the latencies of the lucky half.
        let mut tally = Tally::new(ms(1000));
        tally.completed(ms(0), ms(1500), 10, 10); // late work of the warm-up
        tally.completed(ms(1000), ms(2000), 10, 10);
        tally.given_up(ms(1000), ms(6000), 10);
        let result = tally.result(None);
        assert_eq!(
            (result.records, result.unsent, result.records_per_s),
            (20, 10, 20.0)
        );
        assert!(result.p99_us > 4.9e6);
        assert!(result.to_text("latency").contains("10 given up unsent"));
    }
}
