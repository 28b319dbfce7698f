//! `cargo xtask verify`: what CI demands of the sources. Writes nothing (but cargo's target folder).

use crate::shell::{self, Done};
use crate::{arrows, documents};

pub fn run() -> Done {
    let mut failures = Vec::new();
    let mut check = |what: &str, done: Done| {
        if let Err(why) = done {
            eprintln!("{what}: {why}");
            failures.push(what.to_string());
        }
    };
    shell::step("formatting");
    check(
        "formatting (cargo xtask fix)",
        shell::run(shell::cargo().args(["fmt", "--all", "--check"])),
    );
    shell::step("dependency arrows");
    check("dependency arrows", arrows::check());
    shell::step("clippy");
    check(
        "clippy",
        shell::run(shell::cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ])),
    );
    // `test = false` keeps it out of all targets
    check(
        "clippy of the cluster simulation",
        shell::run(shell::cargo().args([
            "clippy",
            "--quiet",
            "--no-default-features",
            "--features",
            "planted-bugs",
            "--test",
            "cluster_simulation",
            "--",
            "-D",
            "warnings",
        ])),
    );
    shell::step("documents");
    check("documents", documents::check());
    if failures.is_empty() {
        eprintln!("verified");
        return Ok(());
    }
    Err(format!("{} failed: {}", failures.len(), failures.join(", ")))
}
