//! Where a broker's time goes: symbols by perf, system calls by strace.

use super::broker::Broker;
use crate::shell::{self, Done};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Long enough for thousands of samples, short enough for their file.
const RECORD: Duration = Duration::from_secs(5);
const COUNT: Duration = Duration::from_secs(2);
/// Lines of the report.
const SYMBOLS: usize = 40;
/// Not a divisor of timers' frequencies, so that sampling does not beat with them.
const HERTZ: &str = "499";

/// Where profiles and tables are kept.
pub fn folder() -> Done<PathBuf> {
    let folder = shell::root().join("target/compare");
    fs::create_dir_all(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    Ok(folder)
}

/// Records the broker after `wait`, for as long as it is measured, and tells the top symbols. The whole record stays
/// in `target/compare`.
pub fn record(broker: &Broker<'_>, name: &str, wait: Duration, measured: Duration) -> Done<String> {
    if !shell::have("perf") {
        return Ok("   perf is not installed".into());
    }
    let data = folder()?.join(format!("{name}.perf"));
    std::thread::sleep(wait + Duration::from_millis(300));
    let seconds = RECORD.min(measured).as_secs_f64().to_string();
    let mut perf = shell::program("perf");
    perf.args([
        "record",
        "-g",
        "-q",
        "-F",
        HERTZ,
        "-p",
        &broker.pid().to_string(),
        "-o",
    ])
    .arg(&data);
    shell::output(perf.args(["--", "sleep", &seconds]))?;
    let mut perf = shell::program("perf");
    perf.args([
        "report",
        "--stdio",
        "--no-children",
        "-g",
        "none",
        "-s",
        "dso,symbol",
        "-i",
    ])
    .arg(&data);
    let text = shell::output(&mut perf)?;
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let top: Vec<&str> = lines
        .take(SYMBOLS)
        .map(|line| line.trim_end_matches([' ', '-']))
        .collect();
    Ok(format!(
        "   perf, {} ({}):\n{}",
        name,
        data.display(),
        top.join("\n")
    ))
}

/// Counts the system calls of a broker under load. It is several times slower meanwhile: only the proportions count.
pub fn count_syscalls(broker: &Broker<'_>) -> Done<String> {
    if !shell::have("strace") {
        return Ok("   strace is not installed".into());
    }
    std::thread::sleep(Duration::from_millis(500));
    let mut strace = shell::program("timeout");
    strace.args([
        "--signal=INT",
        &COUNT.as_secs_f64().to_string(),
        "strace",
        "-c",
        "-f",
        "-q",
        "-p",
    ]);
    strace.arg(broker.pid().to_string());
    // timeout ends with 124 when it had to end the program, as here: what counts is what strace says
    let done = strace
        .output()
        .map_err(|why| format!("{}: {why}", shell::line(&strace)))?;
    let text = String::from_utf8_lossy(&done.stderr);
    let top: Vec<&str> = text.lines().take(20).collect();
    Ok(format!(
        "   system calls in {} s, slowed by counting:\n{}",
        COUNT.as_secs(),
        top.join("\n")
    ))
}
