//! Who runs next.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::thread::Thread;
use super::{Ended, World};
use crate::clock::Instant;
use crate::core;
use crate::run::fire_timers;
use crate::sim::config::Halt;
use crate::sim::net::{HostId, ProcessId};

/// There were too many polls: some task never waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The thread that ran last.
    pub thread: String,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too many polls, the last ones of {}", self.thread)
    }
}

impl std::error::Error for Stuck {}

/// Polls of one thread before another one may be next.
const BURST_MAX: usize = 4;

/// What a look at all threads found.
#[derive(Default)]
struct Look {
    runnable: Vec<usize>,
    /// When the first of the others can go on.
    next_ns: Option<u64>,
}

impl World {
    pub fn run_for(&self, duration: Duration) -> Result<(), Stuck> {
        self.run_until(self.now() + duration)
    }

    /// Lets everything happen that happens until then.
    ///
    /// # Errors
    /// If there were more polls than the world allows.
    pub fn run_until(&self, deadline: Instant) -> Result<(), Stuck> {
        self.run_while(deadline, || true).map(|_| ())
    }

    /// The same, until the process has ended. False if it has not by then.
    pub fn run_until_ended(&self, process: ProcessId, deadline: Instant) -> Result<bool, Stuck> {
        self.run_while(deadline, || self.is_running(process))?;
        Ok(!self.is_running(process))
    }

    /// The same, as long as `goes_on` says so. False if it was that which ended it.
    pub fn run_while(&self, deadline: Instant, goes_on: impl Fn() -> bool) -> Result<bool, Stuck> {
        let deadline_ns = deadline.as_nanos();
        let mut look = Look::default();
        while goes_on() {
            self.net.deliver_until(self.now_ns.get());
            self.look(&mut look);
            if !look.runnable.is_empty() {
                let next = self.chance.borrow_mut().index(look.runnable.len());
                self.run_thread(look.runnable[next])?;
                continue;
            }
            let next_ns = match (look.next_ns, self.net.next_event_ns()) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            match next_ns {
                Some(next_ns) if next_ns <= deadline_ns => {
                    self.now_ns.set(next_ns.max(self.now_ns.get()));
                }
                Some(_) | None => {
                    self.now_ns.set(deadline_ns.max(self.now_ns.get()));
                    self.net.pass_until(self.now_ns.get());
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn look(&self, look: &mut Look) {
        look.runnable.clear();
        look.next_ns = None;
        let now_ns = self.now_ns.get();
        let hosts = self.hosts.borrow();
        let processes = self.processes.borrow();
        for (index, thread) in self.threads.borrow().iter().enumerate() {
            let place = &thread.place;
            if processes
                .get(&place.process)
                .is_none_or(|process| process.is_paused)
            {
                continue;
            }
            let wanted_ns = if thread.core.is_ready() || thread.core.remote.is_pending() {
                now_ns
            } else {
                match thread.core.timers.borrow().first() {
                    Some(first) => first.as_nanos(),
                    None => continue,
                }
            };
            let possible_ns = wanted_ns.max(hosts[place.host.0].busy_until_ns);
            if possible_ns <= now_ns {
                look.runnable.push(index);
            } else {
                look.next_ns = Some(look.next_ns.map_or(possible_ns, |next| next.min(possible_ns)));
            }
        }
    }

    fn run_thread(&self, index: usize) -> Result<(), Stuck> {
        let thread = self.threads.borrow()[index].clone();
        let (process, host) = (thread.place.process, thread.place.host);
        let boot = self.processes.borrow()[&process].boot;
        let disk = self.disk(host);
        disk.machine().enter(boot, self.now_ns.get());
        let (polls, is_done) = poll_some(&thread);
        let halted = {
            let mut machine = disk.machine();
            machine.spend_ns(polls * self.config.poll_ns);
            self.hosts.borrow_mut()[host.0].busy_until_ns = machine.now_ns();
            machine.halted
        };
        self.polls.set(self.polls.get() + polls);
        self.adopt(&thread.place.born);
        match halted {
            Some(halt) => self.halt(host, process, halt),
            None if is_done && thread.is_first => {
                let how = match thread.panic_text() {
                    None => Ended::Returned,
                    Some(text) => Ended::Panicked(text),
                };
                self.end_process(process, how);
            }
            None if is_done => {
                self.threads
                    .borrow_mut()
                    .retain(|other| !Rc::ptr_eq(other, &thread));
                thread.end();
            }
            None => {}
        }
        if self.polls.get() > self.config.polls_max {
            let thread = thread.core.name.clone();
            return Err(Stuck { thread });
        }
        Ok(())
    }

    fn halt(&self, host: HostId, process: ProcessId, halt: Halt) {
        match halt {
            Halt::Kill => self.kill(process),
            Halt::PowerCut => self.power_cut(host),
        }
    }
}

/// How many polls, and whether the main future is done.
fn poll_some(thread: &Thread) -> (u64, bool) {
    let core = &thread.core;
    let Some(driver) = core.filling.sim() else {
        return (0, false);
    };
    let Some(entered) = core::enter(core) else {
        return (0, false);
    };
    core.drain_remote();
    fire_timers(core);
    let mut polls = 0;
    let mut is_done = false;
    for _ in 0..BURST_MAX {
        core.turn.begin();
        core.with_ready(|ready| driver.shuffle(ready));
        if !core.poll_next(&mut || is_done = thread.poll_main()) {
            break;
        }
        polls += 1;
        if is_done || driver.halted().is_some() {
            break;
        }
    }
    drop(entered);
    (polls, is_done)
}
