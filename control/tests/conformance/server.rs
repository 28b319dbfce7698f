//! Processes of foreign servers, started, stopped and killed by the tests. All on loopback.

use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

/// The value of a variable that `cargo xtask test` sets, or a line that says what is not tested.
pub fn wanted(variable: &str, test: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        eprintln!("SKIPPED {test}: {variable} is not set (cargo xtask test sets it)");
    }
    found
}

/// A port that nobody listens on and no other test was given, below the range that outgoing connections take theirs from: a client that
/// tries to reach a server that is down would otherwise, now and then, connect to itself and hold the port.
pub fn free_port() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("reads");
    let lowest_outgoing: u16 = range
        .split_whitespace()
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let count = lowest_outgoing.saturating_sub(PORT_FIRST).max(1);
    // another process of these tests begins elsewhere
    let begin = std::process::id() as u16;
    loop {
        let number = begin.wrapping_add(PORTS_TRIED.fetch_add(1, Ordering::Relaxed));
        let port = PORT_FIRST + number % count;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Below it are those that services are known by.
const PORT_FIRST: u16 = 10_000;
static PORTS_TRIED: AtomicU16 = AtomicU16::new(0);

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
}

impl Server {
    pub fn start(command: &mut Command, log: &Path) -> Server {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log file"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Server { child }
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGSTOP: its sockets stay open, and nobody answers.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: no memory is involved; the process is our child and not yet waited for, so the pid is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.resume_quietly();
        self.kill();
    }
}

impl Server {
    fn resume_quietly(&self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // SAFETY: as above; a child that has ended is still ours until it is waited for.
            let _ = unsafe { libc::kill(pid, libc::SIGCONT) };
        }
    }
}

/// The way to a server, which can be cut while the server goes on. Its threads end with the process.
pub struct Wire {
    pub port: u16,
    state: Arc<Mutex<WireState>>,
}

#[derive(Default)]
struct WireState {
    is_cut: bool,
    connections: Vec<TcpStream>,
}

impl Wire {
    pub fn to(server: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(WireState::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut state = shared.lock().expect("no panic");
                // who connects to a cut wire is disconnected again
                if !state.is_cut
                    && let Ok(server) = TcpStream::connect(("127.0.0.1", server))
                {
                    for (from, to) in [(&client, &server), (&server, &client)] {
                        let (from, to) = (
                            from.try_clone().expect("a socket"),
                            to.try_clone().expect("a socket"),
                        );
                        std::thread::spawn(move || carry(&from, &to));
                    }
                    state.connections.extend([client, server]);
                }
            }
        });
        Wire { port, state }
    }

    pub fn cut(&self) {
        let mut state = self.state.lock().expect("no panic");
        state.is_cut = true;
        for connection in state.connections.drain(..) {
            let _may_be_closed = connection.shutdown(Shutdown::Both);
        }
    }

    pub fn heal(&self) {
        self.state.lock().expect("no panic").is_cut = false;
    }
}

fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let _ends_with_the_connection = io::copy(&mut from, &mut to);
    let _may_be_closed = to.shutdown(Shutdown::Both);
}
