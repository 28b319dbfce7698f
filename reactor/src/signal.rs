//! The two signals that ask a process to end.
//!
//! A handler and an eventfd instead of a signalfd: a signalfd works only if every thread, also those of libraries
//! and those started earlier, has the signals blocked; one that has not is killed.

use std::future::Future;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use crate::{core, sim, sys};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM
    Terminate,
    /// SIGINT
    Interrupt,
}

static BELL: OnceLock<OwnedFd> = OnceLock::new();
/// What the handler rings: -1 until the bell stands.
static BELL_FD: AtomicI32 = AtomicI32::new(-1);
/// The latest signal nobody has taken; 0 is none.
static ARRIVED: AtomicI32 = AtomicI32::new(0);

extern "C" fn handle(signal: libc::c_int) {
    // why the care: only async-signal-safe calls are allowed here, and errno belongs to the interrupted code
    // SAFETY: errno's location is valid for the thread.
    let errno = unsafe { *libc::__errno_location() };
    ARRIVED.store(signal, SeqCst);
    sys::fd::ring_bell(&BELL_FD.load(SeqCst));
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Waits for SIGTERM or SIGINT, which from this call on no longer end the process. For one reactor of the process;
/// call it again to wait for the next.
///
/// # Panics
/// If the process has no descriptor left for the eventfd.
pub fn shutdown_signal() -> impl Future<Output = Signal> {
    let simulated = core::with(|core| core.filling.sim().is_some()).unwrap_or(false);
    let bell = (!simulated).then(os_bell);
    async move {
        match bell {
            Some(bell) => os_signal(bell).await,
            None => match sim::current_place() {
                Some(place) => place.bell.wait().await,
                None => std::future::pending().await,
            },
        }
    }
}

fn os_bell() -> &'static OwnedFd {
    BELL.get_or_init(|| {
        let bell = sys::fd::event().expect("a descriptor for the signals' eventfd");
        BELL_FD.store(bell.as_raw_fd(), SeqCst);
        install(libc::SIGTERM, handle as *const () as libc::sighandler_t);
        install(libc::SIGINT, handle as *const () as libc::sighandler_t);
        bell
    })
}

async fn os_signal(bell: &'static OwnedFd) -> Signal {
    loop {
        match ARRIVED.swap(0, SeqCst) {
            libc::SIGTERM => return Signal::Terminate,
            libc::SIGINT => return Signal::Interrupt,
            _ => {}
        }
        // why silenced before the second look: a signal after it rings again
        sys::fd::silence_bell(bell);
        if ARRIVED.load(SeqCst) != 0 {
            continue;
        }
        let filling = core::current().filling.clone();
        let waited = match bell.try_clone() {
            Ok(bell) => filling.readable(Rc::new(bell)).await,
            Err(e) => Err(e),
        };
        if let Err(error) = waited {
            tracing::warn!(%error, "cannot wait for signals, looking once a second");
            crate::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

/// sendfile has no MSG_NOSIGNAL: without this a peer that went away could end the process. Programs written in Rust
/// start with it ignored already; a handler somebody has installed is left alone.
pub(crate) fn ignore_broken_pipe() {
    // SAFETY: sigaction is plain data, for which zero is valid; with no new action it only writes the old one.
    let current = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut action);
        action.sa_sigaction
    };
    if current == libc::SIG_DFL {
        install(libc::SIGPIPE, libc::SIG_IGN);
    }
}

fn install(signal: libc::c_int, handler: libc::sighandler_t) {
    // SAFETY: sigaction is plain data, for which zero is valid; `handler` is SIG_IGN or an async-signal-safe
    // function of the right type that lives as long as the program.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal, &action, std::ptr::null_mut())
    };
    assert_eq!(result, 0, "sigaction takes a valid signal and handler");
}
