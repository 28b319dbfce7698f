//! Whole clusters on machines that do not exist: the real brokers, their stores, clients and everything that goes wrong
//! between them, from one seed. `docs/TESTING.md` tells how to use it.
//!
//! In the order of reading: `seed` is one seed from beginning to end, `plan` what it consists of, `cluster` the machines and
//! their brokers, `nemesis` what goes wrong, `producer` and `reader` the clients, `model` what must be true of what they
//! are told, `invariants` what is checked and by which name.

mod access;
mod cluster;
mod flapping;
mod invariants;
mod logs;
mod metadata;
mod model;
mod nemesis;
mod plan;
#[cfg(feature = "planted-bugs")]
mod planted;
mod producer;
mod reader;
mod repeatable;
mod replicas;
mod seed;
mod sleeper;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::invariants::{DETERMINISM, Violation};
use crate::model::Figures;
use crate::seed::{Report, run_seed};

/// Seeds of a gate.
const SEEDS: u64 = 2_000;
/// A seed takes some tenths of a second.
const SEED_MAX: Duration = Duration::from_secs(120);
/// Of so many seeds one is run twice.
const TWICE_EVERY: u64 = 50;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {})); // a panic is a violation, told with its seed
    #[cfg(feature = "planted-bugs")]
    if std::env::args().any(|argument| argument == "planted") {
        return match planted::hunt_all() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
    }
    if std::env::args().any(|argument| argument == "flapping") {
        flapping::measure(number("SEED").unwrap_or(1));
        return ExitCode::SUCCESS;
    }
    match number("SEED") {
        Some(seed) => replay(seed),
        None => {
            if let Err(violation) = (0..10).try_for_each(sleeper::check) {
                println!("{violation}");
                return ExitCode::FAILURE;
            }
            run_many(
                number("FIRST_SEED").unwrap_or(0),
                number("SEEDS").unwrap_or(SEEDS),
            )
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// One seed, with all that happened in it.
fn replay(seed: u64) -> ExitCode {
    logs::into_trace();
    let report = run_apart(seed, true);
    for line in &report.trace {
        println!("{line}");
    }
    println!(
        "seed {seed}: trace {:#018x} {:?}",
        report.trace_hash, report.figures
    );
    match report.violation {
        Some(violation) => {
            println!("seed {seed}: {violation}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// On a thread of its own, where the hash maps of the standard library begin with the same keys.
fn run_apart(seed: u64, is_traced: bool) -> Report {
    let run = std::thread::Builder::new().stack_size(16 << 20).spawn(move || {
        #[cfg(feature = "planted-bugs")]
        engine::planted::plant(planted::asked_for());
        run_seed(seed, is_traced)
    });
    run.expect("a thread").join().expect("panics are caught in there")
}

type Watched = Arc<Mutex<Option<(u64, Instant)>>>;

/// Ends everything when a seed does not end: a task that never gives way cannot be stopped otherwise.
fn watch() -> Watched {
    let watched = Watched::default();
    let seen = watched.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let running = *seen.lock().expect("no panic");
            if let Some((seed, _)) = running.filter(|(_, since)| since.elapsed() > SEED_MAX) {
                println!("seed {seed}: {}: it does not end", invariants::LIVENESS);
                std::process::exit(1);
            }
        }
    });
    watched
}

/// A seed, some of them twice: then the runs must be the same.
fn run_watched(seed: u64, watched: &Watched) -> Report {
    *watched.lock().expect("no panic") = Some((seed, Instant::now()));
    let mut report = run_apart(seed, false);
    if report.violation.is_none() && seed.is_multiple_of(TWICE_EVERY) {
        let again = run_apart(seed, false).trace_hash;
        if again != report.trace_hash {
            report.violation = Some(Violation {
                invariant: DETERMINISM,
                text: format!("{:#x} and {again:#x}", report.trace_hash),
            });
        }
    }
    *watched.lock().expect("no panic") = None;
    report
}

fn run_many(first: u64, count: u64) -> ExitCode {
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let figures = Mutex::new(Figures::default());
    let failed = Mutex::new(Vec::<(u64, Violation)>::new());
    let failures_max = number("FAILURES").unwrap_or(1) as usize;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let watched = watch();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let report = run_watched(seed, &watched);
                    figures.lock().expect("no panic").add(&report.figures);
                    if let Some(violation) = report.violation {
                        println!("seed {seed}: {violation}");
                        let mut failed = failed.lock().expect("no panic");
                        failed.push((seed, violation));
                        stop.store(failed.len() >= failures_max, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let figures = figures.into_inner().expect("no panic");
    figures.print();
    println!("{} seeds in {:.1?}", figures.seeds, started.elapsed());
    let failed = failed.into_inner().expect("no panic");
    for (seed, violation) in &failed {
        println!("seed {seed}: {violation}");
        println!("  replay: SEED={seed} cargo test --test cluster_simulation");
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
