//! Many seeds of a simulation: on all cores, each watched, some run twice; one told in full; planted bugs hunted.
//!
//! | variable | means |
//! |---|---|
//! | `SEED=n` | this one only, with all that happened in it |
//! | `FIRST_SEED=n`, `SEEDS=n` | from which one on, and how many |
//! | `FAILURES=n` | go on until so many have failed; 1 otherwise |

use std::fmt::{self, Debug};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same seed is the same run.
pub const DETERMINISM: &str = "the same seed is the same run";
/// A task that never gives way would never let its seed end.
pub const ENDING: &str = "every seed ends";
/// Of so many seeds one is run twice.
const TWICE_EVERY: u64 = 50;
/// Of a seed's thread: whole brokers live on it.
const STACK_BYTES: usize = 16 << 20;

/// A named invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}

/// What became of a seed.
pub struct Report<F> {
    pub violation: Option<Violation>,
    /// What it has tried, to prove that it tries anything.
    pub figures: F,
    pub trace_hash: u64,
    /// Only if it was asked for.
    pub trace: Vec<String>,
}

/// What can be run by its seed.
pub trait Simulation: 'static {
    type Figures: Debug + Send + 'static;
    /// Of a gate.
    const SEEDS: u64;
    /// A seed that takes longer does not end.
    const SEED_MAX: Duration;
    /// The command that a seed is replayed with.
    const COMMAND: &'static str;

    fn run(seed: u64, is_traced: bool) -> Report<Self::Figures>;

    /// On the thread of a seed, before it; not while a bug is hunted.
    fn prepare(_is_traced: bool) {}

    fn print(figures: &[Self::Figures]);
}

