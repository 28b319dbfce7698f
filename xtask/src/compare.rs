//! `cargo xtask compare`: ringlog and Apache Kafka side by side, as a markdown table for `docs/PERFORMANCE.md`.
//!
//! The broker is pinned to core 0, the load (`ringlog bench`) to core 1. Rounds are interleaved - ringlog, Kafka,
//! ringlog, Kafka - because a shared machine drifts; only one broker runs at a time. The table has the median round.

use crate::install;
use crate::shell::{self, Done};
use serde_json::Value;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The kernel reports process times in these on every Linux there is (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;
const READY: Duration = Duration::from_secs(60);

/// Who is measured. Kafka acknowledges from the page cache by default; with a sync for every batch it promises what
/// ringlog promises by default.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Ringlog,
    Kafka,
    KafkaSynced,
}

impl Target {
    const ALL: [Target; 3] = [Target::Ringlog, Target::Kafka, Target::KafkaSynced];

    fn name(self) -> &'static str {
        match self {
            Target::Ringlog => "ringlog (synced before the answer)",
            Target::Kafka => "Kafka 4.3.1 (its default: page cache)",
            Target::KafkaSynced => "Kafka 4.3.1, flush.messages=1",
        }
    }
}

/// One kind of load. Sizes are chosen so that a round takes 5 to 20 s on two cores.
struct Load {
    name: &'static str,
    arguments: &'static [&'static str],
    records: u64,
}

const LOADS: [Load; 4] = [
    Load {
        name: "produce, 1 KiB records, batches of 64",
        arguments: &[
            "produce",
            "--record-bytes",
            "1024",
            "--batch-records",
            "64",
            "--connections",
            "4",
            "--in-flight",
            "5",
            "--acks",
            "all",
        ],
        records: 2_000_000,
    },
    Load {
        name: "consume what was produced",
        arguments: &["consume", "--connections", "4"],
        records: 2_000_000,
    },
    Load {
        name: "produce, 100 B records, batches of 10",
        arguments: &[
            "produce",
            "--record-bytes",
            "100",
            "--batch-records",
            "10",
            "--connections",
            "4",
            "--in-flight",
            "5",
            "--acks",
            "all",
        ],
        records: 1_000_000,
    },
    Load {
        name: "latency, 2,000 records/s of 1 KiB, open loop",
        arguments: &["latency", "--rate", "2000", "--record-bytes", "1024"],
        records: 20_000,
    },
];

pub fn run(arguments: &[String]) -> Done {
    let (rounds, divisor) = match arguments {
        [] => (3, 1),
        [quick] if quick == "--quick" => (1, 10),
        [flag, rounds] if flag == "--rounds" => (rounds.parse().unwrap_or(3), 1),
        _ => return Err("usage: cargo xtask compare [--quick | --rounds N]".into()),
    };
    let jars = install::kafka()?;
    shell::step("building the release broker");
    shell::run(shell::cargo().args(["build", "--release", "--quiet", "--bin", "ringlog"]))?;

    let mut results: Vec<(Target, usize, Measured)> = Vec::new();
    for round in 0..rounds {
        for target in Target::ALL {
            shell::step(&format!("round {} of {rounds}: {}", round + 1, target.name()));
            let broker = Broker::start(target, &jars)?;
            // A JVM compiles what it runs often: what is compared is a broker that has been at work for a while.
            for (index, load) in LOADS.iter().enumerate() {
                broker.measure(
                    load,
                    load.records / divisor / 4,
                    &format!("warm-{}", topic_of(index)),
                )?;
            }
            for (index, load) in LOADS.iter().enumerate() {
                let measured = broker.measure(
                    load,
                    load.records / divisor,
                    &format!("bench-{}", topic_of(index)),
                )?;
                eprintln!("   {}: {measured:?}", load.name);
                results.push((target, index, measured));
            }
        }
    }
    print_table(&results, rounds);
    Ok(())
}

/// The number of the topic that a load works on: a consumer reads what the load before it produced.
fn topic_of(index: usize) -> usize {
    let consumes = LOADS
        .get(index)
        .is_some_and(|load| load.arguments.first() == Some(&"consume"));
    if consumes { index - 1 } else { index }
}

fn print_table(results: &[(Target, usize, Measured)], rounds: usize) {
    println!("Median of {rounds} rounds; broker on core 0, load on core 1, `cargo xtask compare`.\n");
    println!("| load | broker | MB/s | broker CPU s/GB | p50 ms | p99 ms | p99.9 ms |");
    println!("|---|---|---|---|---|---|---|");
    for (index, load) in LOADS.iter().enumerate() {
        for target in Target::ALL {
            let mut rows: Vec<&Measured> = results
                .iter()
                .filter(|(who, which, _)| *who == target && *which == index)
                .map(|(_, _, measured)| measured)
                .collect();
            rows.sort_by(|a, b| a.mb_per_s.total_cmp(&b.mb_per_s));
            if let Some(m) = rows.get(rows.len() / 2) {
                println!(
                    "| {} | {} | {:.0} | {:.2} | {} | {} | {} |",
                    load.name,
                    target.name(),
                    m.mb_per_s,
                    m.cpu_s_per_gb,
                    milliseconds(m.p50_us),
                    milliseconds(m.p99_us),
                    milliseconds(m.p999_us)
                );
            }
        }
    }
}

fn milliseconds(us: Option<f64>) -> String {
    us.map_or_else(|| "-".to_string(), |us| format!("{:.2}", us / 1000.0))
}

