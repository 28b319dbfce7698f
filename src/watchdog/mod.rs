//! A second process beside a broker of a cluster, for the time in which the broker does not run: stopped by a signal or a debugger.
//!
//! The controller gives its partitions to others after `broker.session.timeout.ms`, but its clients learn nothing of that: the kernel
//! keeps their connections open, and a request that is never answered costs a client its `request.timeout.ms` (30 s of Java's producer,
//! 60 s of librdkafka's). So when the broker has not run for that long, the watchdog closes their connections and refuses new
//! ones: clients ask another broker, which knows the new leaders. See docs/adr/0006.
//!
//! It stands outside of the reactor, on a thread of its own here and as a process of its own there: it is about their not running. The
//! broker sends a beat through a pipe, ten in a session ([`Guard`]); the watchdog counts its own turns without one ([`watch::Watch`]),
//! so that a machine that stands still as a whole is held against nobody, and borrows the broker's sockets from the kernel
//! ([`broker::Broker`]), so that there is nothing to hand over while all goes well.

mod broker;
mod guard;
mod life;
mod watch;

use std::time::Duration;

pub use guard::Guard;
pub use life::{WatchdogError, run};

/// Beats in the time of patience, and the watchdog's turns.
const BEATS: u32 = 10;

/// Between two beats.
fn interval(patience: Duration) -> Duration {
    (patience / BEATS).max(Duration::from_millis(1))
}
