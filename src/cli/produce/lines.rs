//! Standard input, line by line, read beside the reactor.

use std::io::{self, Read};

use crate::cli::CliError;

/// How much is read at once. Larger: fewer switches between threads.
const CHUNK_BYTES: usize = 256 << 10;
/// A longer line is no line: no broker takes such a record.
const LINE_BYTES_MAX: usize = 256 << 20;

/// Keeps the begin of a line whose end is not read yet.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
    is_end: bool,
}

/// Whole lines that came together.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    pub is_end: bool,
}

impl Chunk {
    /// Without their line ends; a last line may lack its own.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let body = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        let count = if self.bytes.is_empty() { 0 } else { usize::MAX };
        body.split(|byte| *byte == b'\n').take(count)
    }
}

impl Lines {
    pub async fn read(&mut self) -> Result<Chunk, CliError> {
        if self.is_end {
            return Ok(Chunk {
                bytes: Vec::new(),
                is_end: true,
            });
        }
        let piece = reactor::background(read_piece).await.map_err(CliError::Input)?;
        self.take(piece)
    }

    fn take(&mut self, piece: Vec<u8>) -> Result<Chunk, CliError> {
        if piece.is_empty() {
            self.is_end = true;
            let bytes = std::mem::take(&mut self.rest);
            return Ok(Chunk {
                is_end: bytes.is_empty(),
                bytes,
            });
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(&piece);
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        self.rest = bytes.split_off(whole);
        if self.rest.len() > LINE_BYTES_MAX {
            return Err(CliError::Usage(format!(
                "a line of more than {LINE_BYTES_MAX} bytes"
            )));
        }
        Ok(Chunk { bytes, is_end: false })
    }
}

fn read_piece() -> io::Result<Vec<u8>> {
    let mut piece = vec![0; CHUNK_BYTES];
    let mut stdin = io::stdin().lock();
    loop {
        match stdin.read(&mut piece) {
            Ok(count) => {
                piece.truncate(count);
                return Ok(piece);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_being_cut_anywhere() {
        // A line cut in two would become two records.
        let text = b"one\n\ntwo and more\n\nlast without end";
        let expected: Vec<&[u8]> = vec![b"one", b"", b"two and more", b"", b"last without end"];
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut found: Vec<Vec<u8>> = Vec::new();
            for piece in text.chunks(size).chain([&b""[..], b""]) {
                let chunk = lines.take(piece.to_vec()).unwrap();
                found.extend(chunk.lines().map(<[u8]>::to_vec));
            }
            assert_eq!(found, expected, "pieces of {size}");
        }
    }

    #[test]
    fn an_empty_input_has_no_line() {
        let chunk = Lines::default().take(Vec::new()).unwrap();
        assert!(chunk.is_end);
        assert_eq!(chunk.lines().count(), 0);
    }
}