/// Runs what the variables ask for.
pub fn run<S: Simulation>() -> ExitCode {
    match number("SEED") {
        Some(seed) => replay::<S>(seed),
        None => run_many::<S>(
            number("FIRST_SEED").unwrap_or(0),
            number("SEEDS").unwrap_or(S::SEEDS),
        ),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn replay<S: Simulation>(seed: u64) -> ExitCode {
    let report = ordinary::<S>(seed, true);
    for line in &report.trace {
        println!("{line}");
    }
    println!(
        "seed {seed}: trace {:#018x} {:?}",
        report.trace_hash, report.figures
    );
    if let Some(violation) = &report.violation {
        println!("seed {seed}: {violation}");
    }
    code(report.violation.is_none())
}

fn code(is_well: bool) -> ExitCode {
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn ordinary<S: Simulation>(seed: u64, is_traced: bool) -> Report<S::Figures> {
    apart::<S>(seed, is_traced, move || S::prepare(is_traced))
}

/// On a thread of its own, where the hash maps of the standard library begin with the same keys.
fn apart<S: Simulation>(
    seed: u64,
    is_traced: bool,
    prepare: impl FnOnce() + Send + 'static,
) -> Report<S::Figures> {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let running = thread.spawn(move || {
        prepare();
        S::run(seed, is_traced)
    });
    running
        .expect("a thread")
        .join()
        .expect("a seed's panics are its violations")
}

/// The seed that a thread runs, and since when.
type Watched = Arc<Mutex<Option<(u64, Instant)>>>;

/// Ends everything when a seed does not end: a task that never gives way cannot be stopped otherwise.
fn watch(seed_max: Duration) -> Watched {
    let watched = Watched::default();
    let seen = watched.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let running = *lock(&seen);
            if let Some((seed, _)) = running.filter(|(_, since)| since.elapsed() > seed_max) {
                println!("seed {seed}: {ENDING}: not within {seed_max:?}");
                std::process::exit(1);
            }
        }
    });
    watched
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some of them twice: then the runs must be the same.
fn run_watched<S: Simulation>(seed: u64, watched: &Watched) -> Report<S::Figures> {
    *lock(watched) = Some((seed, Instant::now()));
    let mut report = ordinary::<S>(seed, false);
    if report.violation.is_none() && seed.is_multiple_of(TWICE_EVERY) {
        let again = ordinary::<S>(seed, false).trace_hash;
        if again != report.trace_hash {
            report.violation = Some(Violation {
                invariant: DETERMINISM,
                text: format!("{:#x} and {again:#x}", report.trace_hash),
            });
        }
    }
    *lock(watched) = None;
    report
}

fn run_many<S: Simulation>(first: u64, count: u64) -> ExitCode {
    let started = Instant::now();
    let figures = Mutex::new(Vec::new());
    let failed = Mutex::new(Vec::<(u64, Violation)>::new());
    let failures_max = number("FAILURES").unwrap_or(1) as usize;
    on_all_cores(first..first + count, |seeds| {
        let watched = watch(S::SEED_MAX);
        for seed in seeds {
            let report = run_watched::<S>(seed, &watched);
            lock(&figures).push(report.figures);
            if let Some(violation) = report.violation {
                println!("seed {seed}: {violation}");
                let mut failed = lock(&failed);
                failed.push((seed, violation));
                if failed.len() >= failures_max {
                    seeds.stop();
                }
            }
        }
    });
    let figures = figures.into_inner().unwrap_or_else(PoisonError::into_inner);
    S::print(&figures);
    println!("{} seeds in {:.1?}", figures.len(), started.elapsed());
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (seed, violation) in &failed {
        println!("seed {seed}: {violation}");
        println!("  replay: SEED={seed} {}", S::COMMAND);
    }
    code(failed.is_empty())
}

/// Plants one bug after the other, and looks for a seed that finds it. What is wrong with a seed without the bug proves nothing.
/// `plant` is for the thread that calls it; `SEEDS` says in how many each must be found.
pub fn hunt<S: Simulation, B>(bugs: &[B], seeds_max: u64, plant: fn(Option<B>)) -> ExitCode
where
    B: Copy + Debug + Send + Sync + 'static,
{
    let seeds_max = number("SEEDS").unwrap_or(seeds_max);
    let is_found = |bug: &&B| {
        let began = Instant::now();
        let found = find::<S, B>(**bug, seeds_max, plant);
        let took = began.elapsed();
        match &found {
            Some((seed, violation)) => println!("{bug:?}: found by seed {seed} in {took:.1?}: {violation}"),
            None => println!("{bug:?}: NOT FOUND in {seeds_max} seeds, {took:.1?}"),
        }
        found.is_some()
    };
    let found = bugs.iter().filter(is_found).count();
    println!("{found} of {} found", bugs.len());
    code(found == bugs.len())
}

fn find<S: Simulation, B>(bug: B, seeds_max: u64, plant: fn(Option<B>)) -> Option<(u64, Violation)>
where
    B: Copy + Send + Sync + 'static,
{
    let first = Mutex::new(None);
    let violation = |seed, bug| apart::<S>(seed, false, move || plant(bug)).violation;
    on_all_cores(0..seeds_max, |seeds| {
        for seed in seeds {
            if let Some(found) = violation(seed, Some(bug))
                && violation(seed, None).is_none()
            {
                lock(&first).get_or_insert((seed, found));
                seeds.stop();
            }
        }
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Seeds that several threads share.
struct Shared {
    next: AtomicU64,
    end: AtomicU64,
}

impl Shared {
    fn stop(&self) {
        self.end.store(0, Ordering::Relaxed);
    }
}

impl Iterator for &Shared {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let seed = self.next.fetch_add(1, Ordering::Relaxed);
        (seed < self.end.load(Ordering::Relaxed)).then_some(seed)
    }
}

fn on_all_cores(seeds: std::ops::Range<u64>, work: impl Fn(&Shared) + Sync) {
    let shared = Shared {
        next: AtomicU64::new(seeds.start),
        end: AtomicU64::new(seeds.end),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&shared));
        }
    });
}
