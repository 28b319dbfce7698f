//! Accepting by `accept4` on a readable listener.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use super::{Direction, Driver, Registered};
use crate::core;
use crate::sys;

pub(crate) struct Listener {
    registered: Registered,
}

impl Listener {
    pub(crate) fn new(driver: &Rc<Driver>, socket: OwnedFd) -> io::Result<Listener> {
        Ok(Listener {
            registered: driver.register(Rc::new(socket))?,
        })
    }

    pub(crate) async fn accept(&self) -> io::Result<OwnedFd> {
        loop {
            poll_fn(core::poll_proceed).await;
            match sys::socket::accept(self.registered.fd().as_raw_fd()) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.registered.ready(Direction::Read).await?;
                }
                other => return other,
            }
        }
    }
}
