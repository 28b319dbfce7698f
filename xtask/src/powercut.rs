//! `cargo xtask powercut`: a real ext4, its power cut again and again under produce load.
//!
//! The ext4 is an image on a loop device; the cut is its shutdown ioctl, after which nothing reaches the device any
//! more and what was not synced is lost with the mount. The broker is stopped at that moment as a machine without power
//! would be: it acknowledges nothing that is not on the device. What this does not show: a device that lies about its
//! flushes.
//!
//! ```text
//! round: load -> stop the broker (SIGSTOP) and cut at a random moment -> kill -9 -> unmount, detach -> attach, mount (ext4 recovers) -> start
//!        -> everything in flight gets acknowledged -> read back -> next round, on the same image
//! ```
//! The load (`powercut.py`) is librdkafka's idempotent producers, which live through all rounds.

use crate::compare::{LoopImage, free_port, release_broker, remove_leftovers};
use crate::install;
use crate::shell::{self, Done};
use serde_json::Value;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: cargo xtask powercut [OPTION]...          (as root)

  --rounds N       power cuts (default 100)
  --data-dir DIR   where the image is made (default: the folder for temporary files)
  --image SIZE     size of the image, sparse (default 8G)
  --binary FILE    this ringlog (default: the release build, built first)
  --set KEY=VALUE  a property of the broker; may be given many times";

/// Everything is read again, from the first offset on, every so many rounds; what is new, in every round.
const FULL_EVERY: u32 = 10;
/// Load before a cut.
const LOAD: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(2500));
const READY: Duration = Duration::from_secs(120);
/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the file system's own journal is written.
const CUT: &str = "import fcntl, os, struct, sys\n\
    fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
const LOAD_PROGRAM: &str = include_str!("powercut.py");

