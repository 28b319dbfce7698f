//! Building a reactor on a thread, and its loop.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};

use crate::config::{Backend, BackendChoice, Config};
use crate::core::{self, Core};
use crate::filling::Filling;
use crate::metrics::Counters;
use crate::remote::Remote;
use crate::sim::{self, SimThread};
use crate::slab::Key;
use crate::sync::Budget;
use crate::task::Header;
use crate::turn::TURN_POLLS_MAX;
use crate::{oneshot, sys, uring};

/// Which filling a choice leads to here, and why.
#[derive(Clone, Debug)]
pub struct Probe {
    pub backend: Backend,
    /// For people: "io_uring works", or what is missing.
    pub reason: String,
}

/// Sets up a small ring with our flags and asks it for the operations we need.
///
/// # Errors
/// `Unsupported` with the reason, when `Uring` is demanded and not to be had.
pub fn probe(choice: BackendChoice) -> io::Result<Probe> {
    if core::with(|core| core.filling.sim().is_some()).unwrap_or(false) {
        return Ok(Probe {
            backend: Backend::Sim,
            reason: "this thread is simulated".to_owned(),
        });
    }
    let (backend, reason) = match choice {
        BackendChoice::Epoll => (Backend::Epoll, "asked for".to_owned()),
        BackendChoice::Auto | BackendChoice::Uring => match (uring::probe(), choice) {
            (Ok(()), _) => (Backend::Uring, "io_uring works".to_owned()),
            (Err(why), BackendChoice::Uring) => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            (Err(why), _) => (Backend::Epoll, format!("no io_uring: {why}")),
        },
    };
    Ok(Probe { backend, reason })
}

/// Runs `main` on a reactor on this thread. When it is done, every spawned task is dropped, and requests the kernel
/// still holds are called back, before this returns.
///
/// # Errors
/// If the reactor cannot be built, if this thread runs one already, or if the kernel refuses to go on.
///
/// # Panics
/// If `main` panics, after the same clean-up. (Panics of spawned tasks stay with them: [`crate::Task`].)
pub fn run<F: Future>(config: Config, main: F) -> io::Result<F::Output> {
    run_on(build(config)?, main)
}

/// A thread with a reactor. Dropping the handle detaches the thread.
pub struct ThreadHandle {
    thread: Kind,
    /// Dropped as the thread ends.
    told: oneshot::Receiver<()>,
}

enum Kind {
    Os(std::thread::JoinHandle<io::Result<()>>),
    Sim(SimThread),
}

impl ThreadHandle {
    /// Waits until the thread's main future is done; blocks, so not for use on a reactor. (A simulated thread cannot be waited
    /// for in this way: it answers at once, with the outcome if there is one.)
    ///
    /// # Errors
    /// As [`run`], or `Other` if the main future panicked.
    pub fn join(self) -> io::Result<()> {
        match self.thread {
            Kind::Os(thread) => match thread.join() {
                Ok(result) => result,
                Err(_) => Err(panicked()),
            },
            Kind::Sim(thread) => match thread.outcome() {
                Some(Err(_)) => Err(panicked()),
                Some(Ok(())) | None => Ok(()),
            },
        }
    }

    /// The same on a reactor: the other tasks run on meanwhile.
    pub async fn ended(mut self) -> io::Result<()> {
        // only the drop tells; then all that is left of the thread is to return
        let _dropped = (&mut self.told).await;
        self.join()
    }

    pub fn is_finished(&self) -> bool {
        match &self.thread {
            Kind::Os(thread) => thread.is_finished(),
            Kind::Sim(thread) => thread.outcome().is_some(),
        }
    }
}

fn panicked() -> io::Error {
    io::Error::other("the reactor's main future panicked")
}

