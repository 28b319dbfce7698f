//! A run of the simulated machine.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::config::{Halt, SimConfig};
use super::disk::SimDisk;
use super::driver::Driver;
use crate::core::{self, Core};
use crate::filling::Filling;
use crate::remote::Remote;
use crate::run::fire_timers;
use crate::slab::Key;
use crate::sync::Budget;
use crate::task::Header;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The main future resolved. What it left unsynced is in the page cache.
    Done(T),
    PowerCut,
    Killed,
    /// No task was ready, no timer was set and the main future was not done; or there were too many polls.
    Stuck,
}

impl<T> Outcome<T> {
    /// The same, with another value.
    pub fn map_done<U>(self, f: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Outcome::Done(value) => Outcome::Done(f(value)),
            Outcome::PowerCut => Outcome::PowerCut,
            Outcome::Killed => Outcome::Killed,
            Outcome::Stuck => Outcome::Stuck,
        }
    }
}

/// Runs `main` on the simulated machine, on this thread.
///
/// # Errors
/// If this thread runs a reactor already, or the real machine has no descriptor left.
///
/// # Panics
/// If `main` panics. Panics of spawned tasks are kept in [`SimDisk::panics`].
pub fn run<F: Future>(disk: &SimDisk, config: SimConfig, main: F) -> io::Result<Outcome<F::Output>> {
    let driver = Rc::new(Driver::new(disk.clone(), config.seed));
    let remote = Arc::new(Remote::new()?);
    let core = Core::new(
        "simulated".to_owned(),
        remote,
        Filling::Sim(driver.clone()),
        Budget::new(0), // its page cache holds everything
    );
    let Some(entered) = core::enter(&core) else {
        return Err(io::Error::other("this thread runs a reactor already"));
    };
    disk.machine().boot(&config);
    let outcome = {
        // dropped before the machine is shut down: what drops do to the disk belongs to the run
        let mut main = pin!(main);
        let mut poll_main = |cx: &mut Context<'_>| main.as_mut().poll(cx);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            turns(&core, &driver, config.polls_max, &mut poll_main)
        }));
        core.drop_tasks();
        outcome
    };
    disk.machine().shut_down();
    drop(entered);
    match outcome {
        Ok(outcome) => Ok(outcome),
        Err(panic) => resume_unwind(panic),
    }
}

fn turns<T>(
    core: &Core,
    driver: &Driver,
    polls_max: u64,
    poll_main: &mut dyn FnMut(&mut Context<'_>) -> Poll<T>,
) -> Outcome<T> {
    let header = Header::new(Key::NONE, core.remote.clone());
    let waker = Waker::from(header.clone());
    waker.wake_by_ref();
    let mut output = None;
    let mut polls = 0;
    loop {
        core.drain_remote();
        fire_timers(core);
        loop {
            core.turn.begin();
            core.with_ready(|ready| driver.shuffle(ready));
            let mut main = || {
                header.begin_poll();
                if let Poll::Ready(value) = poll_main(&mut Context::from_waker(&waker)) {
                    output = Some(value);
                }
            };
            if !core.poll_next(&mut main) {
                break;
            }
            // first: what a future returns because its disk is gone is nothing that happened
            if let Some(halt) = driver.halted() {
                return match halt {
                    Halt::PowerCut => Outcome::PowerCut,
                    Halt::Kill => Outcome::Killed,
                };
            }
            if let Some(value) = output.take() {
                return Outcome::Done(value);
            }
            polls += 1;
            if polls > polls_max {
                return Outcome::Stuck;
            }
        }
        let next = core.timers.borrow().first();
        match next {
            Some(until) => driver.jump_to(until),
            None => return Outcome::Stuck,
        }
    }
}
