//! The Fetch request of a follower: one version, written at once into one buffer.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::frame::finish_frame;
use crate::header::RequestHeader;
use crate::wire::{Encoding, Writer};

/// The version that brokers ask each other in.
pub const REPLICA_FETCH_VERSION: i16 = 17;

/// API key of Fetch.
const FETCH: i16 = 1;

/// What holds for all partitions of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaFetch {
    pub replica_id: i32,
    /// Of the registration in which it asks (KIP-903).
    pub broker_epoch: i64,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub session_id: i32,
    /// 0: a new session.
    pub session_epoch: i32,
}

/// One partition that has moved since the session's last fetch, or is new in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaFetchPartition {
    pub topic_id: Uuid,
    pub index: i32,
    pub leader_epoch: i32,
    pub fetch_offset: i64,
    pub last_fetched_epoch: i32,
    pub log_start_offset: i64,
    pub max_bytes: i32,
}

impl ReplicaFetch {
    /// The frame. Partitions of one topic that stand next to each other share its id; there may be more than one such run.
    pub fn to_frame(
        &self,
        header: &RequestHeader,
        partitions: &[ReplicaFetchPartition],
        forgotten: &[(Uuid, i32)],
    ) -> Bytes {
        debug_assert_eq!(
            (header.api_key, header.api_version),
            (FETCH, REPLICA_FETCH_VERSION)
        );
        // A partition takes 38 bytes, a topic 18.
        let mut frame = BytesMut::with_capacity(128 + 56 * partitions.len() + 24 * forgotten.len());
        frame.put_i32(0);
        header.write(Encoding::Flexible, &mut frame);
        let mut out = Writer::new(frame, Encoding::Flexible);
        out.i32(self.max_wait_ms);
        out.i32(self.min_bytes);
        out.i32(self.max_bytes);
        out.i8(0); // read uncommitted
        out.i32(self.session_id);
        out.i32(self.session_epoch);
        let runs = |out: &mut Writer<BytesMut>| {
            out.length(Some(partitions.chunk_by(|a, b| a.topic_id == b.topic_id).count()));
        };
        runs(&mut out);
        for run in partitions.chunk_by(|a, b| a.topic_id == b.topic_id) {
            out.uuid(run.first().map_or(Uuid::nil(), |first| first.topic_id));
            out.array_of(run, |out, partition| {
                out.i32(partition.index);
                out.i32(partition.leader_epoch);
                out.i64(partition.fetch_offset);
                out.i32(partition.last_fetched_epoch);
                out.i64(partition.log_start_offset);
                out.i32(partition.max_bytes);
                out.end_struct();
            });
            out.end_struct();
        }
        out.length(Some(forgotten.chunk_by(|a, b| a.0 == b.0).count()));
        for run in forgotten.chunk_by(|a, b| a.0 == b.0) {
            out.uuid(run.first().map_or(Uuid::nil(), |first| first.0));
            out.array_of(run, |out, (_, index)| out.i32(*index));
            out.end_struct();
        }
        out.string("");
        let mut replica_state = Writer::new(Vec::with_capacity(13), Encoding::Flexible);
        replica_state.i32(self.replica_id);
        replica_state.i64(self.broker_epoch);
        replica_state.end_struct();
        out.tagged_fields(&[(1, replica_state.into_inner())]);
        finish_frame(out.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::FetchRequest;

    /// Breaks in production: no follower gets anything.
    #[test]
    fn the_server_reads_what_followers_write() {
        let partition = |topic: u128, index: i32| ReplicaFetchPartition {
            topic_id: Uuid::from_u128(topic),
            index,
            leader_epoch: 3,
            fetch_offset: 1000 + i64::from(index),
            last_fetched_epoch: 2,
            log_start_offset: 10,
            max_bytes: 1 << 20,
        };
        let fetch = ReplicaFetch {
            replica_id: 4,
            broker_epoch: 77,
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: 10 << 20,
            session_id: 9,
            session_epoch: 5,
        };
        let header = RequestHeader {
            api_key: 1,
            api_version: REPLICA_FETCH_VERSION,
            correlation_id: 1,
            client_id: "broker-4".into(),
        };
        let partitions = [partition(1, 0), partition(1, 1), partition(2, 0), partition(1, 2)];
        let forgotten = [(Uuid::from_u128(3), 1), (Uuid::from_u128(3), 2)];
        let frame = fetch.to_frame(&header, &partitions, &forgotten);
        assert_eq!(frame[..4], (frame.len() as i32 - 4).to_be_bytes());
        let mut body = BytesMut::from(&frame[4..]);
        assert_eq!(RequestHeader::split_from(&mut body), Ok(header));
        let request = FetchRequest::parse(REPLICA_FETCH_VERSION, &body.freeze()).unwrap();
        assert_eq!((request.replica_id, request.replica_epoch), (4, 77));
        assert_eq!((request.session_id, request.session_epoch), (9, 5));
        let read: Vec<_> = request
            .topics
            .iter()
            .flat_map(|topic| {
                topic
                    .partitions
                    .iter()
                    .map(|partition| (topic.topic_id, *partition))
            })
            .collect();
        assert_eq!(read.len(), 4);
        for ((topic_id, read), written) in read.iter().zip(&partitions) {
            assert_eq!((*topic_id, read.index), (written.topic_id, written.index));
            assert_eq!(read.fetch_offset, written.fetch_offset);
            assert_eq!(
                (
                    read.current_leader_epoch,
                    read.last_fetched_epoch,
                    read.log_start_offset
                ),
                (3, 2, 10)
            );
        }
        assert_eq!(request.forgotten_topics[0].partitions, [1, 2]);
    }
}
