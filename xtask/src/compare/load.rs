//! A run of `ringlog bench` on core 1, and what it found.

use super::broker::{Broker, Contender, LOAD_CORE, pinned};
use super::session::Session;
use crate::shell::{self, Done};
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

/// A core that has less than this left is the limit, not the broker.
const SATURATED: f64 = 0.97;

/// Arguments of the load, without those that say whom, where and how long.
#[derive(Debug, Clone, Default)]
pub struct Load {
    words: Vec<String>,
    topic_configs: Vec<String>,
    is_background: bool,
}

/// How long a run is.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// Seconds before it counts, seconds that count.
    Seconds(Duration, Duration),
    Records(u64),
    /// To the end of what is there.
    All,
}

impl Load {
    pub fn new(line: &str) -> Load {
        Load {
            words: line.split_whitespace().map(str::to_owned).collect(),
            ..Load::default()
        }
    }

    /// For the topic of the run, which it creates.
    pub fn topic_config(mut self, config: &str) -> Load {
        self.topic_configs.push(config.to_owned());
        self
    }

    /// Takes only what other loads leave of their core.
    pub fn in_background(mut self) -> Load {
        self.is_background = true;
        self
    }

    /// Measures.
    pub fn run(&self, session: &Session, broker: &Broker<'_>, topic: &str, length: Length) -> Done<Report> {
        self.begin(session, broker, topic, length)?.finish()
    }

    pub fn begin(
        &self,
        session: &Session,
        broker: &Broker<'_>,
        topic: &str,
        length: Length,
    ) -> Done<Running> {
        let mut command = pinned(LOAD_CORE);
        if self.is_background {
            command.args(["chrt", "--idle", "0"]);
        }
        command.arg(&session.binary).arg("bench").args(&self.words);
        command.args(["--json", "--bootstrap", &broker.bootstrap(), "--topic", topic]);
        for config in &self.topic_configs {
            command.args(["--topic-config", config]);
        }
        match length {
            Length::Seconds(warmup, measured) => {
                command.args(["--warmup", &warmup.as_secs_f64().to_string()]);
                command.args(["--seconds", &measured.as_secs_f64().to_string()]);
            }
            Length::Records(records) => {
                command.args(["--records", &records.to_string()]);
            }
            Length::All => {}
        }
        command.args(["--watch-pid", &broker.pid().to_string()]);
        start(command)
    }
}

/// Time to the first acknowledged record of `topic`, of a broker that is started now.
pub struct FirstAck {
    probe: Running,
}

impl FirstAck {
    /// Begins to ask; nobody needs to answer yet.
    pub fn begin(session: &Session, port: u16, topic: &str, partitions: u32) -> Done<FirstAck> {
        let mut command = pinned(LOAD_CORE);
        command
            .arg(&session.binary)
            .args(["bench", "first-ack", "--json", "--timeout-ms", "600000"]);
        command.args(["--bootstrap", &format!("127.0.0.1:{port}"), "--topic", topic]);
        command.args(["--partitions", &partitions.to_string()]);
        let probe = start(command)?;
        std::thread::sleep(Duration::from_millis(100)); // its own start is not to compete with the broker's
        Ok(FirstAck { probe })
    }

    /// Seconds from the start of the broker's process.
    pub fn since_start_of(self, broker: &Broker<'_>) -> Done<f64> {
        let report = self
            .probe
            .finish()
            .map_err(|why| format!("{why}\n{}", broker.said()))?;
        let began = broker
            .spawned_at
            .duration_since(UNIX_EPOCH)
            .map_err(|why| why.to_string())?;
        Ok(report.number("acknowledged_unix_ms")? / 1e3 - began.as_secs_f64())
    }

    /// Seconds since it began to ask.
    pub fn since_asked(self) -> Done<f64> {
        self.probe.finish()?.number("acknowledged_s")
    }
}

pub struct Running {
    line: String,
    child: std::process::Child,
}

fn start(mut command: std::process::Command) -> Done<Running> {
    let line = shell::line(&command);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|why| format!("{line}: {why}"))?;
    Ok(Running { line, child })
}

impl Running {
    pub fn finish(self) -> Done<Report> {
        let done = self
            .child
            .wait_with_output()
            .map_err(|why| format!("{}: {why}", self.line))?;
        let said = String::from_utf8_lossy(&done.stderr);
        if !done.status.success() {
            return Err(format!(
                "{} ended with {}: {}",
                self.line,
                done.status,
                said.trim()
            ));
        }
        let text = String::from_utf8_lossy(&done.stdout);
        let json = text.lines().rev().find(|line| line.starts_with('{'));
        let json = json.ok_or_else(|| format!("{}: no JSON in {text}", self.line))?;
        let json = serde_json::from_str(json).map_err(|why| format!("{json}: {why}"))?;
        let report = Report { json };
        if report.number("errors").unwrap_or(0.0) > 0.0 {
            return Err(format!("{}: {}", self.line, said.trim()));
        }
        Ok(report)
    }
}

/// What a load found.
#[derive(Debug)]
pub struct Report {
    json: Value,
}

impl Report {
    pub fn number(&self, key: &str) -> Done<f64> {
        let number = self.json.get(key).and_then(Value::as_f64);
        number.ok_or_else(|| format!("no {key} in {}", self.json))
    }

    pub fn milliseconds(&self, key: &str) -> Done<f64> {
        Ok(self.number(key)? / 1e3)
    }

    fn broker_seconds(&self) -> Done<f64> {
        let seconds = self.json.pointer("/usage/watched_s").and_then(Value::as_f64);
        seconds.ok_or_else(|| format!("no processor time of the broker in {}", self.json))
    }

    pub fn cpu_seconds_per_gb(&self) -> Done<f64> {
        Ok(self.broker_seconds()? / (self.counted("bytes")? / 1e9))
    }

    pub fn cpu_us_per_record(&self) -> Done<f64> {
        Ok(self.broker_seconds()? * 1e6 / self.counted("records")?)
    }

    /// A number that something is divided by.
    fn counted(&self, key: &str) -> Done<f64> {
        match self.number(key)? {
            0.0 => Err(format!("no {key} at all while it was measured: {}", self.json)),
            count => Ok(count),
        }
    }

    /// The busy share of the load's core.
    pub fn load_busy(&self) -> f64 {
        let core: usize = LOAD_CORE.parse().unwrap_or(1);
        let share = self.json.pointer(&format!("/usage/cores_busy/{core}"));
        share.and_then(Value::as_f64).unwrap_or(0.0)
    }

    pub fn is_load_saturated(&self) -> bool {
        self.load_busy() >= SATURATED
    }
}

/// How long this contender is warmed.
pub fn warm_up(session: &Session, contender: Contender) -> Duration {
    match contender {
        Contender::Kafka => session.options.scale.warm_kafka,
        Contender::Ringlog | Contender::Ceiling => session.options.scale.warm_ringlog,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These are the names `ringlog bench --json` prints.
    #[test]
    fn a_report_is_read() {
        let json = r#"{"bytes": 2e9, "records": 1000, "p99_us": 1500.0, "usage": {"load_s": 1, "watched_s": 3.0, "cores_busy": [0.5, 0.98]}}"#;
        let report = Report {
            json: serde_json::from_str(json).expect("JSON"),
        };
        assert_eq!(report.milliseconds("p99_us"), Ok(1.5));
        assert_eq!(report.cpu_seconds_per_gb(), Ok(1.5));
        assert_eq!(report.cpu_us_per_record(), Ok(3000.0));
        assert!(report.is_load_saturated());
        assert!(report.number("p50_us").is_err());
    }
}
