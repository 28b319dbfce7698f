//! A connection: receives through [`Receiving`], sends by direct calls and waits for room through the ring.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use bytes::BytesMut;

use super::receiving::{Exact, Receiving};
use super::{Direction, Driver};

pub(crate) struct Stream {
    driver: Rc<Driver>,
    socket: Rc<OwnedFd>,
    receiving: Rc<Receiving>,
}

impl Stream {
    pub(crate) fn new(driver: &Rc<Driver>, socket: Rc<OwnedFd>) -> Stream {
        let receiving = Receiving::new(driver, socket.clone());
        Stream {
            driver: driver.clone(),
            socket,
            receiving,
        }
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.socket
    }

    pub(crate) async fn recv(&self, buf: &mut BytesMut) -> io::Result<usize> {
        let reader = self.receiving.reader();
        poll_fn(|cx| reader.poll_recv(cx, buf)).await
    }

    pub(crate) async fn recv_exact(&self, buf: &mut BytesMut, n: usize) -> io::Result<()> {
        let reader = self.receiving.reader();
        let mut exact = Exact::new(n);
        poll_fn(|cx| reader.poll_recv_exact(cx, buf, &mut exact)).await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.driver.ready(&self.socket, Direction::Write).await
    }
}

/// The socket closes when the last request on it is done, which is soon: they are called back here.
impl Drop for Stream {
    fn drop(&mut self) {
        self.receiving.close();
    }
}
