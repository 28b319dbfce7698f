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

/// Base64 with padding, for bytes that are no text.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| {
            bits << 8 | u32::from(group.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let six = (bits >> (18 - at * 6)) & 63;
            text.push(if at > group.len() {
                '='
            } else {
                char::from(ALPHABET[six as usize])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_rfc_4648() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(
            texts,
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]
        );
    }
}
