//! One connection that consumes: one fetch after the other, into one buffer.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use engine::batch::BatchHeader;
use net::ErrorCode;
use reactor::{Piece, Socket};

use super::fetch_wire::{self, PartitionAnswer};
use super::produce_lane::LaneError;
use crate::client::{FetchConfig, Position};

/// Beyond any `--fetch-max-bytes`: a length that is no length ends the connection instead of the memory.
const ANSWER_BYTES_MAX: usize = 1 << 30;

pub struct FetchLane {
    socket: Socket,
    version: i16,
    topic: String,
    config: FetchConfig,
    positions: Vec<Position>,
    correlation_id: i32,
    buffer: BytesMut,
}

/// What one fetch brought.
#[derive(Debug, Default)]
pub struct Brought {
    pub records: u64,
    pub bytes: u64,
    pub errors: Vec<(i32, ErrorCode)>,
}

impl FetchLane {
    pub async fn connect(
        address: SocketAddr,
        version: i16,
        topic: &str,
        positions: Vec<Position>,
        config: FetchConfig,
    ) -> io::Result<FetchLane> {
        let socket = Socket::connect(address).await?;
        Ok(FetchLane {
            socket,
            version,
            topic: topic.to_owned(),
            config,
            positions,
            correlation_id: 0,
            buffer: BytesMut::new(),
        })
    }

    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    pub fn seek(&mut self, partition: i32, offset: i64) {
        for position in self
            .positions
            .iter_mut()
            .filter(|position| position.partition == partition)
        {
            position.offset = offset;
        }
    }

    /// Asks once and moves the positions on; `visit` sees the records of each partition.
    pub async fn fetch(&mut self, mut visit: impl FnMut(&[u8])) -> Result<Brought, LaneError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let request = fetch_wire::request(
            self.version,
            self.correlation_id,
            &self.topic,
            &self.positions,
            self.config,
        );
        self.socket.send(vec![Piece::Bytes(request.freeze())]).await?;
        self.receive().await?;
        let mut brought = Brought::default();
        let positions = &mut self.positions;
        let answer = self.buffer.get(4..).unwrap_or_default();
        let error = fetch_wire::read_answer(self.version, answer, |answer: PartitionAnswer<'_>| {
            if !answer.error.is_ok() {
                brought.errors.push((answer.partition, answer.error));
                return;
            }
            visit(answer.records);
            let position = positions
                .iter_mut()
                .find(|position| position.partition == answer.partition);
            if let Some(position) = position {
                advance(&mut position.offset, answer.records, &mut brought);
            }
        })?;
        if !error.is_ok() {
            brought.errors.push((-1, error));
        }
        Ok(brought)
    }

    /// One whole frame into the buffer, length included. What was read before is over.
    async fn receive(&mut self) -> Result<(), LaneError> {
        self.buffer.clear();
        let frame_bytes = loop {
            if let Some(length) = self.buffer.first_chunk::<4>() {
                let length = i32::from_be_bytes(*length);
                match usize::try_from(length) {
                    Ok(length) if length <= ANSWER_BYTES_MAX => break length + 4,
                    Ok(announced) => {
                        let max = ANSWER_BYTES_MAX;
                        return Err(net::frame::FrameError::TooLarge { announced, max }.into());
                    }
                    Err(_) => return Err(net::frame::FrameError::Negative { announced: length }.into()),
                }
            }
            if self.socket.recv(&mut self.buffer).await? == 0 {
                return Err(LaneError::Closed);
            }
        };
        let missing = frame_bytes.saturating_sub(self.buffer.len());
        if missing > 0 {
            self.socket.recv_exact(&mut self.buffer, missing).await?;
        }
        Ok(())
    }
}

/// Counts whole batches by their headers alone; a batch that begins before the position counts from the position.
fn advance(offset: &mut i64, mut records: &[u8], brought: &mut Brought) {
    while let Some(header) = BatchHeader::peek(records) {
        let Some((batch, rest)) = usize::try_from(header.size_bytes())
            .ok()
            .and_then(|size| records.split_at_checked(size))
        else {
            return; // cut at the end, as brokers may
        };
        if batch.is_empty() {
            return;
        }
        let next = header.next_offset().0;
        if next > *offset {
            let wanted = next - (*offset).max(header.base_offset().0);
            brought.records += i64::from(header.record_count()).min(wanted).max(0) as u64;
            brought.bytes += batch.len() as u64;
            *offset = next;
        }
        records = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::batch::BatchBuilder;
    use engine::types::{Offset, Timestamp};

    #[test]
    fn batches_are_counted_by_their_headers_from_the_position_on() {
        let batch = |base, count| {
            let mut batch = BatchBuilder::new(Offset(base));
            for _ in 0..count {
                batch.append(Timestamp(0), None, Some(b"value"));
            }
            batch.build().unwrap()
        };
        let mut records = batch(10, 5);
        let first = records.len();
        records.extend_from_slice(&batch(15, 3));
        records.extend_from_slice(&batch(18, 3)[..40]);
        let (mut offset, mut brought) = (12, Brought::default());
        advance(&mut offset, &records, &mut brought);
        assert_eq!((offset, brought.records), (18, 6));
        assert_eq!(brought.bytes as usize, records.len() - 40);
        let mut again = Brought::default();
        advance(&mut offset, &records[..first], &mut again);
        assert_eq!((offset, again.records, again.bytes), (18, 0, 0));
        advance(&mut offset, &[0xff; 100], &mut again);
        assert_eq!(offset, 18);
    }
}
