//! The watchdog's own process.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::time::Timespec;

use super::broker::{Broker, refuse};
use super::watch::{Change, Watch};
use super::{BEATS, interval};

#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    #[error(
        "the watchdog may not reach the broker's sockets, so clients of a broker that is stopped wait for their own timeouts: {0}"
    )]
    Access(io::Error),
    #[error("the watchdog cannot wait: {0}")]
    Poll(io::Error),
}

/// Watches the process that started this one, which beats on standard input, until that ends. `addresses` are where its clients connect.
pub fn run(patience: Duration, addresses: Vec<SocketAddr>) -> Result<(), WatchdogError> {
    // why the result does not matter: it is for people who look at a list of processes
    let _named = rustix::thread::set_name(c"ringlog-watchdog");
    // The end of standard input is for one that runs: one that waits for whoever reads the log would keep the listeners of a dead broker.
    let _ends_with_broker = set_parent_process_death_signal(Some(Signal::KILL));
    let broker = Broker::parent(addresses).map_err(WatchdogError::Access)?;
    let mut watch = Watch::default();
    let mut listeners: Vec<OwnedFd> = Vec::new();
    let mut is_checked = false;
    let turn = Timespec::try_from(interval(patience))
        .map_err(|_| WatchdogError::Poll(io::ErrorKind::InvalidInput.into()))?;
    loop {
        let (has_beat, waiting) = wait(&listeners, &turn).map_err(WatchdogError::Poll)?;
        let change = if has_beat {
            if !take_beats() {
                return Ok(()); // the broker has ended
            }
            if !is_checked {
                broker.check_access().map_err(WatchdogError::Access)?;
                is_checked = true;
            }
            watch.beat()
        } else if waiting.is_empty() {
            watch.turn(BEATS)
        } else {
            None
        };
        match change {
            Some(Change::Stalled) => match broker.cut_off() {
                Ok(done) => {
                    listeners = done.listeners;
                    tracing::warn!(
                        connections = done.connections,
                        ?patience,
                        "the broker does not run: its clients' connections are closed, and new ones refused"
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "the broker does not run, and its clients cannot be told")
                }
            },
            Some(Change::Runs) => {
                listeners.clear(); // first, since the log may have to be waited for
                tracing::warn!("the broker runs again");
            }
            None if watch.is_stalled() => {
                for listener in waiting.into_iter().filter_map(|index| listeners.get(index)) {
                    refuse(listener.as_fd());
                }
            }
            None => {}
        }
    }
}

/// Whether there is something on standard input, and which of `listeners` have a connection, after a turn at the latest.
fn wait(listeners: &[OwnedFd], turn: &Timespec) -> io::Result<(bool, Vec<usize>)> {
    let stdin = io::stdin();
    let mut asked = vec![PollFd::new(&stdin, PollFlags::IN)];
    asked.extend(
        listeners
            .iter()
            .map(|listener| PollFd::new(listener, PollFlags::IN)),
    );
    match poll(&mut asked, Some(turn)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = asked.iter().map(|fd| !fd.revents().is_empty());
    let has_beat = ready.next().unwrap_or(false);
    let waiting = ready
        .enumerate()
        .filter_map(|(index, is_ready)| is_ready.then_some(index));
    Ok((has_beat, waiting.collect()))
}

/// Whether the broker is still there.
fn take_beats() -> bool {
    let mut beats = [0; 256];
    loop {
        match io::stdin().lock().read(&mut beats) {
            Ok(count) => return count > 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}
