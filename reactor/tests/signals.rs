//! Signals. Alone in its process, because they are the process's.

mod common;

use std::time::Duration;

use reactor::{BackendChoice, Signal, shutdown_signal, sleep, spawn};

fn raise(signal: libc::c_int) {
    // SAFETY: no pointers; the process is this one.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
}

/// `systemctl stop` and Ctrl-C must lead to an orderly end: seen while waiting, while busy, and a second time.
#[test]
fn signals_ask_for_the_end() {
    for backend in [BackendChoice::Uring, BackendChoice::Epoll] {
        common::run_with(common::config(backend), async {
            let waiting = spawn(shutdown_signal());
            sleep(Duration::from_millis(10)).await;
            assert!(!waiting.is_finished());
            raise(libc::SIGTERM);
            assert_eq!(waiting.await, Signal::Terminate);
            let before_it_waits = shutdown_signal();
            raise(libc::SIGINT);
            assert_eq!(before_it_waits.await, Signal::Interrupt);
            let waiting = spawn(shutdown_signal());
            sleep(Duration::from_millis(10)).await;
            let thread = std::thread::spawn(|| raise(libc::SIGINT));
            assert_eq!(waiting.await, Signal::Interrupt);
            thread.join().expect("the thread ends");
        });
    }
}