struct Options {
    rounds: u32,
    data_dir: PathBuf,
    image: String,
    binary: Option<PathBuf>,
    set: Vec<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Done<Options> {
        let mut options = Options {
            rounds: 100,
            data_dir: std::env::temp_dir(),
            image: "8G".to_owned(),
            binary: None,
            set: Vec::new(),
        };
        let mut left = arguments.iter();
        while let Some(argument) = left.next() {
            let mut value = || {
                left.next()
                    .cloned()
                    .ok_or_else(|| format!("{argument} needs a value\n\n{USAGE}"))
            };
            match argument.as_str() {
                "--rounds" => {
                    let text = value()?;
                    options.rounds = text.parse().map_err(|why| format!("--rounds {text}: {why}"))?;
                }
                "--data-dir" => options.data_dir = value()?.into(),
                "--image" => options.image = value()?,
                "--binary" => options.binary = Some(value()?.into()),
                "--set" => options.set.push(value()?),
                other => return Err(format!("{other}: no such option\n\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

pub fn run(arguments: &[String]) -> Done {
    let options = Options::parse(arguments)?;
    let python = install::python_with_clients()?;
    let binary = match &options.binary {
        Some(binary) => binary
            .canonicalize()
            .map_err(|why| format!("{}: {why}", binary.display()))?,
        None => release_broker()?,
    };
    // outside of the image, and kept: whoever has to find a loss starts here
    let kept = shell::root().join("target/powercut");
    fs::create_dir_all(&kept).map_err(|why| format!("{}: {why}", kept.display()))?;
    remove_leftovers(&options.data_dir);
    let mut image = LoopImage::make(&options.data_dir, &options.image)?;
    let host = Host {
        binary,
        data: image.mount_point().join("data"),
        port: free_port()?,
        admin: free_port()?,
        log: kept.join("broker.log"),
        set: options.set.clone(),
    };
    let _ = fs::remove_file(&host.log);
    let mut broker = host.start()?;
    let mut load = Load::start(&python, &kept, host.port)?;
    let mut slowest = Duration::ZERO;
    let mut cuts = 0;
    let mut last = Verdict::default();
    let mut failed = 0;
    for round in 1..=options.rounds {
        load.ask("go")?;
        std::thread::sleep(between(LOAD));
        let pid = broker.0.id().to_string();
        shell::output(shell::program("kill").args(["-STOP", &pid]))?;
        shell::output(
            shell::program("python3")
                .args(["-c", CUT])
                .arg(image.mount_point()),
        )?;
        drop(broker);
        image.detach()?;
        image.attach()?;
        let began = Instant::now();
        broker = host.start()?;
        let ready = began.elapsed();
        slowest = slowest.max(ready);
        cuts += 1;
        let is_full = round % FULL_EVERY == 0 || round == options.rounds;
        last = Verdict::read(&load.ask(if is_full { "verify all" } else { "verify new" })?);
        eprintln!(
            "round {round} of {}: ready after {:.3} s, {} acknowledged, {} read{}, {} wrong",
            options.rounds,
            ready.as_secs_f64(),
            last.acknowledged,
            last.read,
            if is_full { " (all)" } else { "" },
            last.wrong
        );
        failed = last.failed;
        if last.wrong + failed > 0 {
            break;
        }
    }
    drop(load);
    drop(broker);
    println!(
        "| power cuts | records acknowledged | lost | otherwise wrong | slowest start |\n|---|---|---|---|---|"
    );
    println!(
        "| {cuts} | {} | {} | {} | {:.2} s |",
        last.acknowledged,
        last.lost,
        last.wrong - last.lost + failed,
        slowest.as_secs_f64()
    );
    if last.wrong + failed == 0 && cuts > 0 {
        return Ok(());
    }
    Err(format!("{}\nlogs: {}", last.text, kept.display()))
}

/// A random length of time, from the operating system's entropy.
fn between((least, most): (Duration, Duration)) -> Duration {
    let chance = RandomState::new().hash_one(0) % 1_000_000;
    least + (most - least).mul_f64(chance as f64 / 1e6)
}

/// The beginning of a command that ends with us, however we end: a broker that stays would keep the image mounted.
fn mortal(program: &Path) -> Command {
    if !shell::have("setpriv") {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// What is the same for every start of the broker.
struct Host {
    binary: PathBuf,
    data: PathBuf,
    port: u16,
    admin: u16,
    log: PathBuf,
    set: Vec<String>,
}

impl Host {
    /// A broker that is ready.
    fn start(&self) -> Done<Broker> {
        let open = || fs::File::options().create(true).append(true).open(&self.log);
        let said = || fs::read_to_string(&self.log).unwrap_or_default();
        let before = said().len();
        let (out, err) = open()
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|why| why.to_string())?;
        let mut command = mortal(&self.binary);
        command.arg("serve").arg("--data-dir").arg(&self.data);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.args(["--admin", &format!("127.0.0.1:{}", self.admin)]);
        for pair in &self.set {
            command.args(["--set", pair]);
        }
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let mut broker = Broker(child.map_err(|why| format!("{}: {why}", shell::line(&command)))?);
        let began = Instant::now();
        loop {
            let text = said();
            let new = text.get(before..).unwrap_or_default();
            if new.contains("ready") {
                return Ok(broker);
            }
            let ended = broker.0.try_wait().map_err(|why| why.to_string())?;
            if ended.is_some() || began.elapsed() > READY {
                return Err(format!("the broker did not become ready:\n{new}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Killed when dropped.
struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The load process, which we talk to in lines.
struct Load {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Load {
    fn start(python: &Path, kept: &Path, port: u16) -> Done<Load> {
        let program = kept.join("load.py");
        fs::write(&program, LOAD_PROGRAM).map_err(|why| format!("{}: {why}", program.display()))?;
        let mut command = mortal(python);
        command
            .arg(&program)
            .arg(format!("127.0.0.1:{port}"))
            .arg(kept.join("acknowledged.log"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|why| format!("{}: {why}", shell::line(&command)))?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = (to, from) else {
            return Err("the load has no pipes".into());
        };
        Ok(Load {
            child,
            to,
            from: BufReader::new(from),
        })
    }

    fn ask(&mut self, line: &str) -> Done<Value> {
        let lost = |why: std::io::Error| format!("the load has ended: {why}");
        writeln!(self.to, "{line}").map_err(lost)?;
        let mut answer = String::new();
        self.from.read_line(&mut answer).map_err(lost)?;
        serde_json::from_str(&answer).map_err(|why| format!("the load says {answer:?}: {why}"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the load found when it read everything back.
#[derive(Debug, Default)]
struct Verdict {
    acknowledged: u64,
    read: u64,
    lost: u64,
    /// Findings of every kind.
    wrong: u64,
    /// Deliveries that failed for good.
    failed: u64,
    text: String,
}

impl Verdict {
    fn read(answer: &Value) -> Verdict {
        let count = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
        let sum = |key: &str| {
            let kinds = answer.get(key).and_then(Value::as_object);
            kinds.map_or(0, |kinds| kinds.values().filter_map(Value::as_u64).sum())
        };
        let lost = answer.pointer("/wrong/lost").and_then(Value::as_u64).unwrap_or(0);
        // bytes that are not those acknowledged are lost as well
        let changed = answer
            .pointer("/wrong/wrong bytes")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        Verdict {
            acknowledged: count("acknowledged"),
            read: count("read"),
            lost: lost + changed,
            wrong: sum("wrong"),
            failed: sum("failed"),
            text: format!("{answer:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A finding that is not counted would let the run pass.
    #[test]
    fn every_kind_of_finding_counts() {
        let answer = r#"{"acknowledged": 9, "read": 8, "wrong": {"lost": 2, "duplicate": 3, "wrong bytes": 1}, "failed": {"X": 1}}"#;
        let verdict = Verdict::read(&serde_json::from_str(answer).expect("JSON"));
        assert_eq!(
            (verdict.acknowledged, verdict.lost, verdict.wrong, verdict.failed),
            (9, 3, 6, 1)
        );
        let good = r#"{"acknowledged": 9, "read": 8, "wrong": {}, "failed": {}}"#;
        assert_eq!(Verdict::read(&serde_json::from_str(good).expect("JSON")).wrong, 0);
    }

    #[test]
    fn moments_lie_between_their_bounds() {
        for _ in 0..100 {
            assert!((LOAD.0..LOAD.1).contains(&between(LOAD)));
        }
    }
}
