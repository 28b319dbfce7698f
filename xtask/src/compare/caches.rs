//! The page cache: emptying it, and looking whether it is empty.

use super::process;
use crate::shell::{self, Done};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes everything back and forgets what was cached of `folder`: all caches of the machine as root, otherwise the
/// folder's files one by one.
pub fn drop_caches(folder: &Path) -> Done {
    shell::run(shell::program("sync").arg("-f").arg(folder))?;
    if process::is_root() {
        let path = "/proc/sys/vm/drop_caches";
        return fs::write(path, "3").map_err(|why| format!("{path}: {why}"));
    }
    for file in files(folder) {
        // what GNU dd does with these words is posix_fadvise(POSIX_FADV_DONTNEED) over the whole file
        let mut dd = shell::program("dd");
        dd.arg(format!("of={}", file.display()));
        shell::output(dd.args([
            "oflag=nocache",
            "conv=notrunc,fdatasync",
            "count=0",
            "status=none",
        ]))?;
    }
    Ok(())
}

/// Bytes of segment files in the page cache, and on disk.
pub fn resident(folder: &Path) -> Done<(u64, u64)> {
    let segments: Vec<PathBuf> = files(folder)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "log"))
        .collect();
    let mut sum = (0, 0);
    for some in segments.chunks(500) {
        let mut fincore = shell::program("fincore");
        fincore
            .args(["--bytes", "--noheadings", "--output", "RES,SIZE"])
            .args(some);
        for line in shell::output(&mut fincore)?.lines() {
            let mut fields = line
                .split_whitespace()
                .map(|field| field.parse::<u64>().unwrap_or(0));
            sum.0 += fields.next().unwrap_or(0);
            sum.1 += fields.next().unwrap_or(0);
        }
    }
    Ok(sum)
}

/// All files below a folder, however deep.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}
