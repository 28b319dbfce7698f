//! Every planted bug must be found.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use engine::planted::{Bug, plant};

use crate::seed::run_seed;

/// In which each must be found.
const SEEDS: u64 = 1_000;

/// The one that `BUG=Name` plants in a run of ordinary seeds.
pub fn asked_for() -> Option<Bug> {
    let name = std::env::var("BUG").ok()?;
    let found = Bug::OF_CLUSTERS
        .iter()
        .copied()
        .find(|bug| format!("{bug:?}") == name);
    Some(found.unwrap_or_else(|| panic!("no planted bug is called {name}")))
}

/// True if all were found; `BUG=Name` for one of them.
pub fn hunt_all() -> bool {
    let bugs = match asked_for() {
        Some(bug) => vec![bug],
        None => Bug::OF_CLUSTERS.to_vec(),
    };
    let found = bugs.iter().filter(|bug| hunt(**bug)).count();
    println!("{found} of {} found", bugs.len());
    found == bugs.len()
}

fn hunt(bug: Bug) -> bool {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let is_found = AtomicBool::new(false);
    let first = Mutex::new(None::<(u64, String)>);
    let seeds = std::env::var("SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_found.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let run = std::thread::Builder::new().stack_size(16 << 20).spawn(move || {
                        plant(Some(bug));
                        run_seed(seed, false).violation
                    });
                    let violation = run.expect("a thread").join().expect("panics are caught in there");
                    if let Some(violation) = violation {
                        is_found.store(true, Ordering::Relaxed);
                        first
                            .lock()
                            .expect("no panic")
                            .get_or_insert((seed, violation.to_string()));
                    }
                }
            });
        }
    });
    let took = began.elapsed();
    match first.into_inner().expect("no panic") {
        Some((seed, text)) => {
            println!("{bug:?}: found by seed {seed} in {took:.1?}: {text}");
            true
        }
        None => {
            println!("{bug:?}: NOT FOUND in {seeds} seeds, {took:.1?}");
            false
        }
    }
}
