//! One seed from beginning to end: lives of the process, one after the other, on one disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;

use engine::log::Durability;
use reactor::sim::seeds::Report;
use reactor::sim::{Chance, Halt, HaltAfter, Outcome, SimConfig, run};

use crate::boot::{self, BootPlan, DATA};
use crate::faults::{self, Mix};
use crate::invariants::{IDEMPOTENT, LIVENESS, NO_PANIC};
use crate::model::LogModel;
use crate::world::{Figures, World};

/// Runs one seed.
pub fn run_seed(seed: u64, trace: bool) -> Report<Figures> {
    let mut chance = Chance::new(seed);
    let mix = Mix::of(&mut chance);
    let logs = (0..1 + chance.below(3) as i32)
        .map(|number| LogModel::new(number, faults::config(&mut chance), chance.below(4) != 0))
        .collect();
    let world = Rc::new(World::new(seed, logs, faults::journal(&mut chance)));
    world.disk.note(&format!("{mix:?}"));
    world.disk.note(&format!("{:?}", world.journal));
    for log in &world.logs {
        let model = log.borrow();
        if model.config.durability == Durability::PageCache {
            world.count(|figures| figures.page_cache += 1);
        }
        world
            .disk
            .note(&format!("{} {:?}", model.partition, model.config));
    }
    let mut lives = Lives {
        world: world.clone(),
        mix,
        chance,
        trace,
        sync_errors: 0,
    };
    let caught = catch_unwind(AssertUnwindSafe(|| lives.all()));
    world.is_running.set(false);
    if let Err(panic) = caught {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.violate(NO_PANIC, || text.unwrap_or_else(|| "a panic".to_owned()));
    }
    let counts = world.disk.counts();
    world.count(|figures| {
        figures.power_cuts = counts.power_cuts;
        figures.kills = counts.kills;
        figures.sync_errors = counts.sync_errors;
        figures.write_errors = counts.write_errors;
        figures.read_errors = counts.read_errors;
    });
    let figures = *world.figures.borrow();
    Report {
        violation: world.violation(),
        trace_hash: world.disk.trace_hash(),
        figures,
        trace: world.disk.take_trace(),
    }
}

struct Lives {
    world: Rc<World>,
    mix: Mix,
    chance: Chance,
    trace: bool,
    /// Failed syncs so far.
    sync_errors: u64,
}

impl Lives {
    fn all(&mut self) {
        let config = self.config(None);
        let prepared = run(&self.world.disk, config, async { boot::prepare() });
        assert!(matches!(prepared, Ok(Outcome::Done(Ok(())))), "a data directory");
        for _ in 0..self.mix.boots {
            let plan = self.mix.boot(&mut self.chance);
            let halt = self.mix.halt(&mut self.chance);
            self.world.may_be_full.set(self.mix.full_disk);
            let was_cut = self.life(plan, halt);
            if self.world.is_violated() {
                return;
            }
            self.world.disk.set_limit(None);
            if self.mix.bit_rot && self.chance.coin() {
                self.rot();
            }
            if was_cut && self.chance.below(3) == 0 {
                self.recover_again();
            }
        }
        self.world.may_be_full.set(false);
        // faults are over: all must be well, twice, and once more behind a clean stop
        for _ in 0..2 {
            if !self.world.is_violated() {
                self.life(BootPlan::healthy(20), None);
            }
        }
    }

    fn config(&mut self, halt_after: Option<HaltAfter>) -> SimConfig {
        SimConfig {
            latency: self.mix.latency(),
            halt_after,
            trace: self.trace,
            polls_max: 100_000,
            ..SimConfig::new(self.chance.next_u64())
        }
    }

