//! Accepting connections, and handing them to the core that will serve them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::core;
use crate::filling::{Filling, NO_NETWORK, sim_only};
use crate::sim::{SimEnd, SimListener};
use crate::socket::Socket;
use crate::{epoll, sleep, sys, uring};

/// Without a descriptor (or memory) to spare, accepting at once again would only fail again, as fast as the core can.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

enum Kind {
    Uring(uring::Listener),
    Epoll(epoll::Listener),
    Sim(SimListener),
}

/// Listens for TCP connections, on the reactor it was bound on.
pub struct Listener {
    kind: Kind,
    local: SocketAddr,
}

impl Listener {
    /// Port 0 picks a free one, see [`Listener::local_addr`].
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let filling = &core::current().filling;
        if let Filling::Sim(driver) = filling {
            let place = driver.place().ok_or_else(|| sim_only(NO_NETWORK))?;
            let (listener, local) = SimListener::bind(&place.net, place.host, place.process, address)?;
            let kind = Kind::Sim(listener);
            return Ok(Listener { kind, local });
        }
        let socket = sys::socket::listen(address)?;
        let local = sys::socket::local_address(&socket)?;
        let kind = match filling {
            Filling::Uring(driver) => Kind::Uring(uring::Listener::new(driver, socket)),
            Filling::Epoll(driver) => Kind::Epoll(epoll::Listener::new(driver, socket)?),
            Filling::Sim(_) => return Err(sim_only(NO_NETWORK)),
        };
        Ok(Listener { kind, local })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The next connection. One task at a time. When the process has no descriptor left, waits and tries again (and
    /// says so in the log) instead of failing: clients stay in the backlog until others have gone.
    ///
    /// # Errors
    /// Only such that trying again does not heal.
    pub async fn accept(&self) -> io::Result<(DetachedSocket, SocketAddr)> {
        loop {
            let accepted = match &self.kind {
                Kind::Uring(listener) => listener.accept().await,
                Kind::Epoll(listener) => listener.accept().await,
                Kind::Sim(listener) => {
                    let (connection, peer) = listener.accept().await?;
                    let kind = Detached::Sim(SimEnd::new(connection));
                    return Ok((DetachedSocket { kind }, peer));
                }
            };
            match accepted {
                // a peer that is gone already has no address any more: not a connection
                Ok(socket) => match sys::socket::peer_address(&socket) {
                    Ok(peer) => {
                        let kind = Detached::Os(socket);
                        return Ok((DetachedSocket { kind }, peer));
                    }
                    Err(_) => continue,
                },
                Err(error) => match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        tracing::warn!(local = %self.local, %error, "cannot accept now, trying again soon");
                        sleep(EXHAUSTED_PAUSE).await;
                    }
                    // what accept(2) tells of the connection it would have returned, or of the network
                    Some(
                        libc::ECONNABORTED
                        | libc::EINTR
                        | libc::EPROTO
                        | libc::EPERM
                        | libc::ENETDOWN
                        | libc::ENOPROTOOPT
                        | libc::EHOSTDOWN
                        | libc::ENONET
                        | libc::EHOSTUNREACH
                        | libc::ENETUNREACH
                        | libc::ETIMEDOUT,
                    ) => {}
                    _ => return Err(error),
                },
            }
        }
    }
}

/// A connection that belongs to no reactor yet; may be sent to the one that will serve it.
#[derive(Debug)]
pub struct DetachedSocket {
    kind: Detached,
}

#[derive(Debug)]
enum Detached {
    Os(OwnedFd),
    Sim(SimEnd),
}

impl DetachedSocket {
    /// Makes it a socket of the current reactor.
    pub fn attach(self) -> io::Result<Socket> {
        match self.kind {
            Detached::Os(socket) => Socket::new(socket),
            Detached::Sim(end) => Socket::of_simulated(end),
        }
    }
}