#[derive(Debug)]
struct Measured {
    mb_per_s: f64,
    cpu_s_per_gb: f64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
}

/// A running broker on core 0, in a folder of its own; both end with it.
struct Broker {
    child: Child,
    home: PathBuf,
    port: u16,
}

impl Broker {
    fn start(target: Target, jars: &Path) -> Done<Broker> {
        let home = std::env::temp_dir().join(format!("ringlog-compare-{}", std::process::id()));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).map_err(|why| format!("{}: {why}", home.display()))?;
        let (port, second) = (free_port()?, free_port()?);
        let (mut command, marker) = match target {
            Target::Ringlog => (ringlog(&home, port, second), "ready"),
            Target::Kafka | Target::KafkaSynced => {
                (kafka(target, jars, &home, port, second)?, "Kafka Server started")
            }
        };
        let said = home.join("output.txt");
        let out = fs::File::create(&said).map_err(|why| format!("{}: {why}", said.display()))?;
        let err = out.try_clone().map_err(|why| why.to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|why| format!("{}: {why}", shell::line(&command)))?;
        let mut broker = Broker { child, home, port };
        let began = Instant::now();
        while !fs::read_to_string(&said).is_ok_and(|text| text.contains(marker)) {
            let ended = broker.child.try_wait().map_err(|why| why.to_string())?;
            if ended.is_some() || began.elapsed() > READY {
                return Err(format!(
                    "{} did not become ready:\n{}",
                    target.name(),
                    fs::read_to_string(&said).unwrap_or_default()
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        TcpStream::connect(("127.0.0.1", port)).map_err(|why| format!("port {port}: {why}"))?;
        Ok(broker)
    }

    fn measure(&self, load: &Load, records: u64, topic: &str) -> Done<Measured> {
        let (kind, rest) = load.arguments.split_first().ok_or("a load without arguments")?;
        let mut bench = shell::program("taskset");
        bench.args(["-c", "1"]).arg(broker_binary()).args(["bench", kind]);
        bench.args([
            "--bootstrap",
            &format!("127.0.0.1:{}", self.port),
            "--topic",
            topic,
        ]);
        bench
            .args(["--records", &records.to_string()])
            .args(rest)
            .arg("--json");
        let before = cpu_seconds(self.child.id())?;
        let text = shell::output(&mut bench)?;
        let cpu = cpu_seconds(self.child.id())? - before;
        let line = text
            .lines()
            .rev()
            .find(|line| line.starts_with('{'))
            .ok_or_else(|| format!("no JSON line in: {text}"))?;
        let json: Value = serde_json::from_str(line).map_err(|why| format!("{line}: {why}"))?;
        let number = |key: &str| json.get(key).and_then(Value::as_f64);
        let bytes = number("bytes").ok_or_else(|| format!("no bytes in {line}"))?;
        Ok(Measured {
            mb_per_s: number("mb_per_s").ok_or_else(|| format!("no mb_per_s in {line}"))?,
            cpu_s_per_gb: cpu / (bytes / 1e9),
            p50_us: number("p50_us"),
            p99_us: number("p99_us"),
            p999_us: number("p999_us"),
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}

fn broker_binary() -> PathBuf {
    shell::root().join("target/release/ringlog")
}

fn ringlog(home: &Path, port: u16, admin: u16) -> Command {
    let mut command = shell::program("taskset");
    command
        .args(["-c", "0"])
        .arg(broker_binary())
        .args(["serve", "--cores", "0"]);
    command.args([
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--admin",
        &format!("127.0.0.1:{admin}"),
    ]);
    command.arg("--data-dir").arg(home.join("data"));
    command
}

fn kafka(target: Target, jars: &Path, home: &Path, port: u16, controller: u16) -> Done<Command> {
    let properties = home.join("server.properties");
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n",
        home.join("data").display()
    );
    if target == Target::KafkaSynced {
        text += "log.flush.interval.messages=1\n";
    }
    fs::write(&properties, text).map_err(|why| format!("{}: {why}", properties.display()))?;
    let java = |heap: &str| {
        let mut command = shell::program("taskset");
        command.args([
            "-c",
            "0",
            "java",
            heap,
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
            "-cp",
        ]);
        command.arg(format!("{}/*", jars.display()));
        command
    };
    let mut format = java("-Xmx256m");
    format
        .args([
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "cmluZ2xvZy1jb21wYXJlMQ",
            "-c",
        ])
        .arg(&properties);
    shell::output(&mut format)?;
    // the heap that Kafka's own start script gives a broker
    let mut command = java("-Xmx1g");
    command.args(["-Xms1g", "kafka.Kafka"]).arg(&properties);
    Ok(command)
}

fn free_port() -> Done<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    Ok(listener.local_addr().map_err(|why| why.to_string())?.port())
}

/// User and system time of a process so far: fields 14 and 15 of /proc/PID/stat, counted after the name in brackets.
fn cpu_seconds(pid: u32) -> Done<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|why| format!("{path}: {why}"))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
            .ok_or_else(|| format!("{path}: {text}"))
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CPU column would be nonsense if the fields were counted wrongly.
    #[test]
    fn our_own_cpu_time_is_read() {
        let before = cpu_seconds(std::process::id()).expect("our own /proc entry");
        assert!(before >= 0.0);
        assert!(before < 3600.0, "{before}");
    }
}
