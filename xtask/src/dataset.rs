//! The data set of the end-to-end test: Debian's package indexes, more than a million lines of real text.

use crate::shell::{self, Done};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The promise of the test that uses it.
const LINES_AT_LEAST: u64 = 1_000_000;

/// Makes `.cache/dataset/packages.txt` unless it is there: every index apt knows, unpacked, without the empty lines
/// between packages (kcat sends no empty messages).
pub fn run() -> Done<PathBuf> {
    let folder = shell::cache().join("dataset");
    let file = folder.join("packages.txt");
    if file.exists() {
        return Ok(file);
    }
    shell::step("collecting Debian's package indexes");
    fs::create_dir_all(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let partial = folder.join("packages.partial");
    let mut lines = collect(Path::new("/var/lib/apt/lists"), &partial)?;
    if lines < LINES_AT_LEAST {
        let lists = download(&folder)?;
        lines = collect(&lists, &partial)?;
    }
    if lines < LINES_AT_LEAST {
        return Err(format!(
            "apt's package indexes have {lines} lines, {LINES_AT_LEAST} are needed"
        ));
    }
    fs::rename(&partial, &file).map_err(|why| format!("{}: {why}", file.display()))?;
    eprintln!("{} has {lines} lines", file.display());
    Ok(file)
}

/// `apt-get update` into a folder of ours: no root needed, the system's lists stay as they are.
fn download(folder: &Path) -> Done<PathBuf> {
    let lists = folder.join("lists");
    fs::create_dir_all(lists.join("partial")).map_err(|why| format!("{}: {why}", lists.display()))?;
    let mut update = shell::program("apt-get");
    update
        .arg("-qq")
        .arg("-o")
        .arg(format!("Dir::State::lists={}", lists.display()));
    update.args(["-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1", "update"]);
    shell::run(&mut update)?;
    Ok(lists)
}

/// Appends the lines of every index in `lists` to `target`; their number.
fn collect(lists: &Path, target: &Path) -> Done<u64> {
    let mut indexes: Vec<PathBuf> = fs::read_dir(lists)
        .map(|entries| {
            entries
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .collect()
        })
        .unwrap_or_default();
    indexes.retain(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().contains("_Packages"))
    });
    indexes.sort();
    let failed = |why: std::io::Error| format!("{}: {why}", target.display());
    let mut out = BufWriter::new(File::create(target).map_err(failed)?);
    let mut lines = 0;
    for index in indexes {
        // apt-helper knows every compression apt uses
        let mut unpack = Command::new("/usr/lib/apt/apt-helper");
        unpack
            .arg("cat-file")
            .arg(&index)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = unpack
            .spawn()
            .map_err(|why| format!("{}: {why}", shell::line(&unpack)))?;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).split(b'\n') {
                let line = line.map_err(failed)?;
                if !line.is_empty() {
                    out.write_all(&line)
                        .and_then(|()| out.write_all(b"\n"))
                        .map_err(failed)?;
                    lines += 1;
                }
            }
        }
        let status = child.wait().map_err(failed)?;
        if !status.success() {
            return Err(format!("{} ended with {status}", shell::line(&unpack)));
        }
    }
    out.flush().map_err(failed)?;
    Ok(lines)
}
