//! The epoll set, and who waits for which descriptor.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::metrics::Metrics;
use crate::remote::Remote;
use crate::slab::{Key, Slab};
use crate::sys::{check, fd::own};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// One waiter for each direction: the door lets in one receive and one send at a time.
#[derive(Default)]
struct Interest {
    read: Option<Waker>,
    write: Option<Waker>,
}

impl Interest {
    fn waker(&mut self, direction: Direction) -> &mut Option<Waker> {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

/// Events taken at one look. More stay for the next.
const EVENTS_MAX: usize = 512;

pub(crate) struct Driver {
    epoll: OwnedFd,
    interests: RefCell<Slab<Interest>>,
    events: RefCell<Vec<libc::epoll_event>>,
    registered: Cell<u64>,
    events_taken: Cell<u64>,
    /// False on kernels (before 5.11) without a wait in nanoseconds.
    has_pwait2: Cell<bool>,
    _remote: Arc<Remote>,
}

impl Driver {
    pub(crate) fn new(remote: Arc<Remote>) -> io::Result<Rc<Driver>> {
        // SAFETY: no pointers; the result is a fresh descriptor.
        let epoll = unsafe { own(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        // why never read: an edge comes with every write to an eventfd, drained or not
        control(
            &epoll,
            libc::EPOLL_CTL_ADD,
            remote.bell(),
            libc::EPOLLIN,
            Key::NONE,
        )?;
        Ok(Rc::new(Driver {
            epoll,
            interests: RefCell::new(Slab::new()),
            events: RefCell::new(Vec::with_capacity(EVENTS_MAX)),
            registered: Cell::new(0),
            events_taken: Cell::new(0),
            has_pwait2: Cell::new(true),
            _remote: remote,
        }))
    }

    /// Both directions, once for the descriptor's life.
    pub(crate) fn register(self: &Rc<Self>, fd: Rc<OwnedFd>) -> io::Result<Registered> {
        let key = self.interests.borrow_mut().insert(Interest::default());
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP;
        if let Err(e) = control(&self.epoll, libc::EPOLL_CTL_ADD, &fd, events, key) {
            self.interests.borrow_mut().remove(key);
            return Err(e);
        }
        self.registered.set(self.registered.get() + 1);
        Ok(Registered {
            driver: self.clone(),
            key,
            fd,
        })
    }

    pub(crate) fn turn(&self) -> io::Result<()> {
        self.wait(Some(Duration::ZERO))
    }

    pub(crate) fn sleep(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.wait(timeout)
    }

    pub(crate) fn measure(&self, metrics: &mut Metrics) {
        metrics.submissions = self.registered.get();
        metrics.completions = self.events_taken.get();
        metrics.operations = self.interests.borrow().len() as u64;
    }

    fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = self.events.borrow_mut();
        events.clear();
        let count = match self.wait_once(&mut events, timeout) {
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(e) => return Err(e),
        };
        // SAFETY: the kernel has filled in `count` events, at most the capacity.
        unsafe { events.set_len(count) };
        self.events_taken.set(self.events_taken.get() + count as u64);
        for event in events.iter() {
            let (flags, word) = (event.events, event.u64);
            self.notice(Key::from_word(word), flags);
        }
        Ok(())
    }

    fn notice(&self, key: Key, flags: u32) {
        let both = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        let readable = flags & (both | (libc::EPOLLIN | libc::EPOLLRDHUP) as u32) != 0;
        let writable = flags & (both | libc::EPOLLOUT as u32) != 0;
        let (read, write) = {
            let mut interests = self.interests.borrow_mut();
            // none: the bell, or a descriptor that has left since
            let Some(interest) = interests.get_mut(key) else {
                return;
            };
            (
                if readable { interest.read.take() } else { None },
                if writable { interest.write.take() } else { None },
            )
        };
        for waker in [read, write].into_iter().flatten() {
            waker.wake();
        }
    }

    fn wait_once(&self, events: &mut Vec<libc::epoll_event>, timeout: Option<Duration>) -> io::Result<usize> {
        let fd = self.epoll.as_raw_fd();
        let (room, max) = (events.as_mut_ptr(), EVENTS_MAX as libc::c_int);
        let short = timeout == Some(Duration::ZERO);
        if self.has_pwait2.get() && !short {
            let time = timeout.map(|timeout| libc::timespec {
                tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: timeout.subsec_nanos().into(),
            });
            let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: `room` has capacity for `max` events; `time` is null or a timespec that outlives the call.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    fd,
                    room,
                    max,
                    time,
                    std::ptr::null::<libc::sigset_t>(),
                    0usize,
                )
            };
            match usize::try_from(result) {
                Ok(count) => return Ok(count),
                Err(_) => match io::Error::last_os_error() {
                    e if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                        self.has_pwait2.set(false);
                    }
                    e => return Err(e),
                },
            }
        }
        // why rounded up: rounded down, the last part of a millisecond would be spent spinning
        let ms = timeout.map_or(-1, |timeout| {
            libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        });
        // SAFETY: `room` has capacity for `max` events.
        check(unsafe { libc::epoll_wait(fd, room, max, ms) }).map(|count| count as usize)
    }
}

fn control(epoll: &OwnedFd, operation: i32, fd: &OwnedFd, events: i32, key: Key) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: (events | libc::EPOLLET) as u32,
        u64: key.to_word(),
    };
    // SAFETY: `event` is readable; both descriptors are borrowed and so open.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd.as_raw_fd(), &mut event) }).map(drop)
}

/// A descriptor in the epoll set; leaves it when dropped.
pub(crate) struct Registered {
    driver: Rc<Driver>,
    key: Key,
    fd: Rc<OwnedFd>,
}

impl Registered {
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Waits for the next edge. Called right after `WouldBlock`, it misses none: edges are only taken between polls.
    pub(crate) async fn ready(&self, direction: Direction) -> io::Result<()> {
        let mut waiting = Waiting {
            registered: self,
            direction,
            is_set: false,
        };
        std::future::poll_fn(|cx| waiting.poll(cx)).await;
        Ok(())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // why explicit: a duplicate of the descriptor elsewhere would keep it in the set after the close
        let _ = control(&self.driver.epoll, libc::EPOLL_CTL_DEL, &self.fd, 0, self.key);
        let interest = self.driver.interests.borrow_mut().remove(self.key);
        drop(interest);
    }
}

struct Waiting<'a> {
    registered: &'a Registered,
    direction: Direction,
    is_set: bool,
}

impl Waiting<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut interests = self.registered.driver.interests.borrow_mut();
        let Some(interest) = interests.get_mut(self.registered.key) else {
            return Poll::Ready(());
        };
        let waker = interest.waker(self.direction);
        if self.is_set && waker.is_none() {
            return Poll::Ready(()); // taken by an edge
        }
        *waker = Some(cx.waker().clone());
        self.is_set = true;
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(interest) = self
            .registered
            .driver
            .interests
            .borrow_mut()
            .get_mut(self.registered.key)
        {
            *interest.waker(self.direction) = None;
        }
    }
}
