//! What commands print: tables and sentences for people, JSON for programs.

pub mod number;
pub mod progress;
pub mod table;
pub mod time;

use std::io::Write;

use serde_json::Value;

pub use progress::Progress;
pub use table::Table;

/// Prints a result in the form that was asked for. JSON is one line.
pub fn emit(json: bool, as_json: impl FnOnce() -> Value, as_text: impl FnOnce() -> String) {
    let text = if json { as_json().to_string() } else { as_text() };
    if !text.is_empty() {
        line(&text);
    }
}

/// Prints a line to standard output. A reader that has gone (`ringlog ... | head`) ends the command quietly, as it
/// does other tools.
pub fn line(text: &str) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}
