//! Records and MB/s on standard error, when that is a terminal.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use reactor::Instant;

use super::number;

const EVERY: Duration = Duration::from_millis(500);

/// Counts what passes and shows it twice a second, on one line that is cleared at the end.
pub struct Progress {
    is_shown: bool,
    began: Instant,
    shown: Instant,
    records: u64,
    bytes: u64,
}

impl Progress {
    /// `records` is where the records pass: on a terminal of their own they are progress enough.
    pub fn start(records: &impl IsTerminal) -> Progress {
        let now = reactor::now();
        Progress {
            is_shown: std::io::stderr().is_terminal() && !records.is_terminal(),
            began: now,
            shown: now,
            records: 0,
            bytes: 0,
        }
    }

    pub fn add(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        let now = reactor::now();
        if self.is_shown && now.saturating_since(self.shown) >= EVERY {
            self.shown = now;
            eprint!("\r\x1b[K{}", self.text(now));
            let _ = std::io::stderr().flush(); // a terminal that is gone is nobody's loss
        }
    }

    /// The line that stays, if lines are shown.
    pub fn finish(self) {
        if self.is_shown {
            eprintln!("\r\x1b[K{}", self.text(reactor::now()));
        }
    }

    fn text(&self, now: Instant) -> String {
        let seconds = now.saturating_since(self.began).as_secs_f64().max(1e-9);
        format!(
            "{} records, {:.1} MB/s",
            number::grouped(self.records),
            self.bytes as f64 / 1e6 / seconds
        )
    }
}
