//! The command line of `compare`.

use super::row::Row;
use crate::shell::Done;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
usage: cargo xtask compare [ROW]... [OPTION]...

rows (all of them if none is named):
  produce batches journal small latency consume cold neighbour partitions restart idle start ceiling

  --quick             small data, short runs: whether it works, not how fast it is
  --rounds N          interleaved rounds, of which the table has the median (default 3)
  --target WHO        ringlog, kafka or both (default both)
  --data-dir DIR      where the brokers keep their data (default: the folder for temporary files)
  --loop-image SIZE   measure each row also on a default ext4 of that size (e.g. 40G) in a file, loop-mounted (root)
  --binary FILE       this ringlog for broker and load (default: the release build, built first)
  --perf              perf of the broker while it is measured, and a count of its system calls after that
  --write             put the tables into docs/PERFORMANCE.md, each into the section of its row";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    Ringlog,
    Kafka,
    Both,
}

#[derive(Debug)]
pub struct Options {
    pub rows: Vec<Row>,
    pub scale: Scale,
    pub rounds: usize,
    pub targets: Targets,
    pub data_dir: PathBuf,
    pub loop_image: Option<String>,
    pub binary: Option<PathBuf>,
    pub perf: bool,
    pub write: bool,
    /// As typed, for the table.
    pub line: String,
}

/// How much and how long.
#[derive(Debug, Clone)]
pub struct Scale {
    pub is_quick: bool,
    /// A JVM compiles what it runs often: what is compared is a broker that has been at work for a while.
    pub warm_kafka: Duration,
    /// Memory is touched, files are there.
    pub warm_ringlog: Duration,
    pub measured: Duration,
    /// Deleted files are gone, caches are quiet.
    pub settle: Duration,
    /// What consumers read.
    pub read_bytes: u64,
    /// Logs that brokers restart with.
    pub restart_bytes: [u64; 2],
    pub partitions: u32,
    pub idle_partitions: u32,
}

impl Scale {
    fn full() -> Scale {
        Scale {
            is_quick: false,
            warm_kafka: Duration::from_secs(25),
            warm_ringlog: Duration::from_secs(5),
            measured: Duration::from_secs(10),
            settle: Duration::from_secs(2),
            read_bytes: 5_000_000_000,
            restart_bytes: [1_000_000_000, 10_000_000_000],
            partitions: 1_000,
            idle_partitions: 9_999, // Kafka makes a topic and its partitions of at most 10,000 records
        }
    }

    fn quick() -> Scale {
        Scale {
            is_quick: true,
            warm_kafka: Duration::from_secs(2),
            warm_ringlog: Duration::from_secs(1),
            measured: Duration::from_secs(2),
            settle: Duration::from_millis(500),
            read_bytes: 200_000_000,
            restart_bytes: [50_000_000, 200_000_000],
            partitions: 100,
            idle_partitions: 200,
        }
    }
}

impl Options {
    pub fn parse(arguments: &[String]) -> Done<Options> {
        let mut options = Options {
            rows: Vec::new(),
            scale: Scale::full(),
            rounds: 0,
            targets: Targets::Both,
            data_dir: std::env::temp_dir(),
            loop_image: None,
            binary: None,
            perf: false,
            write: false,
            line: ["cargo xtask compare"]
                .into_iter()
                .chain(arguments.iter().map(String::as_str))
                .collect::<Vec<_>>()
                .join(" "),
        };
        let mut left = arguments.iter();
        while let Some(argument) = left.next() {
            let mut value = || {
                let missing = || format!("{argument} needs a value\n\n{USAGE}");
                left.next().cloned().ok_or_else(missing)
            };
            match argument.as_str() {
                "help" | "--help" => return Err(USAGE.to_owned()),
                "--quick" => options.scale = Scale::quick(),
                "--rounds" => {
                    let text = value()?;
                    let rounds = text.parse().ok().filter(|rounds| (1..=100).contains(rounds));
                    options.rounds = rounds.ok_or_else(|| format!("--rounds {text}: 1 to 100 is meant"))?;
                }
                "--target" => {
                    options.targets = match value()?.as_str() {
                        "ringlog" => Targets::Ringlog,
                        "kafka" => Targets::Kafka,
                        "both" => Targets::Both,
                        other => return Err(format!("--target {other}: ringlog, kafka or both")),
                    }
                }
                "--data-dir" => options.data_dir = value()?.into(),
                "--loop-image" => options.loop_image = Some(value()?),
                "--binary" => options.binary = Some(value()?.into()),
                "--perf" => options.perf = true,
                "--write" => options.write = true,
                name => match Row::named(name) {
                    Some(row) => options.rows.push(row),
                    None => return Err(format!("{name}: no such row or option\n\n{USAGE}")),
                },
            }
        }
        if options.rows.is_empty() {
            options.rows = Row::ALL.to_vec();
        }
        if options.rounds == 0 {
            options.rounds = if options.scale.is_quick { 1 } else { 3 };
        }
        if options.write && options.scale.is_quick {
            return Err("--quick figures are no figures: not with --write".into());
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Done<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    /// A misspelt option that is ignored would measure something else for an hour.
    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [
            "--fast",
            "produse",
            "--rounds",
            "--rounds 0",
            "--target rabbit",
            "--quick --write",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let options = parse("small --target ringlog restart --rounds 5").expect("a good line");
        assert_eq!(options.rows, [Row::Small, Row::Restart]);
        assert_eq!((options.rounds, options.targets), (5, Targets::Ringlog));
        assert_eq!(parse("").expect("an empty line").rows.len(), Row::ALL.len());
        assert_eq!(parse("--quick").expect("a good line").rounds, 1);
    }
}
