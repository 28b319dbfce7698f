//! Frames between members.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{MEMBER_KEY, MEMBER_VERSION};

/// Of a request: API key, version, correlation id.
const REQUEST_HEAD_BYTES: usize = 8;

pub(super) fn question(correlation_id: i32, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(4 + REQUEST_HEAD_BYTES + body.len());
    frame.put_i32(i32::try_from(REQUEST_HEAD_BYTES + body.len()).unwrap_or(i32::MAX));
    frame.put_i16(MEMBER_KEY);
    frame.put_i16(MEMBER_VERSION);
    frame.put_i32(correlation_id);
    frame.put_slice(body);
    frame.freeze()
}

pub(super) fn answer(correlation_id: i32, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(8 + body.len());
    frame.put_i32(i32::try_from(4 + body.len()).unwrap_or(i32::MAX));
    frame.put_i32(correlation_id);
    frame.put_slice(body);
    frame.freeze()
}

/// The correlation id of a member's question, and its body; gives the frame back if it is something else.
pub(super) fn split_question(mut frame: BytesMut) -> Result<(i32, BytesMut), BytesMut> {
    let is_member = frame
        .first_chunk::<2>()
        .is_some_and(|key| i16::from_be_bytes(*key) == MEMBER_KEY);
    if !is_member || frame.len() < REQUEST_HEAD_BYTES {
        return Err(frame);
    }
    frame.advance(4);
    let correlation_id = frame.get_i32();
    Ok((correlation_id, frame))
}

/// The correlation id of an answer, and its body.
pub(super) fn split_answer(mut frame: BytesMut) -> Option<(i32, BytesMut)> {
    if frame.len() < 4 {
        return None;
    }
    let correlation_id = frame.get_i32();
    Some((correlation_id, frame))
}
