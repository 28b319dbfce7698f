//! The filling for production: one ring per reactor, single issuer, deferred task run.
//!
//! Who owns memory while the kernel may touch it: the operation's entry in the driver's slab, from before the request
//! is pushed until its last completion. Futures only refer to it; a dropped future leaves an orphan behind.

mod buffers;
mod direct;
mod driver;
mod listener;
mod operation;
mod probe;
mod receiving;
mod request;
mod stream;

pub(crate) use driver::Driver;
pub(crate) use listener::Listener;
pub(crate) use probe::probe;
pub(crate) use request::Direction;
pub(crate) use stream::Stream;
