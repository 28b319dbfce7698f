//! FetchRequest.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{FLEXIBLE_SINCE, TOPIC_ID_SINCE};
use crate::shape::ShapeError;
use crate::wire::{Encoding, FrameReader, Tag, WireError};

/// One struct for all versions; what a version lacks has Kafka's default.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchRequest {
    /// Only controllers look at it.
    pub cluster_id: Option<StrBytes>,
    /// -1 for consumers, wherever the version carries it.
    pub replica_id: i32,
    pub replica_epoch: i64,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    /// 0 = read uncommitted, 1 = read committed.
    pub isolation_level: i8,
    pub session_id: i32,
    /// -1 = no session wanted, 0 = a new one, else the next of a session (KIP-227).
    pub session_epoch: i32,
    pub topics: Vec<FetchTopic>,
    pub forgotten_topics: Vec<ForgottenTopic>,
    pub rack_id: StrBytes,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FetchTopic {
    /// Up to v12.
    pub name: StrBytes,
    /// From v13 on.
    pub topic_id: Uuid,
    pub partitions: Vec<FetchPartition>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FetchPartition {
    pub index: i32,
    /// -1 = the client does not know.
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    /// -1 from consumers.
    pub last_fetched_epoch: i32,
    /// The follower's log start; -1 from consumers.
    pub log_start_offset: i64,
    pub partition_max_bytes: i32,
    pub replica_directory_id: Uuid,
    /// The follower's high watermark (KIP-1166).
    pub high_watermark: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ForgottenTopic {
    pub name: StrBytes,
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

impl FetchRequest {
    pub const VERSION_MIN: i16 = 4;
    pub const VERSION_MAX: i16 = 18;

    /// Reads the body of a Fetch request; names are slices of it. Bytes after the message are ignored.
    pub fn parse(version: i16, body: &Bytes) -> Result<FetchRequest, ShapeError> {
        if !(Self::VERSION_MIN..=Self::VERSION_MAX).contains(&version) {
            return Err(ShapeError::UnsupportedVersion {
                api: "Fetch",
                version,
            });
        }
        let mut reader = FrameReader::new(body, Encoding::of(version, FLEXIBLE_SINCE));
        read(version, &mut reader).map_err(|source| ShapeError::Malformed {
            api: "Fetch",
            version,
            field: "Topics",
            source,
        })
    }
}

fn read(version: i16, reader: &mut FrameReader<'_>) -> Result<FetchRequest, WireError> {
    let mut request = FetchRequest {
        cluster_id: None,
        replica_id: if version <= 14 { reader.i32()? } else { -1 },
        replica_epoch: -1,
        max_wait_ms: reader.i32()?,
        min_bytes: reader.i32()?,
        max_bytes: reader.i32()?,
        isolation_level: reader.i8()?,
        session_id: if version >= 7 { reader.i32()? } else { 0 },
        session_epoch: if version >= 7 { reader.i32()? } else { -1 },
        topics: reader.array_of(3, |reader| read_topic(version, reader))?,
        forgotten_topics: Vec::new(),
        rack_id: StrBytes::new(),
    };
    if version >= 7 {
        request.forgotten_topics = reader.array_of(3, |reader| {
            let (name, topic_id) = read_topic_name(version, reader)?;
            let partitions = reader.array_of(4, |reader| reader.i32())?;
            reader.end_struct()?;
            Ok(ForgottenTopic {
                name,
                topic_id,
                partitions,
            })
        })?;
    }
    if version >= 11 {
        request.rack_id = reader.string()?;
    }
    let mut cluster_id = None;
    reader.tagged_fields(|tag, reader| {
        match tag {
            0 => {
                cluster_id = reader
                    .nullable_str()?
                    .map(|id| StrBytes::from_string(id.to_owned()))
            }
            1 if version >= 15 => {
                request.replica_id = reader.i32()?;
                request.replica_epoch = reader.i64()?;
                reader.end_struct()?;
            }
            _ => return Ok(Tag::Unknown),
        }
        Ok(Tag::Known)
    })?;
    request.cluster_id = cluster_id;
    Ok(request)
}

fn read_topic_name(version: i16, reader: &mut FrameReader<'_>) -> Result<(StrBytes, Uuid), WireError> {
    if version >= TOPIC_ID_SINCE {
        Ok((StrBytes::new(), reader.uuid()?))
    } else {
        Ok((reader.string()?, Uuid::nil()))
    }
}

fn read_topic(version: i16, reader: &mut FrameReader<'_>) -> Result<FetchTopic, WireError> {
    let (name, topic_id) = read_topic_name(version, reader)?;
    let partitions = reader.array_of(16, |reader| {
        let mut partition = FetchPartition {
            index: reader.i32()?,
            current_leader_epoch: if version >= 9 { reader.i32()? } else { -1 },
            fetch_offset: reader.i64()?,
            last_fetched_epoch: if version >= 12 { reader.i32()? } else { -1 },
            log_start_offset: if version >= 5 { reader.i64()? } else { -1 },
            partition_max_bytes: reader.i32()?,
            replica_directory_id: Uuid::nil(),
            high_watermark: i64::MAX,
        };
        reader.tagged_fields(|tag, reader| {
            match tag {
                0 if version >= 17 => partition.replica_directory_id = reader.uuid()?,
                1 if version >= 18 => partition.high_watermark = reader.i64()?,
                _ => return Ok(Tag::Unknown),
            }
            Ok(Tag::Known)
        })?;
        Ok(partition)
    })?;
    reader.end_struct()?;
    Ok(FetchTopic {
        name,
        topic_id,
        partitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::messages::FetchRequest as Theirs;
    use kafka_protocol::messages::fetch_request as theirs;
    use kafka_protocol::protocol::Encodable;

    fn encoded(version: i16) -> Bytes {
        let mut partition = theirs::FetchPartition::default()
            .with_partition(3)
            .with_fetch_offset(1000)
            .with_partition_max_bytes(1 << 20);
        if version >= 9 {
            partition = partition.with_current_leader_epoch(6);
        }
        if version >= 12 {
            partition = partition.with_last_fetched_epoch(5);
        }
        if version >= 5 {
            partition = partition.with_log_start_offset(12);
        }
        if version >= 17 {
            partition = partition.with_replica_directory_id(Uuid::from_u128(99));
        }
        if version >= 18 {
            partition = partition.with_high_watermark(990);
        }
        let mut topic = theirs::FetchTopic::default().with_partitions(vec![partition]);
        let mut forgotten = theirs::ForgottenTopic::default().with_partitions(vec![1, 2]);
        if version >= 13 {
            topic = topic.with_topic_id(Uuid::from_u128(1));
            forgotten = forgotten.with_topic_id(Uuid::from_u128(2));
        } else {
            topic = topic.with_topic(StrBytes::from_static_str("t").into());
            forgotten = forgotten.with_topic(StrBytes::from_static_str("f").into());
        }
        let mut request = Theirs::default()
            .with_max_wait_ms(500)
            .with_min_bytes(1)
            .with_max_bytes(50 << 20)
            .with_isolation_level(1)
            .with_topics(vec![topic]);
        if version <= 14 {
            request = request.with_replica_id(4.into());
        } else {
            request = request.with_replica_state(
                theirs::ReplicaState::default()
                    .with_replica_id(4.into())
                    .with_replica_epoch(8),
            );
        }
        if version >= 7 {
            request = request
                .with_session_id(7)
                .with_session_epoch(2)
                .with_forgotten_topics_data(vec![forgotten]);
        }
        if version >= 11 {
            request = request.with_rack_id("rack".into());
        }
        if version >= 12 {
            request = request.with_cluster_id(Some("cluster".into()));
        }
        let mut body = BytesMut::new();
        request.encode(&mut body, version).unwrap();
        body.freeze()
    }

    #[test]
    fn every_version_is_read() {
        for version in FetchRequest::VERSION_MIN..=FetchRequest::VERSION_MAX {
            let request = FetchRequest::parse(version, &encoded(version)).unwrap();
            assert_eq!(
                (request.replica_id, request.max_wait_ms, request.isolation_level),
                (4, 500, 1)
            );
            assert_eq!(request.replica_epoch, if version >= 15 { 8 } else { -1 });
            assert_eq!(
                request.cluster_id.as_deref(),
                (version >= 12).then_some("cluster")
            );
            let partition = request.topics[0].partitions[0];
            assert_eq!((partition.index, partition.fetch_offset), (3, 1000));
            assert_eq!(partition.current_leader_epoch, if version >= 9 { 6 } else { -1 });
            assert_eq!(partition.last_fetched_epoch, if version >= 12 { 5 } else { -1 });
            assert_eq!(
                partition.high_watermark,
                if version >= 18 { 990 } else { i64::MAX }
            );
            if version >= 7 {
                assert_eq!((request.session_id, request.session_epoch), (7, 2));
                assert_eq!(request.forgotten_topics[0].partitions, [1, 2]);
            }
            if version >= 13 {
                assert_eq!(request.topics[0].topic_id, Uuid::from_u128(1));
            } else {
                assert_eq!(&*request.topics[0].name, "t");
            }
        }
    }

    #[test]
    fn truncated_and_lying_requests_are_errors() {
        for version in FetchRequest::VERSION_MIN..=FetchRequest::VERSION_MAX {
            let body = encoded(version);
            for end in 0..body.len() {
                assert!(
                    FetchRequest::parse(version, &body.slice(..end)).is_err(),
                    "v{version} cut at {end}"
                );
            }
            for at in 0..body.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = BytesMut::from(&body[..]);
                    changed[at] = value;
                    let _ = FetchRequest::parse(version, &changed.freeze());
                }
            }
        }
    }
}
