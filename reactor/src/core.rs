//! One reactor: its tasks, timers and filling, and the thread-local that finds it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::device::DeviceQueue;
use crate::filling::Filling;
use crate::follow::Following;
use crate::metrics::Counters;
use crate::remote::Remote;
use crate::reread::Reread;
use crate::slab::{Key, Slab};
use crate::sync::Budget;
use crate::task::Header;
use crate::timers::Timers;
use crate::turn::Turn;

pub(crate) type BoxedTask = Pin<Box<dyn Future<Output = ()>>>;

/// Taken out of its slot while it is polled, so that nothing is borrowed while foreign code runs.
struct Running {
    future: BoxedTask,
    waker: Waker,
}

struct Slot {
    header: Arc<Header>,
    running: Option<Running>,
    aborted: bool,
}

pub(crate) struct Core {
    pub(crate) name: String,
    pub(crate) remote: Arc<Remote>,
    pub(crate) filling: Filling,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) turn: Turn,
    pub(crate) counters: Counters,
    pub(crate) cold: Budget,
    pub(crate) following: Following,
    pub(crate) reread: Reread,
    pub(crate) device: DeviceQueue,
    tasks: RefCell<Slab<Slot>>,
    ready: RefCell<VecDeque<Key>>,
    closing: Cell<bool>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// Runs `f` with this thread's reactor, if it has one.
pub(crate) fn with<R>(f: impl FnOnce(&Rc<Core>) -> R) -> Option<R> {
    CURRENT
        .try_with(|current| current.try_borrow().ok()?.as_ref().map(f))
        .ok()?
}

/// This thread's reactor; a bug in the caller if there is none.
pub(crate) fn current() -> Rc<Core> {
    with(Rc::clone).expect("this is called on a reactor's thread only (inside reactor::run)")
}

/// Makes `core` this thread's reactor until dropped. None if the thread has one already.
pub(crate) fn enter(core: &Rc<Core>) -> Option<Entered> {
    CURRENT.with(|current| {
        let mut current = current.borrow_mut();
        if current.is_some() {
            return None;
        }
        *current = Some(core.clone());
        Some(Entered(()))
    })
}

pub(crate) struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        let core = CURRENT.with(|current| current.borrow_mut().take());
        drop(core);
    }
}

/// The local half of a wake: no lock, no allocation beyond the queue's growth.
pub(crate) fn queue_if_here(remote: &Arc<Remote>, key: Key) -> bool {
    with(|core| {
        let here = Arc::ptr_eq(&core.remote, remote);
        if here {
            core.ready.borrow_mut().push_back(key);
        }
        here
    })
    .unwrap_or(false)
}

pub(crate) fn count_wake_sent() {
    with(|core| Counters::add(&core.counters.wakes_sent, 1));
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

pub(crate) fn report_panic(panic: &(dyn Any + Send)) {
    let text = panic_text(panic);
    with(|core| {
        Counters::add(&core.counters.tasks_panicked, 1);
        if let Some(driver) = core.filling.sim() {
            driver.note_panic(text);
        }
        tracing::error!(reactor = %core.name, panic = text, "a task panicked and was dropped");
    });
}

pub(crate) fn insert(future: BoxedTask) -> Key {
    current().insert(future)
}

pub(crate) fn abort(key: Key) {
    with(|core| core.abort(key));
}

impl Core {
    pub(crate) fn new(name: String, remote: Arc<Remote>, filling: Filling, cold: Budget) -> Rc<Core> {
        Rc::new(Core {
            name,
            remote,
            filling,
            timers: RefCell::new(Timers::new()),
            turn: Turn::new(),
            counters: Counters::default(),
            cold,
            following: Following::default(),
            reread: Reread::default(),
            device: DeviceQueue::default(),
            tasks: RefCell::new(Slab::new()),
            ready: RefCell::new(VecDeque::new()),
            closing: Cell::new(false),
        })
    }

    pub(crate) fn tasks_live(&self) -> usize {
        self.tasks.borrow().len()
    }

    fn insert(&self, future: BoxedTask) -> Key {
        if self.closing.get() {
            drop(future); // its handle sees Lost::Aborted
            return Key::NONE;
        }
        let mut waker = None;
        let key = self.tasks.borrow_mut().insert_with(|key| {
            let header = Header::new(key, self.remote.clone());
            let first = waker.insert(Waker::from(header.clone()));
            Slot {
                header,
                running: Some(Running {
                    future,
                    waker: first.clone(),
                }),
                aborted: false,
            }
        });
        if let Some(waker) = waker {
            waker.wake();
        }
        key
    }

    fn abort(&self, key: Key) {
        let running = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(slot) = tasks.get_mut(key) else { return };
            match slot.running.take() {
                Some(running) => {
                    tasks.remove(key);
                    Some(running)
                }
                None => {
                    slot.aborted = true; // it is being polled right now; `poll` drops it afterwards
                    None
                }
            }
        };
        if let Some(running) = running {
            drop_quietly(running);
        }
    }

    /// Polls one ready task; `main` answers for the key that stands for the reactor's main future.
    pub(crate) fn poll_next(&self, main: &mut dyn FnMut()) -> bool {
        let Some(key) = self.ready.borrow_mut().pop_front() else {
            return false;
        };
        self.turn.begin_task();
        Counters::add(&self.counters.polls, 1);
        if key == Key::NONE {
            main();
        } else {
            self.poll(key);
        }
        true
    }

    fn poll(&self, key: Key) {
        let mut running = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(slot) = tasks.get_mut(key) else { return };
            let Some(running) = slot.running.take() else {
                return;
            };
            slot.header.begin_poll();
            running
        };
        let poll = running
            .future
            .as_mut()
            .poll(&mut Context::from_waker(&running.waker));
        let finished = {
            let mut tasks = self.tasks.borrow_mut();
            match tasks.get_mut(key) {
                Some(slot) if poll.is_pending() && !slot.aborted => {
                    slot.running = Some(running);
                    None
                }
                Some(_) => {
                    tasks.remove(key);
                    Some(running)
                }
                None => Some(running),
            }
        };
        if let Some(running) = finished {
            drop_quietly(running);
        }
    }

    /// For fillings that choose who is next.
    pub(crate) fn with_ready(&self, f: impl FnOnce(&mut VecDeque<Key>)) {
        f(&mut self.ready.borrow_mut());
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.borrow().is_empty()
    }

    pub(crate) fn drain_remote(&self) {
        self.remote.drain(&mut self.ready.borrow_mut());
    }

    /// Drops every task. What they spawn while they go is dropped at once.
    pub(crate) fn drop_tasks(&self) {
        self.closing.set(true);
        self.following.clear();
        let keys = self.tasks.borrow().keys();
        for key in keys {
            self.abort(key);
        }
        self.ready.borrow_mut().clear();
    }
}

/// A panic in the drop of one task's future must not take the others along.
fn drop_quietly(running: Running) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(running))) {
        report_panic(&*panic);
    }
}

/// Whether this thread runs a reactor.
pub(crate) fn is_entered() -> bool {
    with(|_| ()).is_some()
}

/// Yields once if the running task or turn has had its share; see [`Turn`].
pub(crate) fn poll_proceed(cx: &mut Context<'_>) -> Poll<()> {
    if with(|core| core.turn.may_proceed()).unwrap_or(true) {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}
