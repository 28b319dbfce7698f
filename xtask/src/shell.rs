//! Running other programs, and where things lie.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command of ours ends with: nothing, or the sentence a person needs.
pub type Done<T = ()> = Result<T, String>;

/// The root of the repository: the parent of this crate's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The project's cache folder, which git ignores: clients, jars, the data set.
pub fn cache() -> PathBuf {
    root().join(".cache")
}

/// The cargo that runs us, so that a chosen toolchain stays chosen.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// A program, in the root of the repository.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// The command as a person would type it, for messages.
pub fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs it with our stdout and stderr; a failure names the command.
pub fn run(command: &mut Command) -> Done {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|why| format!("{}: {why}", line(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", line(command)))
    }
}

/// Runs it and gives its stdout; a failure carries its stderr.
pub fn output(command: &mut Command) -> Done<String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|why| format!("{}: {why}", line(command)))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!(
        "{} ended with {}: {}",
        line(command),
        done.status,
        said.trim()
    ))
}

/// Whether this program is on the path.
pub fn have(name: &str) -> bool {
    find(name).is_some()
}

/// Where on the path it is.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A line that says which step this is, on stderr, so that stdout stays the result.
pub fn step(what: &str) {
    eprintln!("== {what}");
}

/// Reads a text file; a failure names it.
pub fn read(path: &Path) -> Done<String> {
    std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
}
