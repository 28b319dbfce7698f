//! Kafka's checkpoint files: a version, a count, then one entry a line.
//!
//! ```text
//! 0
//! 2
//! orders 0 1500
//! orders 1 920
//! ```

use thiserror::Error;

/// Why bytes are not a checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    #[error("not text")]
    NotText,
    /// Every line is written with its end: without it the last number may have lost digits.
    #[error("the last line has no end")]
    Torn,
    #[error("version {found:?}, expected {expected}")]
    Version { expected: i32, found: String },
    #[error("{announced:?} entries announced, {found} found")]
    Count { announced: String, found: usize },
    #[error("line {number} is malformed: {line:?}")]
    Line { number: usize, line: String },
}

pub fn encode_lines(version: i32, lines: impl Iterator<Item = String>) -> Vec<u8> {
    let mut body = String::new();
    let mut count = 0usize;
    for line in lines {
        body.push_str(&line);
        body.push('\n');
        count += 1;
    }
    format!("{version}\n{count}\n{body}").into_bytes()
}

/// The entry lines with their line numbers. An empty file has none, as Kafka creates them.
pub fn parse_lines(bytes: &[u8], version: i32) -> Result<Vec<(usize, &str)>, CheckpointError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CheckpointError::NotText)?;
    let mut lines = text.lines().zip(1..).map(|(line, number)| (number, line));
    let Some((_, found)) = lines.next() else {
        return Ok(Vec::new());
    };
    if found.parse() != Ok(version) {
        return Err(CheckpointError::Version {
            expected: version,
            found: found.to_owned(),
        });
    }
    let announced = lines.next().map_or("", |(_, announced)| announced);
    let entries: Vec<_> = lines.collect();
    if announced.parse() != Ok(entries.len()) {
        return Err(CheckpointError::Count {
            announced: announced.to_owned(),
            found: entries.len(),
        });
    }
    if !text.ends_with('\n') {
        return Err(CheckpointError::Torn);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_checkpoint_is_noticed() {
        // Half a recovery-point file read as whole would skip recovery of the partitions in the other half.
        let bytes = encode_lines(0, ["a 0 1", "b 0 2"].map(String::from).into_iter());
        assert_eq!(bytes, b"0\n2\na 0 1\nb 0 2\n");
        assert_eq!(parse_lines(&bytes, 0), Ok(vec![(3, "a 0 1"), (4, "b 0 2")]));
        assert!(matches!(
            parse_lines(b"0\n2\na 0 1\n", 0),
            Err(CheckpointError::Count { .. })
        ));
        assert!(matches!(
            parse_lines(b"1\n0\n", 0),
            Err(CheckpointError::Version { .. })
        ));
        assert!(matches!(
            parse_lines(b"0\nx\n", 0),
            Err(CheckpointError::Count { .. })
        ));
        assert_eq!(parse_lines(b"0\n2\na 0 1\nb 0 2", 0), Err(CheckpointError::Torn));
        assert_eq!(parse_lines(b"\xff", 0), Err(CheckpointError::NotText));
        assert_eq!(parse_lines(b"", 0), Ok(vec![]));
        assert!(matches!(
            parse_lines(b"0\n", 0),
            Err(CheckpointError::Count { .. })
        ));
    }
}
