//! The broker's side: starts the watchdog, and beats.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{PTracer, Pid, set_ptracer};

use super::interval;

/// Before another watchdog is started in place of one that was killed.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// While it is held, a watchdog keeps clients from a broker that does not run.
#[derive(Debug)]
pub struct Guard {
    /// Dropped: the beating ends, and with it the watchdog.
    held: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Guard {
    /// A broker goes on without one: what cannot be started is told to the log.
    pub fn start(patience: Duration, listeners: Vec<SocketAddr>) -> Guard {
        let (held, end) = channel();
        let thread = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || keep(patience, &listeners, &end));
        if let Err(error) = &thread {
            tracing::warn!(%error, "no watchdog: no thread");
        }
        Guard {
            held: Some(held),
            thread: thread.ok(),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.held = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watchdog's thread has panicked");
        }
    }
}

/// Keeps a watchdog running until `end` is dropped at its other side.
fn keep(patience: Duration, listeners: &[SocketAddr], end: &Receiver<Infallible>) {
    let mut is_lack_told = false; // once: what keeps it from its start (no /proc, no process more) lasts
    loop {
        match Watchdog::start(patience, listeners) {
            Ok(mut watchdog) => {
                is_lack_told = false;
                match watchdog.beat(interval(patience), end) {
                    None => return,
                    // It has said why on standard error, and would again.
                    Some(status) if status.code().is_some() => return,
                    Some(status) => tracing::warn!(%status, "the watchdog has ended; another one is started"),
                }
            }
            Err(error) if !is_lack_told => {
                tracing::warn!(%error, "no watchdog: the process cannot be started; tried again in silence");
                is_lack_told = true;
            }
            Err(_) => {}
        }
        if end.recv_timeout(START_AGAIN_AFTER) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

struct Watchdog {
    process: Child,
    beats: Option<ChildStdin>,
}

impl Watchdog {
    fn start(patience: Duration, listeners: &[SocketAddr]) -> io::Result<Watchdog> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("ringlog-watchdog")
            .args(["watchdog", "--patience-ms", &patience.as_millis().to_string()])
            .args(listeners.iter().map(|address| format!("--listener={address}")))
            // a signal that the terminal sends to the broker's group is not for it
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut process = command.spawn()?;
        let beats = process.stdin.take();
        if let Some(beats) = &beats {
            rustix::io::ioctl_fionbio(beats, true)?;
        }
        if let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) {
            // why the result does not matter: only kernels with Yama know this, and the watchdog finds out whether it is let in
            let _allowed = set_ptracer(PTracer::ProcessID(pid));
        }
        Ok(Watchdog { process, beats })
    }

    /// Beats until `end` (`None`), or until the watchdog has ended.
    fn beat(&mut self, interval: Duration, end: &Receiver<Infallible>) -> Option<ExitStatus> {
        loop {
            // A full pipe has beats enough; whether its reader is there is asked below.
            let _beaten = self.beats.as_mut().map(|beats| beats.write(b"."));
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(status);
            }
            if end.recv_timeout(interval) == Err(RecvTimeoutError::Disconnected) {
                return None;
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.beats.take()); // it ends with its standard input
        // Unless it is stopped itself, or waits for whoever reads the log: the broker's end waits for neither.
        let _killed = self.process.kill();
        if let Err(error) = self.process.wait() {
            tracing::warn!(%error, "the watchdog's end is not known");
        }
    }
}
