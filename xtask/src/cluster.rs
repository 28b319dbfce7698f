//! `cargo xtask cluster`: three brokers on one machine, side by side with three-node Apache Kafka.
//!
//! What is measured is in tests/cluster/measure.py, which shares its clusters, stores and clients with the drills of
//! tests/cluster: a gap is told by the same load that proves that nothing was lost.

use crate::compare::release_broker;
use crate::install;
use crate::shell::{self, Done};
use std::path::PathBuf;

const USAGE: &str = "\
usage: cargo xtask cluster [ROW]... [OPTION]...

rows (all of them if none is named):
  gaps bandwidth small partitions

  --rounds N      interleaved rounds, of which the table has the median (default 3)
  --target LIST   of etcd, quorum, zookeeper, kafka (default: all of them)
  --quick         short runs, one round: whether it works, not how fast it is
  --binary FILE   this ringlog (default: the release build, built first)
  --write         put the tables into docs/PERFORMANCE.md";

pub fn run(arguments: &[String]) -> Done {
    let mut binary = None;
    let mut passed = Vec::new();
    let mut left = arguments.iter();
    while let Some(argument) = left.next() {
        match argument.as_str() {
            "help" | "--help" => return Err(USAGE.to_owned()),
            "--binary" => {
                let path = left.next().ok_or("--binary needs a file")?;
                binary = Some(PathBuf::from(path));
            }
            "--rounds" | "--target" => {
                let value = left
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value\n\n{USAGE}"))?;
                passed.extend([argument.clone(), value.clone()]);
            }
            "gaps" | "bandwidth" | "small" | "partitions" | "--quick" | "--write" => {
                passed.push(argument.clone());
            }
            other => return Err(format!("{other}: no such row or option\n\n{USAGE}")),
        }
    }
    install::cluster()?;
    let binary = match binary {
        Some(binary) => binary
            .canonicalize()
            .map_err(|why| format!("{}: {why}", binary.display()))?,
        None => release_broker()?,
    };
    shell::step("measuring clusters");
    shell::run(
        shell::program("python3")
            .arg("tests/cluster/measure.py")
            .args(passed)
            .env("RINGLOG_TEST_BINARY", binary),
    )
}
