//! Processes of foreign servers, started, stopped and killed by the tests. All on loopback.

use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// The value of a variable that `cargo xtask test` sets, or a line that says what is not tested.
pub fn wanted(variable: &str, test: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        eprintln!("SKIPPED {test}: {variable} is not set (cargo xtask test sets it)");
    }
    found
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

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
