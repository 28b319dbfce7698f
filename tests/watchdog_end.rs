//! What is left of a broker at its end when its watchdog cannot go on: nothing.

use std::fs;
use std::io::{BufRead, BufReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// For what must happen some time.
const DEADLINE: Duration = Duration::from_secs(60);

/// Size, ApiVersions, version 0, a correlation id, no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

/// A cluster of one, and its watchdog.
struct Served {
    broker: Child,
    watchdog: Pid,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Served {
    fn start(log: Stdio) -> Served {
        let dir = tempfile::tempdir().expect("dir");
        let control = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let mut broker = Command::new(env!("CARGO_BIN_EXE_ringlog"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "none",
                "--node-id",
                "1",
            ])
            .arg(format!("--store=quorum://1@{}", control.expect("a port")))
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("started");
        let out = broker.stdout.take().expect("a pipe");
        let ready = BufReader::new(out).lines().next();
        let ready = ready.expect("the broker runs").expect("a line");
        let address = ready
            .split_once("PLAINTEXT://")
            .and_then(|(_, rest)| rest.split(',').next());
        let parent = broker.id();
        let watchdog = within_deadline("a watchdog", || child_of(parent));
        Served {
            broker,
            watchdog,
            address: address
                .and_then(|address| address.parse().ok())
                .expect("an address"),
            _dir: dir,
        }
    }
}

/// A failed test leaves no process behind.
impl Drop for Served {
    fn drop(&mut self) {
        let _ended = self.broker.kill();
        let _ended = self.broker.wait();
        if is_there(self.watchdog) {
            let _ended = kill_process(self.watchdog, Signal::KILL);
        }
    }
}

fn within_deadline<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What `/proc/PID/stat` tells after the name in brackets: the state, the parent.
fn stat(pid: &str) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn state(pid: Pid) -> Option<char> {
    Some(stat(&pid.as_raw_nonzero().to_string())?.0)
}

/// A process that nobody has waited for yet has ended as well.
fn is_there(pid: Pid) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

fn child_of(parent: u32) -> Option<Pid> {
    let mut names = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .map(|entry| entry.file_name());
    names.find_map(|name| {
        let name = name.to_str()?;
        let (_, its_parent) = stat(name)?;
        (its_parent == parent).then(|| Pid::from_raw(name.parse().ok()?))?
    })
}

#[test]
fn a_broker_ends_although_its_watchdog_is_stopped() {
    // SIGTERM waited for the watchdog, and that for the debugger.
    let mut stopped = Served::start(Stdio::inherit());
    kill_process(stopped.watchdog, Signal::STOP).expect("it runs");
    within_deadline("stop", || (state(stopped.watchdog)? == 'T').then_some(()));
    let broker = Pid::from_child(&stopped.broker);
    kill_process(broker, Signal::TERM).expect("it runs");
    let status = within_deadline("end of the broker", || {
        stopped.broker.try_wait().expect("its child")
    });
    assert!(status.success(), "{status}");
    assert!(!is_there(stopped.watchdog));
}

#[test]
fn a_watchdog_whose_log_nobody_reads_ends_with_a_broker_that_is_killed() {
    // It would keep the broker's port from the next one.
    let (_unread, log) = std::io::pipe().expect("a pipe");
    let own = log.try_clone().expect("another");
    let served = Served::start(log.into());
    let mut client = TcpStream::connect(served.address).expect("connected");
    client.set_read_timeout(Some(DEADLINE)).expect("set");
    client.write_all(&API_VERSIONS).expect("sent");
    client.read_exact(&mut [0; 4]).expect("an answer");
    fill(own);
    kill_process(Pid::from_child(&served.broker), Signal::STOP).expect("it runs");
    let cut = client.read_to_end(&mut Vec::new());
    cut.expect("an orderly end");
    within_deadline("wait for the log", || {
        (state(served.watchdog)? == 'S').then_some(())
    });

    kill_process(Pid::from_child(&served.broker), Signal::KILL).expect("it is there");
    within_deadline("end of the watchdog", || {
        (!is_there(served.watchdog)).then_some(())
    });
}

/// Until whoever writes more has to wait.
fn fill(mut log: PipeWriter) {
    rustix::io::ioctl_fionbio(&log, true).expect("set");
    for piece in [4096, 1] {
        while log.write(&vec![b'.'; piece]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(&log, false).expect("set");
}
