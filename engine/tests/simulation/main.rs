//! The storage engine on a simulated machine, against a model of what a log must be. `docs/TESTING.md` tells how to use it.
//!
//! In the order of reading: `seed` is one seed from beginning to end, `boot` one life of the process in it, `workload` what
//! the process does, `transactional` its transactions, `model` what its logs must be and `transactions` what is decided in them,
//! `invariants` and `isolation` what is checked, `faults` what goes wrong.

mod boot;
mod faults;
mod invariants;
mod isolation;
mod model;
#[cfg(feature = "planted-bugs")]
mod planted;
mod seed;
mod transactional;
mod transactions;
mod workload;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use reactor::sim::seeds::{self, Report, Simulation};

use crate::world::Figures;

struct Engine;

impl Simulation for Engine {
    type Figures = Figures;
    const SEEDS: u64 = 2_000;
    /// One takes some 30 ms.
    const SEED_MAX: Duration = Duration::from_secs(300);
    const COMMAND: &'static str = "cargo test -p engine --test simulation";

    fn run(seed: u64, is_traced: bool) -> Report<Figures> {
        seed::run_seed(seed, is_traced)
    }

    fn print(figures: &[Figures]) {
        world::print_sum(figures);
    }
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {})); // a panic is a violation, told with its seed
    #[cfg(feature = "planted-bugs")]
    if std::env::args().any(|argument| argument == "planted") {
        return planted::hunt_all();
    }
    seeds::run::<Engine>()
}
