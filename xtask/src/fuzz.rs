//! `cargo xtask fuzz-smoke`: each fuzz target for a short while, beginning with its seeds.

use crate::shell::{self, Done};
use std::fs;

const SECONDS: u32 = 15;

/// Formats of a few fields: a hundred thousand inputs a second reach what there is in a third of the time.
const SMALL: [&str; 7] = [
    "epoch_checkpoint",
    "offset_index",
    "producer_snapshot",
    "quarantine",
    "text_files",
    "time_index",
    "transaction_index",
];

/// The longest input, and the largest single allocation: what fuzz/README.md tells a person to use.
const LIMITS: [&str; 2] = ["-malloc_limit_mb=64", "-max_len=8192"];

pub fn smoke(arguments: &[String]) -> Done {
    let seconds = match arguments.first() {
        Some(text) => text.parse::<u32>().map_err(|why| format!("{text}: {why}"))?,
        None => SECONDS,
    };
    if !shell::have("cargo-fuzz") {
        shell::step("installing cargo-fuzz");
        shell::run(shell::cargo().args(["install", "cargo-fuzz", "--locked", "--quiet"]))?;
    }
    for target in targets()? {
        let is_small = SMALL.contains(&target.as_str());
        let seconds = if is_small { seconds.div_ceil(3) } else { seconds };
        shell::step(&format!("fuzz {target}, {seconds} s"));
        let corpus = format!("fuzz/corpus/{target}");
        fs::create_dir_all(shell::root().join(&corpus)).map_err(|why| format!("{corpus}: {why}"))?;
        let mut command = fuzz();
        command.args(["run", &target, &corpus]);
        let seeds = format!("fuzz/seeds/{target}");
        if shell::root().join(&seeds).exists() {
            command.arg(seeds);
        }
        command
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .args(LIMITS)
            .arg("-verbosity=0")
            .arg("-print_final_stats=1");
        shell::run(&mut command)?;
    }
    Ok(())
}

/// The files of `fuzz/fuzz_targets`. Not `cargo fuzz list`, which also names the program that makes the seeds.
fn targets() -> Done<Vec<String>> {
    let folder = shell::root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// cargo-fuzz needs unstable compiler flags; this variable lets the stable toolchain take them.
fn fuzz() -> std::process::Command {
    let mut command = shell::cargo();
    command.env("RUSTC_BOOTSTRAP", "1").arg("fuzz");
    command
}
