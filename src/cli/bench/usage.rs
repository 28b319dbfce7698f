//! Who used the processors while a run was measured: the load itself, a broker it watches, every core.
//!
//! A figure of a load generator that had no processor time left is a figure of the generator.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use reactor::{Instant, Task};
use serde_json::{Value, json};

/// The kernel reports process times in these on every Linux there is (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;
/// More cores than this are not told of one by one.
const CORES_MAX: usize = 64;

/// Processor times so far, in seconds; what cannot be read is 0.
#[derive(Debug, Clone, Default)]
struct Times {
    load: f64,
    watched: Option<f64>,
    /// Busy and all time of each core.
    cores: Vec<(f64, f64)>,
}

impl Times {
    fn read(watched: Option<u32>) -> Times {
        let text = |path: &Path| {
            let bytes = reactor::disk::read(path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let process = |path: PathBuf| process_seconds(&text(&path));
        Times {
            load: process("/proc/self/stat".into()).unwrap_or_default(),
            watched: watched.and_then(|pid| process(format!("/proc/{pid}/stat").into())),
            cores: core_seconds(&text(Path::new("/proc/stat"))),
        }
    }
}

/// User and system time: fields 14 and 15 of `/proc/PID/stat`, counted after the name in brackets.
fn process_seconds(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// The lines `cpu0`, `cpu1`, ... of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn core_seconds(stat: &str) -> Vec<(f64, f64)> {
    let core = |line: &str| {
        let mut fields = line.split_whitespace();
        let is_core = fields.next()?.strip_prefix("cpu")?.parse::<u32>().is_ok();
        let ticks: Vec<f64> = fields.take(8).filter_map(|field| field.parse().ok()).collect();
        let all: f64 = ticks.iter().sum();
        let idle: f64 = ticks.iter().skip(3).take(2).sum();
        is_core.then_some(((all - idle) / TICKS_PER_SECOND, all / TICKS_PER_SECOND))
    };
    stat.lines().filter_map(core).take(CORES_MAX).collect()
}

/// Reads the times when the measured part of a run begins, and again when it ends.
pub struct Watch {
    watched: Option<u32>,
    begun: Rc<Cell<Option<Times>>>,
    task: Task<()>,
}

impl Watch {
    pub fn start(watched: Option<u32>, measured_from: Instant) -> Watch {
        let begun = Rc::new(Cell::new(None));
        let place = begun.clone();
        let task = reactor::spawn(async move {
            reactor::sleep_until(measured_from).await;
            place.set(Some(Times::read(watched)));
        });
        Watch { watched, begun, task }
    }

    /// `None` if the run ended before its measured part began.
    pub fn finish(self) -> Option<Usage> {
        self.task.abort();
        let before = self.begun.take()?;
        let now = Times::read(self.watched);
        let busy = |((busy, all), (busy_before, all_before)): (&(f64, f64), &(f64, f64))| {
            let all = all - all_before;
            if all > 0.0 {
                ((busy - busy_before) / all).clamp(0.0, 1.0)
            } else {
                0.0
            }
        };
        Some(Usage {
            load_s: now.load - before.load,
            watched_s: now.watched.zip(before.watched).map(|(now, before)| now - before),
            cores_busy: now.cores.iter().zip(&before.cores).map(busy).collect(),
        })
    }
}

/// Processor seconds of the measured part of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    load_s: f64,
    watched_s: Option<f64>,
    /// The busy share of each core of the machine.
    cores_busy: Vec<f64>,
}

impl Usage {
    pub fn to_json(&self) -> Value {
        let share = |busy: &f64| (busy * 1000.0).round() / 1000.0;
        json!({
            "load_s": self.load_s,
            "watched_s": self.watched_s,
            "cores_busy": self.cores_busy.iter().map(share).collect::<Vec<_>>(),
        })
    }

    pub fn to_text(&self) -> String {
        let watched = self.watched_s.map_or(String::new(), |seconds| {
            format!(", the watched process {seconds:.2} s")
        });
        let cores: Vec<String> = self
            .cores_busy
            .iter()
            .map(|busy| format!("{:.0} %", busy * 100.0))
            .collect();
        format!(
            "processor: this load {:.2} s{watched}; cores busy: {}",
            self.load_s,
            cores.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_the_right_fields() {
        // A wrong field here would make every "CPU per GB" of docs/PERFORMANCE.md wrong.
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(process_seconds(stat), Some(2.0));
        assert_eq!(process_seconds("12 (short) S 1"), None);
        let stat =
            "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 0 50 700 50 20 30 50 9 9\ncpu1 0 0 0 100 0 0 0 0 0 0\nintr 1";
        assert_eq!(core_seconds(stat), [(2.5, 10.0), (0.0, 1.0)]);
        assert_eq!(core_seconds("cpu\ncpux 1\n"), []);
    }
}
