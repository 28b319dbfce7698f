//! The hosts as the network sees them: addresses, names, power.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{HostId, Net, ProcessId, State};

/// First of the ports that connects and binds to port 0 take.
const EPHEMERAL_PORT: u16 = 32_768;

pub(super) struct NetHost {
    pub(super) name: String,
    pub(super) is_up: bool,
    /// Refuses every connect.
    pub(super) refuses: bool,
    next_port: u16,
}

impl HostId {
    /// Its address.
    pub fn ip(self) -> IpAddr {
        let n = self.0 + 1;
        IpAddr::V4(Ipv4Addr::new(10, 0, (n >> 8) as u8, n as u8))
    }
}

impl Net {
    pub(in super::super) fn add_host(&self, name: &str) -> HostId {
        self.with(|state| {
            state.hosts.push(NetHost {
                name: name.to_owned(),
                is_up: true,
                refuses: false,
                next_port: EPHEMERAL_PORT,
            });
            HostId(state.hosts.len() - 1)
        })
    }

    pub(in super::super) fn set_refuses(&self, host: HostId, refuses: bool) {
        self.with(|state| state.hosts[host.0].refuses = refuses);
    }

    /// The power is gone: what the host knew of its connections and listeners is no more, and nobody is told.
    pub(in super::super) fn power_lost(&self, host: HostId) {
        self.with(|state| {
            state.hosts[host.0].is_up = false;
            state.listeners.retain(|(of, _), _| *of != host);
            state.forget_sides_of(host);
        });
    }

    pub(in super::super) fn power_back(&self, host: HostId) {
        self.with(|state| {
            if !std::mem::replace(&mut state.hosts[host.0].is_up, true) {
                state.paths_changed();
            }
        });
    }

    /// Closes what a process left open, as the kernel does.
    pub(in super::super) fn process_ended(&self, process: ProcessId) {
        self.with(|state| {
            state.close_listeners_of(process);
            state.close_sides_of(process);
        });
    }

    /// The addresses of a name, as the host would resolve it.
    pub(crate) fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        if name == "localhost" {
            return Ok(vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)]);
        }
        let found = self.with(|state| state.hosts.iter().position(|host| host.name == name));
        match found {
            Some(index) => Ok(vec![SocketAddr::new(HostId(index).ip(), port)]),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no host of this world has that name",
            )),
        }
    }
}

impl State {
    /// Which host an address stands for, seen from `here`.
    pub(super) fn host_of(&self, here: HostId, ip: IpAddr) -> Option<HostId> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(here);
        }
        (0..self.hosts.len()).map(HostId).find(|host| host.ip() == ip)
    }

    /// A port nobody on the host listens on.
    pub(super) fn free_port(&mut self, host: HostId) -> u16 {
        loop {
            let entry = &mut self.hosts[host.0];
            let port = entry.next_port;
            entry.next_port = port.checked_add(1).unwrap_or(EPHEMERAL_PORT);
            if !self.listeners.contains_key(&(host, port)) {
                return port;
            }
        }
    }
}
