//! A port somebody listens on, and the connections that wait to be accepted.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::connection::Hold;
use super::{ConnectionId, HostId, Net, ProcessId, State};

/// Connections that wait; more are lost like a SYN. As our `listen` asks the kernel for.
const BACKLOG_MAX: usize = 1024;

pub(super) struct Backlog {
    process: ProcessId,
    /// Bound to 127.0.0.1.
    is_loopback: bool,
    waiting: VecDeque<ConnectionId>,
    acceptor: Option<Waker>,
}

pub(crate) struct SimListener {
    net: Rc<Net>,
    host: HostId,
    port: u16,
}

impl SimListener {
    pub(crate) fn bind(
        net: &Rc<Net>,
        host: HostId,
        process: ProcessId,
        address: SocketAddr,
    ) -> io::Result<(SimListener, SocketAddr)> {
        let ip = address.ip();
        if !(ip.is_unspecified() || ip.is_loopback() || ip == host.ip()) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = net.with(|state| {
            let port = match address.port() {
                0 => state.free_port(host),
                port => port,
            };
            if state.listeners.contains_key(&(host, port)) {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            let backlog = Backlog {
                process,
                is_loopback: ip.is_loopback(),
                waiting: VecDeque::new(),
                acceptor: None,
            };
            state.listeners.insert((host, port), backlog);
            Ok(port)
        })?;
        let listener = SimListener {
            net: net.clone(),
            host,
            port,
        };
        Ok((listener, SocketAddr::new(ip, port)))
    }

    /// The next connection: its number and who connected.
    pub(crate) async fn accept(&self) -> io::Result<(ConnectionId, SocketAddr)> {
        poll_fn(|cx| {
            self.net.with(|state| {
                let Some(backlog) = state.listeners.get_mut(&(self.host, self.port)) else {
                    return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
                };
                while let Some(connection) = backlog.waiting.pop_front() {
                    if let Some(entry) = state.connections.get(&connection) {
                        let peer = entry.sides[0].local;
                        return Poll::Ready(Ok((connection, peer)));
                    }
                }
                backlog.acceptor = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        // of a process that was killed it is gone already, and somebody else may listen there
        let process = crate::sim::current_process();
        self.net.with(|state| {
            let is_his = state
                .listeners
                .get(&(self.host, self.port))
                .is_some_and(|backlog| Some(backlog.process) == process);
            if is_his {
                state.close_listener(self.host, self.port);
            }
        });
    }
}

impl State {
    pub(super) fn listens_on(&self, host: HostId, port: u16, is_loopback: bool) -> bool {
        self.listeners
            .get(&(host, port))
            .is_some_and(|backlog| !backlog.is_loopback || is_loopback)
    }

    pub(super) fn is_backlog_full(&self, host: HostId, port: u16) -> bool {
        self.listeners
            .get(&(host, port))
            .is_some_and(|backlog| backlog.waiting.len() >= BACKLOG_MAX)
    }

    pub(super) fn put_into_backlog(&mut self, host: HostId, port: u16, connection: ConnectionId) {
        let Some(backlog) = self.listeners.get_mut(&(host, port)) else {
            return;
        };
        backlog.waiting.push_back(connection);
        let (process, waker) = (backlog.process, backlog.acceptor.take());
        if let Some(side) = self.side(connection, 1) {
            side.hold = Hold::Open;
            side.process = process;
        }
        self.wake(waker);
    }

    fn close_listener(&mut self, host: HostId, port: u16) {
        let Some(backlog) = self.listeners.remove(&(host, port)) else {
            return;
        };
        let now_ns = self.now_ns;
        for connection in backlog.waiting {
            self.send_reset(connection, 0);
            self.close_side(connection, 1, now_ns);
        }
    }

    pub(super) fn close_listeners_of(&mut self, process: ProcessId) {
        let his = |(key, backlog): (&(HostId, u16), &Backlog)| (backlog.process == process).then_some(*key);
        let ports: Vec<(HostId, u16)> = self.listeners.iter().filter_map(his).collect();
        for (host, port) in ports {
            self.close_listener(host, port);
        }
    }
}
