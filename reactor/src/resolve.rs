//! From names of hosts to addresses.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use crate::{background, sim};

/// The addresses a host name stands for, best first; at least one.
///
/// # Errors
/// What the system's resolver says, or `AddrNotAvailable` if it finds none.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if let Some(net) = sim::current_net() {
        return net.resolve(host, port);
    }
    let host = host.to_owned();
    // why elsewhere: a name server may take seconds to answer
    let found = background(move || (host, port).to_socket_addrs().map(Vec::from_iter)).await?;
    if found.is_empty() {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    }
    Ok(found)
}
