//! Frames: a big-endian i32 length, then that many bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use reactor::Piece;

/// Why the bytes of a connection are not frames. There is no way on: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("negative frame size {announced}")]
    Negative { announced: i32 },
    #[error("frame of {announced} bytes announced, at most {max} are allowed")]
    TooLarge { announced: usize, max: usize },
    #[error("a TLS handshake on a plaintext port")]
    Tls,
    #[error("an HTTP request on a Kafka port")]
    Http,
}

/// The next whole frame at the front of `received`, without its length; `None` until all of it is there.
/// Nothing is allocated for a frame that is only announced.
pub fn next_frame(received: &mut BytesMut, bytes_max: usize) -> Result<Option<BytesMut>, FrameError> {
    let Some(size) = announced(received, bytes_max)? else {
        return Ok(None);
    };
    if received.len() - 4 < size {
        return Ok(None);
    }
    received.advance(4);
    Ok(Some(received.split_to(size)))
}

/// How many bytes the frame at the front still lacks, if its length is known.
pub fn missing_bytes(received: &BytesMut, bytes_max: usize) -> Result<Option<usize>, FrameError> {
    Ok(announced(received, bytes_max)?.map(|size| (size + 4).saturating_sub(received.len())))
}

fn announced(received: &BytesMut, bytes_max: usize) -> Result<Option<usize>, FrameError> {
    let Some(prefix) = received.first_chunk::<4>() else {
        return Ok(None);
    };
    let announced = i32::from_be_bytes(*prefix);
    match usize::try_from(announced) {
        Ok(size) if size <= bytes_max => Ok(Some(size)),
        Ok(size) => Err(foreign_protocol(prefix).unwrap_or(FrameError::TooLarge {
            announced: size,
            max: bytes_max,
        })),
        Err(_) => Err(FrameError::Negative { announced }),
    }
}

/// What else is often sent to a Kafka port by mistake. Read as a length these bytes are hundreds of MiB, so they are
/// looked at only when the length is refused anyway.
fn foreign_protocol(prefix: &[u8; 4]) -> Option<FrameError> {
    match prefix {
        [0x16, 0x03, 0x00..=0x04, _] => Some(FrameError::Tls),
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"OPTI" | b"DELE" | b"PRI " | b"CONN" => {
            Some(FrameError::Http)
        }
        _ => None,
    }
}

/// A buffer with room for the length, which [`finish_frame`] fills in.
pub(crate) fn start_frame() -> BytesMut {
    // most answers off the hot path are smaller: measured 20 to 400 bytes
    let mut frame = BytesMut::with_capacity(512);
    frame.put_i32(0);
    frame
}

pub(crate) fn finish_frame(mut frame: BytesMut) -> Bytes {
    let length = frame.len().saturating_sub(4);
    set_frame_length(&mut frame, length);
    frame.freeze()
}

/// Writes the length of a frame whose first piece this is.
pub(crate) fn set_frame_length(frame: &mut BytesMut, length: usize) {
    if let Some(prefix) = frame.first_chunk_mut::<4>() {
        *prefix = (length as i32).to_be_bytes();
    }
}

/// Puts pieces between the parts of `head` (cut positions ascend) and sets the frame's length. `head` is one
/// allocation; its parts are slices of it.
pub(crate) fn interleave(mut head: BytesMut, cuts: Vec<(usize, Vec<Piece>)>) -> Vec<Piece> {
    let record_bytes: usize = cuts.iter().flat_map(|(_, pieces)| pieces).map(Piece::len).sum();
    let length = head.len().saturating_sub(4) + record_bytes;
    set_frame_length(&mut head, length);
    let mut head = head.freeze();
    let mut taken = 0;
    let mut frame = Vec::with_capacity(cuts.len() * 2 + 1);
    for (cut, pieces) in cuts {
        let part = head.split_to((cut - taken).min(head.len()));
        taken = cut;
        if !part.is_empty() {
            frame.push(Piece::Bytes(part));
        }
        frame.extend(pieces);
    }
    if !head.is_empty() {
        frame.push(Piece::Bytes(head));
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 100 << 20;

    #[test]
    fn frames_come_out_whole_and_in_order() {
        let mut received = BytesMut::from(&[0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 3, 1][..]);
        assert_eq!(
            next_frame(&mut received, MAX).unwrap().as_deref(),
            Some(&[7, 8][..])
        );
        assert_eq!(next_frame(&mut received, MAX).unwrap().as_deref(), Some(&[][..]));
        assert_eq!(next_frame(&mut received, MAX), Ok(None));
        assert_eq!(missing_bytes(&received, MAX), Ok(Some(2)));
        received.truncate(3);
        assert_eq!(missing_bytes(&received, MAX), Ok(None));
    }

    #[test]
    fn sizes_and_foreign_protocols_are_refused() {
        let refused = |bytes: &[u8]| next_frame(&mut BytesMut::from(bytes), MAX).unwrap_err();
        assert_eq!(
            refused(&[0xff, 0xff, 0xff, 0xff]),
            FrameError::Negative { announced: -1 }
        );
        assert_eq!(
            refused(&[0x7f, 0, 0, 0]),
            FrameError::TooLarge {
                announced: 0x7f00_0000,
                max: MAX
            }
        );
        assert_eq!(refused(b"GET / HTTP/1.1\r\n"), FrameError::Http);
        assert_eq!(refused(&[0x16, 0x03, 0x01, 0x02, 0x00]), FrameError::Tls);
    }
}
