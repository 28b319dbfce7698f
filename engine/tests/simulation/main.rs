//! The storage engine on a simulated machine, against a model of what a log must be. `docs/TESTING.md` tells how to use it.
//!
//! In the order of reading: `seed` is one seed from beginning to end, `boot` one life of the process in it, `workload` what
//! the process does, `model` what its logs must be, `invariants` what is checked, `faults` what goes wrong.

mod boot;
mod faults;
mod invariants;
mod model;
#[cfg(feature = "planted-bugs")]
mod planted;
mod seed;
mod workload;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::invariants::DETERMINISM;
use crate::seed::run_seed;
use crate::world::{Figures, Violation};

/// Seeds of a gate.
const SEEDS: u64 = 2_000;
/// A seed takes some 30 ms.
const SEED_MAX: Duration = Duration::from_secs(60);
/// Of so many seeds one is run twice.
const TWICE_EVERY: u64 = 50;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {})); // a panic is a violation, told with its seed
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    #[cfg(feature = "planted-bugs")]
    if std::env::args().any(|argument| argument == "planted") {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        return if planted::hunt_all(threads) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    match number("SEED") {
        Some(seed) => replay(seed),
        None => run_many(
            number("FIRST_SEED").unwrap_or(0),
            number("SEEDS").unwrap_or(SEEDS),
        ),
    }
}

/// One seed, with all that happened in it.
fn replay(seed: u64) -> ExitCode {
    let report = run_seed(seed, true);
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

/// Ends everything when a seed does not end: a task that never gives way cannot be stopped otherwise.
fn watch() -> Arc<Mutex<Option<(u64, Instant)>>> {
    let watched = Arc::new(Mutex::new(None::<(u64, Instant)>));
    let seen = watched.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let running = *seen.lock().expect("no panic");
            if let Some((seed, _)) = running.filter(|(_, since)| since.elapsed() > SEED_MAX) {
                println!("seed {seed}: {}: it does not end", crate::invariants::LIVENESS);
                std::process::exit(1);
            }
        }
    });
    watched
}

fn run_many(first: u64, count: u64) -> ExitCode {
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let figures = Mutex::new(Vec::<Figures>::new());
    let failed = Mutex::new(Vec::<(u64, Violation)>::new());
    let failures_max = std::env::var("FAILURES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let watched = watch();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        *watched.lock().expect("no panic") = None;
                        return;
                    }
                    *watched.lock().expect("no panic") = Some((seed, Instant::now()));
                    let report = run_seed(seed, false);
                    let violation = report.violation.or_else(|| {
                        let is_twice = seed.is_multiple_of(TWICE_EVERY);
                        let again = is_twice.then(|| run_seed(seed, false).trace_hash);
                        again
                            .filter(|hash| *hash != report.trace_hash)
                            .map(|hash| Violation {
                                invariant: DETERMINISM,
                                text: format!("{:#x} and {hash:#x}", report.trace_hash),
                            })
                    });
                    *watched.lock().expect("no panic") = None;
                    figures.lock().expect("no panic").push(report.figures);
                    if let Some(violation) = violation {
                        let mut failed = failed.lock().expect("no panic");
                        failed.push((seed, violation));
                        stop.store(failed.len() >= failures_max, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let figures = figures.into_inner().expect("no panic");
    world::print_sum(&figures);
    println!("{} seeds in {:.1?}", figures.len(), started.elapsed());
    let failed = failed.into_inner().expect("no panic");
    for (seed, violation) in &failed {
        println!("seed {seed}: {violation}");
        println!("  replay: SEED={seed} cargo test -p engine --test simulation");
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
