//! One seed: a disk, the logs on it and what they must be, and the first thing that was wrong.

use std::cell::{Cell, RefCell};

use engine::journal::JournalConfig;
use reactor::sim::seeds::Violation;
use reactor::sim::{Chance, Faults, SimDisk};

use crate::model::LogModel;

pub struct World {
    pub disk: SimDisk,
    pub logs: Vec<RefCell<LogModel>>,
    /// How the shard's journal is built, if there is one.
    pub journal: Option<JournalConfig>,
    chance: RefCell<Chance>,
    violation: RefCell<Option<Violation>>,
    /// Whether this run's disk may fail operations, or is full.
    pub may_fail: Cell<bool>,
    /// What the disk does wrong now.
    pub faults: Cell<Faults>,
    pub may_be_full: Cell<bool>,
    /// Within a run.
    pub is_running: Cell<bool>,
    pub figures: RefCell<Figures>,
}

/// What the seeds have tried, to prove that they try anything.
macro_rules! figures {
    ($($name:ident,)*) => {
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Figures {
            $(pub $name: u64,)*
        }

        /// Prints the sums, and in how many seeds each came up at all.
        pub fn print_sum(figures: &[Figures]) {
            $(
                let sum: u64 = figures.iter().map(|figures| figures.$name).sum();
                let seeds = figures.iter().filter(|figures| figures.$name > 0).count();
                let percent = seeds * 100 / figures.len().max(1);
                println!("{:>16} {sum:>9}  in {percent:>3} % of the seeds", stringify!($name));
            )*
        }
    };
}

figures! {
    boots,
    clean_stops,
    appends,
    transactional,
    commits,
    aborts,
    acknowledged,
    duplicates,
    refused_full,
    offline,
    refused_starts,
    truncations,
    compactions,
    retained,
    deletes,
    rolls,
    cuts,
    checkpoints,
    idempotence,
    rotted,
    power_cuts,
    kills,
    sync_errors,
    write_errors,
    read_errors,
    replayed,
    page_cache,
}

impl World {
    pub fn new(seed: u64, logs: Vec<LogModel>, journal: Option<JournalConfig>) -> World {
        World {
            disk: SimDisk::new(),
            logs: logs.into_iter().map(RefCell::new).collect(),
            journal,
            chance: RefCell::new(Chance::new(seed ^ 0x5eed)),
            violation: RefCell::new(None),
            may_fail: Cell::new(false),
            faults: Cell::default(),
            may_be_full: Cell::new(false),
            is_running: Cell::new(false),
            figures: RefCell::default(),
        }
    }

    /// No bit was flipped.
    pub fn is_whole(&self) -> bool {
        !self.logs.iter().any(|log| log.borrow().rotted)
    }

    /// Asks chance; never across an await.
    pub fn chance<T>(&self, f: impl FnOnce(&mut Chance) -> T) -> T {
        f(&mut self.chance.borrow_mut())
    }

    pub fn one_in(&self, n: u64) -> bool {
        self.chance(|chance| chance.below(n) == 0)
    }

    pub fn count(&self, f: impl FnOnce(&mut Figures)) {
        f(&mut self.figures.borrow_mut());
    }

    /// The first violation is the one that is told.
    /// What a process sees while its machine ends says nothing about the machine.
    pub fn violate(&self, invariant: &'static str, text: impl FnOnce() -> String) {
        if self.is_running.get() && self.disk.is_halted() {
            return;
        }
        let mut violation = self.violation.borrow_mut();
        if violation.is_none() {
            let text = text();
            self.disk.note(&format!("VIOLATION {invariant}: {text}"));
            *violation = Some(Violation { invariant, text });
        }
    }

    pub fn require(&self, holds: bool, invariant: &'static str, text: impl FnOnce() -> String) -> bool {
        if !holds {
            self.violate(invariant, text);
        }
        holds
    }

    pub fn is_violated(&self) -> bool {
        self.violation.borrow().is_some()
    }

    pub fn violation(&self) -> Option<Violation> {
        self.violation.borrow().clone()
    }
}
