//! `cargo xtask test`: the workspace's tests, then every suite of `tests/` against the release build of the broker.

use crate::shell::{self, Done};
use crate::{dataset, install};

pub fn run(arguments: &[String]) -> Done {
    let mut words = arguments.iter();
    let mut only = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" | "--long" => {}
            "--only" => {
                only = true;
                words.next().ok_or("--only needs the name of a suite")?;
            }
            other => {
                return Err(format!(
                    "unknown option {other}; test [--quick | --long] [--only NAME]..."
                ));
            }
        }
    }
    // One suite is asked for while working on it: the crates' own tests would only make the round longer.
    if !only {
        shell::step("cargo test");
        let stores = install::stores()?;
        shell::run(
            shell::cargo()
                .args(["test", "--workspace", "--quiet"])
                .envs(stores),
        )?;
        shell::step("planted bugs: the simulation of the storage engine finds each");
        let hunt = [
            "test",
            "--quiet",
            "-p",
            "engine",
            "--features",
            "planted-bugs",
            "--test",
            "simulation",
        ];
        shell::run(
            shell::cargo()
                .args(hunt)
                .args(["--", "planted"])
                .env("SEEDS", "3000"),
        )?;
        shell::step("planted bugs: the simulation of the quorum, or a schedule of it, finds each");
        let hunt = [
            "test",
            "--quiet",
            "-p",
            "control",
            "--features",
            "planted-bugs",
            "--lib",
        ];
        shell::run(shell::cargo().args(hunt).args(["--", "planted_bugs_are_found"]))?;
    }
    if !only {
        let clusters = [
            "test",
            "--quiet",
            "--profile",
            "simulation",
            "--no-default-features",
            "--features",
            "planted-bugs",
            "--test",
            "cluster_simulation",
        ];
        shell::step("whole clusters on simulated machines");
        shell::run(shell::cargo().args(clusters))?;
        shell::step("planted bugs: the simulation of clusters finds each");
        shell::run(shell::cargo().args(clusters).args(["--", "planted"]))?;
    }
    install::all()?;
    dataset::run()?;
    let kafka = std::env::var_os("RINGLOG_TEST_TARGET").is_some_and(|target| target == "kafka");
    if !kafka {
        shell::step("building the release broker");
        shell::run(shell::cargo().args(["build", "--release", "--quiet", "--bin", "ringlog"]))?;
    }
    shell::step("suites");
    shell::run(
        shell::program("python3")
            .arg("tests/harness/run.py")
            .args(arguments),
    )
}
