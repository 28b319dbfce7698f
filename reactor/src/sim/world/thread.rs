//! A simulated thread: a reactor of its own, polled by the world.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::place::Place;
use crate::core::{self, Core};
use crate::filling::Filling;
use crate::oneshot;
use crate::remote::Remote;
use crate::sim::Driver;
use crate::sim::disk::SimDisk;
use crate::slab::Key;
use crate::sync::Budget;
use crate::task::Header;

type Main = Pin<Box<dyn Future<Output = ()>>>;

pub(crate) struct Thread {
    pub(super) place: Place,
    pub(super) core: Rc<Core>,
    /// The first thread of its process: with it the process ends.
    pub(super) is_first: bool,
    main: RefCell<Option<Main>>,
    header: Arc<Header>,
    waker: Waker,
    outcome: Outcome,
    told: Cell<Option<oneshot::Sender<()>>>,
}

/// None: it runs. The text of a panic.
type Outcome = Arc<Mutex<Option<Result<(), String>>>>;

/// What [`crate::ThreadHandle`] holds of a simulated thread.
pub(crate) struct SimThread(Outcome);

impl SimThread {
    /// None while it runs.
    pub(crate) fn outcome(&self) -> Option<Result<(), String>> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }
}

/// Starts a thread of the process that runs now. The receiver is told when it ends.
pub(crate) fn start_thread(
    driver: &Driver,
    name: &str,
    main: impl Future<Output = ()> + 'static,
) -> io::Result<(SimThread, oneshot::Receiver<()>)> {
    let Some(place) = driver.place() else {
        return Err(crate::filling::sim_only(
            "threads are simulated in a sim::World only",
        ));
    };
    let (told, tell) = oneshot::channel();
    let thread = Thread::new(
        driver.disk().clone(),
        driver.random_u64(),
        place.clone(),
        name,
        main,
        Some(told),
    )?;
    let handle = SimThread(thread.outcome.clone());
    place.born.borrow_mut().push(Rc::new(thread));
    Ok((handle, tell))
}

impl Thread {
    pub(super) fn new(
        disk: SimDisk,
        seed: u64,
        place: Place,
        name: &str,
        main: impl Future<Output = ()> + 'static,
        told: Option<oneshot::Sender<()>>,
    ) -> io::Result<Thread> {
        let remote = Arc::new(Remote::new()?);
        let is_first = told.is_none();
        let core = Core::new(
            format!("{}/{name}", place.name),
            remote.clone(),
            Filling::Sim(Rc::new(Driver::in_world(disk, seed, place.clone()))),
            Budget::new(0),
        );
        let header = Header::new(Key::NONE, remote);
        let waker = Waker::from(header.clone());
        waker.wake_by_ref();
        Ok(Thread {
            place,
            core,
            is_first,
            main: RefCell::new(Some(Box::pin(main))),
            header,
            waker,
            outcome: Arc::default(),
            told: Cell::new(told),
        })
    }

    /// Polls the main future. True if it is done.
    pub(super) fn poll_main(&self) -> bool {
        self.header.begin_poll();
        let Some(mut main) = self.main.borrow_mut().take() else {
            return false;
        };
        let mut context = Context::from_waker(&self.waker);
        let outcome = match catch_unwind(AssertUnwindSafe(|| main.as_mut().poll(&mut context))) {
            Ok(Poll::Pending) => {
                *self.main.borrow_mut() = Some(main);
                return false;
            }
            Ok(Poll::Ready(())) => Ok(()),
            Err(panic) => {
                core::report_panic(&*panic);
                Err(core::panic_text(&*panic).to_owned())
            }
        };
        drop_quietly(main);
        self.set_outcome(outcome);
        true
    }

    fn set_outcome(&self, outcome: Result<(), String>) {
        let mut slot = self
            .outcome
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        slot.get_or_insert(outcome);
    }

    pub(super) fn panic_text(&self) -> Option<String> {
        let handle = SimThread(self.outcome.clone());
        handle.outcome()?.err()
    }

    /// Drops what it was doing, and tells who waits for its end. On no reactor.
    pub(super) fn end(&self) {
        let Some(entered) = core::enter(&self.core) else {
            return;
        };
        let main = self.main.borrow_mut().take();
        if let Some(main) = main {
            drop_quietly(main);
        }
        self.core.drop_tasks();
        drop(entered);
        self.set_outcome(Err("the process has ended".to_owned()));
        drop(self.told.take());
    }
}

fn drop_quietly(main: Main) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(main))) {
        core::report_panic(&*panic);
    }
}
