//! The simulation can fail: each planted bug is found.

use engine::planted::{Bug, plant};

use crate::seed::run_seed;
use crate::world::Violation;

/// Seeds a bug may hide in.
const SEEDS_MAX: u64 = 5_000;

fn seeds_max() -> u64 {
    let asked = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(SEEDS_MAX)
}

/// The first seed that finds the bug, and what it found.
pub fn hunt(bug: Bug) -> Option<(u64, Violation)> {
    plant(Some(bug));
    let found = (0..seeds_max()).find_map(|seed| {
        let violation = run_seed(seed, false).violation?;
        is_sound(seed, bug).then_some((seed, violation))
    });
    plant(None);
    found
}

/// What is wrong with a seed without any planted bug proves nothing.
fn is_sound(seed: u64, bug: Bug) -> bool {
    plant(None);
    let sound = run_seed(seed, false).violation.is_none();
    plant(Some(bug));
    sound
}

/// Hunts all of them; true if all were found.
pub fn hunt_all(threads: usize) -> bool {
    let wanted = std::env::var("BUG").ok();
    // by name also those that need not be found
    let unseen = Bug::UNSEEN.iter().filter(|_| wanted.is_some());
    let bugs: Vec<Bug> = Bug::ALL
        .iter()
        .chain(unseen)
        .copied()
        .filter(|bug| wanted.as_ref().is_none_or(|name| *name == format!("{bug:?}")))
        .collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let all_found = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(bug) = bugs.get(number).copied() else {
                        return;
                    };
                    match hunt(bug) {
                        Some((seed, violation)) => println!("{bug:?}: found by seed {seed}: {violation}"),
                        None => {
                            println!("{bug:?}: NOT FOUND in {} seeds", seeds_max());
                            all_found.store(false, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    all_found.into_inner()
}
