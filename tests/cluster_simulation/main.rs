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
mod takeover;

use std::process::ExitCode;
use std::time::Duration;

use reactor::sim::seeds::{self, Report, Simulation};

use crate::model::Figures;

struct Clusters;

impl Simulation for Clusters {
    type Figures = Figures;
    const SEEDS: u64 = 2_000;
    /// One takes some tenths of a second.
    const SEED_MAX: Duration = Duration::from_secs(600);
    const COMMAND: &'static str = "cargo test --test cluster_simulation";

    fn run(seed: u64, is_traced: bool) -> Report<Figures> {
        seed::run_seed(seed, is_traced)
    }

    fn prepare(is_traced: bool) {
        if is_traced {
            // why apart: its hash maps would take keys that the seed's have in a run of many, and the run would be another
            std::thread::spawn(logs::into_trace).join().expect("a subscriber");
        }
        #[cfg(feature = "planted-bugs")]
        planted::Planted::plant(planted::asked_for());
    }

    fn print(figures: &[Figures]) {
        let mut sum = Figures::default();
        figures.iter().for_each(|figures| sum.add(figures));
        sum.print();
    }
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {})); // a panic is a violation, told with its seed
    let asks_for = |what: &str| std::env::args().any(|argument| argument == what);
    #[cfg(feature = "planted-bugs")]
    if asks_for("planted") {
        return planted::hunt_all();
    }
    if asks_for("flapping") {
        let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
        flapping::measure(seed.unwrap_or(1));
        return ExitCode::SUCCESS;
    }
    let sleepers = (0..sleeper::SEEDS).try_for_each(sleeper::check);
    if let Err(violation) = sleepers.and_then(|()| (0..takeover::SEEDS).try_for_each(takeover::check)) {
        println!("{violation}");
        return ExitCode::FAILURE;
    }
    seeds::run::<Clusters>()
}
