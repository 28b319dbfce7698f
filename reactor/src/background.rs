//! A few threads of the process for rare heavy work, so that reactors never block on it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use crate::{oneshot, sim, sleep, spawn, sys};

/// Several syncs must be able to wait for the disk side by side; more only queue in the kernel. A guess.
const THREADS_MAX: usize = 8;
/// Jobs waiting for a thread; beyond it callers wait (see [`background`]).
const QUEUE_MAX: usize = 1024;
const FULL_RETRY: Duration = Duration::from_millis(1);
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Idle work has one thread: more would only compete with each other for what is left over.
const IDLE_THREADS_MAX: usize = 1;
/// Beside a shard that wants the whole processor such a thread has a tenth of it. At equal priority 1,000 files of a checkpoint held the
/// shard's requests up for as long as they took.
const PATIENT_NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

/// What the threads of a pool are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Ordinary,
    /// Gives way at the processor, not at the disk.
    Patient,
    /// Takes the disk and the processor only when nobody else wants them.
    Idle,
}

struct Pool {
    class: Class,
    state: Mutex<State>,
    work: Condvar,
}

fn pool(class: Class) -> &'static Pool {
    static ORDINARY: OnceLock<Pool> = OnceLock::new();
    static PATIENT: OnceLock<Pool> = OnceLock::new();
    static IDLE: OnceLock<Pool> = OnceLock::new();
    let pool = match class {
        Class::Ordinary => &ORDINARY,
        Class::Patient => &PATIENT,
        Class::Idle => &IDLE,
    };
    pool.get_or_init(|| Pool {
        class,
        state: Mutex::default(),
        work: Condvar::new(),
    })
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // why: no code of others runs under the lock, so a poisoned state is still a whole one
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Queues a job, or gives it back when the queue is full.
    fn submit(&'static self, job: Job) -> Result<(), Job> {
        let mut state = self.lock();
        if state.queue.len() >= QUEUE_MAX {
            return Err(job);
        }
        state.queue.push_back(job);
        let (name, threads_max) = match self.class {
            Class::Ordinary => ("helper", THREADS_MAX),
            Class::Patient => ("patient-helper", THREADS_MAX),
            Class::Idle => ("idle-helper", IDLE_THREADS_MAX),
        };
        if state.idle < state.queue.len() && state.threads < threads_max {
            let spawned = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(|| self.work());
            match spawned {
                Ok(_) => state.threads += 1,
                // the threads there are will get to it; with none the job comes back and is tried again
                Err(_) if state.threads > 0 => {}
                Err(error) => {
                    tracing::error!(%error, "no helper thread to be had");
                    if let Some(job) = state.queue.pop_back() {
                        return Err(job);
                    }
                }
            }
        }
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    fn work(&self) {
        let put_back = match self.class {
            Class::Ordinary => Ok(()),
            Class::Patient => sys::thread::be_nice(PATIENT_NICE),
            Class::Idle => sys::thread::be_idle(),
        };
        if let Err(error) = put_back {
            tracing::warn!(%error, "background work runs at ordinary priority");
        }
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                job(); // catches its own panics
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (guard, timeout) = self
                .work
                .wait_timeout(state, IDLE_MAX)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            state = guard;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// Runs `f` on a helper thread: recovery, unlinking, compaction - nothing that happens per request. At most 8 run at
/// once in the process and 1,024 wait; beyond that this waits. Dropping the future does not stop `f` once queued.
///
/// # Panics
/// With the panic of `f`, in the task that awaits.
pub async fn background<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    run_on(Class::Ordinary, f).await
}

/// The same on a thread that leaves the processor to the shards (nice 10) but not the disk: for work that nobody waits for as long as it
/// goes on, such as checkpoints.
///
/// # Panics
/// With the panic of `f`, in the task that awaits.
pub async fn background_patient<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    run_on(Class::Patient, f).await
}

/// The same on a thread that takes the disk (`IOPRIO_CLASS_IDLE`) and the processor (nice 19) only when nobody else wants
/// them. There is one such thread in the process: give it slices of some milliseconds, so that everybody gets a turn.
///
/// # Panics
/// With the panic of `f`, in the task that awaits.
pub async fn background_idle<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    run_on(Class::Idle, f).await
}

async fn run_on<T: Send + 'static>(class: Class, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    if let Some(delay) = sim::helper_delay() {
        // a task of its own, so that it runs as well when nobody waits any more
        spawn(async move {
            sleep(delay).await;
            let _ = sender.send(catch_unwind(AssertUnwindSafe(f)));
        })
        .detach();
        return answer_of(receiver).await;
    }
    let mut job: Job = Box::new(move || {
        let _ = sender.send(catch_unwind(AssertUnwindSafe(f)));
    });
    while let Err(refused) = pool(class).submit(job) {
        job = refused;
        sleep(FULL_RETRY).await;
    }
    answer_of(receiver).await
}

async fn answer_of<T>(receiver: oneshot::Receiver<std::thread::Result<T>>) -> T {
    match receiver.await {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(oneshot::Dropped) => unreachable!("a queued job always runs and answers"),
    }
}
