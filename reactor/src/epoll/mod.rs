//! The filling for kernels and containers where io_uring is forbidden: edge-triggered epoll, files by `pread` and
//! `pwrite`, syncs on helper threads.

mod driver;
mod listener;
mod stream;

pub(crate) use driver::{Direction, Driver, Registered};
pub(crate) use listener::Listener;
pub(crate) use stream::Stream;