/// Starts a thread with a reactor, pinned if `config.core` says so, and runs what `main` returns on it.
/// Returns when the reactor stands. Called on a thread of a simulated world, starts a simulated one.
///
/// # Errors
/// If the thread or its reactor cannot be built.
pub fn thread<F, Fut>(config: Config, main: F) -> io::Result<ThreadHandle>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    if let Some(driver) = core::with(|core| core.filling.sim().cloned()).flatten() {
        let (thread, told) = sim::start_thread(&driver, &config.name, async move { main().await })?;
        let thread = Kind::Sim(thread);
        return Ok(ThreadHandle { thread, told });
    }
    let (built, wait_built) = mpsc::sync_channel(1);
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name(config.name.clone())
        .spawn(move || {
            let _tell: oneshot::Sender<()> = tell;
            let core = match build(config) {
                Ok(core) => core,
                Err(e) => {
                    let _ = built.send(Err(e));
                    return Ok(());
                }
            };
            let _ = built.send(Ok(()));
            run_on(core, async move { main().await })
        })?;
    let thread = Kind::Os(thread);
    match wait_built.recv() {
        Ok(result) => result.map(|()| ThreadHandle { thread, told }),
        Err(_) => Err(io::Error::other("the thread ended before its reactor stood")),
    }
}

/// What runs on this thread, if a reactor does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    pub name: String,
    pub backend: Backend,
}

pub fn current() -> Option<Current> {
    core::with(|core| Current {
        name: core.name.clone(),
        backend: core.filling.backend(),
    })
}

fn build(config: Config) -> io::Result<Rc<Core>> {
    if core::is_entered() {
        return Err(io::Error::other("this thread runs a reactor already"));
    }
    if let Some(cpu) = config.core
        && let Err(error) = sys::thread::pin_to(cpu)
    {
        tracing::warn!(reactor = %config.name, cpu, %error, "not pinned");
    }
    crate::signal::ignore_broken_pipe();
    let remote = Arc::new(Remote::new()?);
    let backend = probe(config.backend)?.backend;
    let filling = match Filling::new(backend, remote.clone(), config.recv_buffer_count) {
        Err(error) if backend == Backend::Uring && config.backend == BackendChoice::Auto => {
            // the probe's small ring worked, ours did not: memory is short, or its lock limit low
            tracing::warn!(reactor = %config.name, %error, "no ring for this reactor, falling back to epoll");
            Filling::new(Backend::Epoll, remote.clone(), config.recv_buffer_count)?
        }
        other => other?,
    };
    let cold = Budget::new(config.cold_read_bytes);
    Ok(Core::new(config.name, remote, filling, cold))
}

fn run_on<F: Future>(core: Rc<Core>, main: F) -> io::Result<F::Output> {
    let Some(entered) = core::enter(&core) else {
        return Err(io::Error::other("this thread runs a reactor already"));
    };
    // why caught: the kernel may hold buffers of tasks; they are called back before the panic goes on
    let outcome = {
        let main = pin!(main);
        let mut main = main;
        let mut poll_main = |cx: &mut Context<'_>| main.as_mut().poll(cx);
        catch_unwind(AssertUnwindSafe(|| turns(&core, &mut poll_main)))
    };
    core.drop_tasks();
    core.filling.finish();
    drop(entered);
    match outcome {
        Ok(result) => result,
        Err(panic) => resume_unwind(panic),
    }
}

fn turns<T>(core: &Core, poll_main: &mut dyn FnMut(&mut Context<'_>) -> Poll<T>) -> io::Result<T> {
    let header = Header::new(Key::NONE, core.remote.clone());
    let waker = Waker::from(header.clone());
    waker.wake_by_ref();
    let mut output = None;
    loop {
        Counters::add(&core.counters.turns, 1);
        core.turn.begin();
        core.drain_remote();
        fire_timers(core);
        for _ in 0..TURN_POLLS_MAX {
            let mut main = || {
                header.begin_poll();
                if let Poll::Ready(value) = poll_main(&mut Context::from_waker(&waker)) {
                    output = Some(value);
                }
            };
            let polled = core.poll_next(&mut main);
            if let Some(value) = output.take() {
                return Ok(value);
            }
            if !polled || core.turn.is_spent() {
                break;
            }
        }
        if !core.is_ready() && core.remote.try_sleep() {
            let until = core.timers.borrow().first();
            Counters::add(&core.counters.sleeps, 1);
            let slept = core.filling.sleep(until);
            core.remote.awake();
            slept?;
        } else {
            core.filling.turn()?;
        }
    }
}

pub(crate) fn fire_timers(core: &Core) {
    if core.timers.borrow().len() == 0 {
        return;
    }
    let now = core.filling.now();
    loop {
        let due = core.timers.borrow_mut().pop_due(now);
        match due {
            Some(waker) => waker.wake(),
            None => return,
        }
    }
}
