//! The watchdog as a process: what it does to the sockets of the process that started it, which is this one. A test of its own process,
//! so that no other's sockets are there.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(3);
const BEAT: Duration = Duration::from_millis(50);
/// For what must happen some time.
const DEADLINE: Duration = Duration::from_secs(120);

/// A listener as a broker has it, a client, and the connection to it that the broker holds.
fn listen() -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (connection, _) = listener.accept().expect("accepted");
    listener.set_nonblocking(true).expect("set");
    (listener, client, connection)
}

fn is_open(client: &TcpStream) -> bool {
    client.set_nonblocking(true).expect("set");
    let peeked = client.peek(&mut [0]);
    client.set_nonblocking(false).expect("set");
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn clients_of_a_process_that_says_nothing_are_let_go_until_it_speaks_again() {
    let (clients, mut client, _held) = listen();
    let (others, other, _kept) = listen();
    let address = clients.local_addr().expect("bound");
    let mut watchdog = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["watchdog", "--patience-ms", &PATIENCE.as_millis().to_string()])
        .arg(format!("--listener={address}"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("started");
    if let Some(pid) = rustix::process::Pid::from_raw(watchdog.id() as i32) {
        // only where Yama asks for it
        let _allowed = rustix::process::set_ptracer(rustix::process::PTracer::ProcessID(pid));
    }
    let mut beats = watchdog.stdin.take().expect("a pipe");
    for _ in 0..20 {
        beats.write_all(b".").expect("it runs");
        std::thread::sleep(BEAT);
        assert!(is_open(&client), "closed although the process runs");
    }

    client.set_read_timeout(Some(DEADLINE)).expect("set");
    assert_eq!(client.read(&mut [0]).expect("an orderly end"), 0);
    let mut late = TcpStream::connect(address).expect("the kernel takes it");
    late.set_read_timeout(Some(DEADLINE)).expect("set");
    let refused = late.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(refused, Err(io::ErrorKind::ConnectionReset));
    assert!(is_open(&other), "nobody asked for the other port");
    let to_others = TcpStream::connect(others.local_addr().expect("bound")).expect("connected");
    assert!(is_open(&to_others) && others.accept().is_ok());

    let began = Instant::now();
    loop {
        assert!(began.elapsed() < DEADLINE, "still refused");
        beats.write_all(b".").expect("it runs");
        std::thread::sleep(BEAT);
        let _again = TcpStream::connect(address).expect("connected");
        std::thread::sleep(BEAT);
        if clients.accept().is_ok() {
            break; // nobody took it away
        }
    }
    drop(beats);
    assert!(watchdog.wait().expect("its end").success());
}
