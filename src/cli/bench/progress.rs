//! A line per second on standard error while a run goes on, if somebody can see it.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::rc::Rc;
use std::time::Duration;

use reactor::Task;

use super::tally::Tally;
use crate::cli::output::number;

/// Ends, and clears its line, when dropped.
pub struct Progress(Option<Task<()>>);

impl Progress {
    pub fn start(tally: Rc<RefCell<Tally>>) -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress(None);
        }
        Progress(Some(reactor::spawn(async move {
            let mut before = tally.borrow().reading();
            for second in 1.. {
                reactor::sleep(Duration::from_secs(1)).await;
                let now = tally.borrow().reading();
                eprint!(
                    "\r\x1b[K{second:>4} s  {:>14} records  {:>8.1} MB/s  {:>12} records/s  p99 {}  errors {}",
                    number::grouped(now.records),
                    now.bytes.saturating_sub(before.bytes) as f64 / 1e6,
                    number::grouped(now.records.saturating_sub(before.records)),
                    number::micros(now.p99.as_nanos() as f64 / 1e3),
                    now.errors,
                );
                let _ = std::io::stderr().flush(); // a terminal that is gone is nobody's loss
                before = now;
            }
        })))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
            eprint!("\r\x1b[K");
        }
    }
}
