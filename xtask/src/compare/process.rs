//! What the kernel tells of a process.

use crate::shell::{self, Done};
use std::fs;
use std::net::TcpListener;
use std::path::Path;

/// Resident memory in KiB.
pub fn rss_kib(pid: u32) -> Done<f64> {
    let path = format!("/proc/{pid}/status");
    let text = shell::read(Path::new(&path))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| format!("{path} has no VmRSS"))
}

/// Open file descriptors.
pub fn fds(pid: u32) -> Done<f64> {
    let path = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&path).map_err(|why| format!("{path}: {why}"))?;
    Ok(entries.count() as f64)
}

pub fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}

pub fn free_port() -> Done<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    Ok(listener.local_addr().map_err(|why| why.to_string())?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The idle row would be nonsense if these were read wrongly.
    #[test]
    fn we_can_be_looked_at() {
        let us = std::process::id();
        assert!(is_alive(us));
        assert!(rss_kib(us).expect("our own status") > 100.0);
        assert!(fds(us).expect("our own descriptors") >= 3.0);
    }
}