    /// Whether it ended by a power cut.
    fn life(&mut self, plan: BootPlan, halt: Option<HaltAfter>) -> bool {
        let config = self.config(halt);
        self.world.disk.note(&format!("{plan:?} {halt:?}"));
        self.world.is_running.set(true);
        let outcome = run(&self.world.disk, config, boot::live(self.world.clone(), plan));
        self.world.is_running.set(false);
        self.check_panics();
        let outcome = outcome.expect("a simulated machine");
        if outcome == Outcome::Stuck {
            self.world
                .violate(LIVENESS, || "nothing happens any more".to_owned());
        }
        let was_cut = outcome == Outcome::PowerCut;
        // a failed sync takes from the page cache as well
        let sync_errors = self.world.disk.counts().sync_errors;
        if was_cut || sync_errors > self.sync_errors {
            self.sync_errors = sync_errors;
            self.note_power_lost();
        }
        was_cut
    }

    fn note_power_lost(&self) {
        for log in &self.world.logs {
            log.borrow_mut().power_lost = true;
        }
    }

    fn check_panics(&self) {
        if let Some(text) = self.world.disk.panics().first() {
            self.world.violate(NO_PANIC, || text.clone());
        }
    }

    /// Recovery that is interrupted and done again ends as one that is not, or keeps more of what nobody was told of: bytes behind a
    /// torn place that the first recovery filled from the journal, when power took its cut and left what it wrote.
    fn recover_again(&mut self) {
        if self.world.logs.iter().any(|log| log.borrow().rotted) {
            return;
        }
        self.world.count(|figures| figures.idempotence += 1);
        self.note_power_lost();
        let config = self.config(None);
        let fork = self.world.disk.fork();
        let expected = run(&fork, config, boot::dump_all(self.world.clone())).expect("a machine");
        for _ in 0..1 + self.chance.below(2) {
            let operation = self.chance.below(30);
            let halt = Some(HaltAfter {
                halt: Halt::PowerCut,
                operation,
            });
            let config = self.config(halt);
            let _ = run(&self.world.disk, config, boot::dump_all(self.world.clone())).expect("a machine");
        }
        let found = run(&self.world.disk, config, boot::dump_all(self.world.clone())).expect("a machine");
        let is_same =
            match (&expected, &found) {
                (Outcome::Done(Some(expected)), Outcome::Done(Some(found))) => expected
                    .iter()
                    .zip(found)
                    .all(|(expected, found)| match (expected, found) {
                        (Some(expected), Some(found)) => found.continues(expected),
                        (None, None) => true,
                        _ => false,
                    }),
                _ => false,
            };
        self.world.require(is_same, IDEMPOTENT, || {
            format!("at once: {}; interrupted: {}", brief(&expected), brief(&found))
        });
        self.check_panics();
    }

    /// Flips bits of a segment or of what is derived from it.
    fn rot(&mut self) {
        let index = self.chance.index(self.world.logs.len());
        let mut model = self.world.logs[index].borrow_mut();
        let dir = PathBuf::from(DATA).join(model.partition.to_string());
        let names = self.world.disk.names(&dir);
        if names.is_empty() {
            return;
        }
        let path = dir.join(&names[self.chance.index(names.len())]);
        let len = self
            .world
            .disk
            .cached(&path)
            .map_or(0, |bytes| bytes.len() as u64);
        let (offset, bit) = (self.chance.below(len), self.chance.below(8) as u8);
        if self.world.disk.flip_bit(&path, offset, bit) {
            self.world.count(|figures| figures.rotted += 1);
            self.world.disk.note(&format!(
                "bit {bit} of byte {offset} of {} flipped",
                path.display()
            ));
            model.rotted = true;
        }
    }
}

fn brief(outcome: &Outcome<Option<Vec<Option<crate::model::Dump>>>>) -> String {
    match outcome {
        Outcome::Done(Some(dumps)) => {
            let parts: Vec<String> = dumps
                .iter()
                .map(|dump| match dump {
                    Some(dump) => format!(
                        "{}..{} in {} batches, producers {:?}",
                        dump.start,
                        dump.end,
                        dump.batches.len(),
                        dump.producers
                    ),
                    None => "unreadable".to_owned(),
                })
                .collect();
            parts.join("; ")
        }
        Outcome::Done(None) => "no data directory".to_owned(),
        other => format!("{other:?}"),
    }
}
