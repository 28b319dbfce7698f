//! VotersRecord and KRaftVersionRecord (KIP-853), version 0 of both.

use crate::config::Endpoint;
use crate::quorum::{ReplicaKey, Voter, VoterSet};
use crate::record::{BrokerId, DecodeError, DirectoryId, Reader, Writer};
use uuid::Uuid;

/// What Kafka calls the listener of its controllers by default.
const LISTENER: &str = "CONTROLLER";
/// The range of `kraft.version` that our voters support.
const KRAFT_VERSIONS: [i16; 2] = [0, 1];

pub(super) fn encode_version(version: i16) -> Box<[u8]> {
    let mut writer = Writer::new();
    writer.put(&0i16.to_be_bytes());
    writer.put(&version.to_be_bytes());
    writer.unsigned_varint(0);
    writer.into_bytes().into()
}

pub(super) fn encode(voters: &VoterSet) -> Box<[u8]> {
    let mut writer = Writer::new();
    let text = |writer: &mut Writer, text: &str| {
        writer.compact_length(Some(text.len()));
        writer.put(text.as_bytes());
    };
    writer.put(&0i16.to_be_bytes());
    writer.compact_length(Some(voters.len()));
    for voter in voters.iter() {
        writer.put(&voter.key.id.0.to_be_bytes());
        writer.put(voter.key.directory.0.as_bytes());
        writer.compact_length(Some(1));
        text(&mut writer, LISTENER);
        text(&mut writer, &voter.endpoint.host);
        writer.put(&voter.endpoint.port.to_be_bytes());
        writer.unsigned_varint(0);
        for version in KRAFT_VERSIONS {
            writer.put(&version.to_be_bytes());
        }
        writer.unsigned_varint(0);
        writer.unsigned_varint(0);
    }
    writer.unsigned_varint(0);
    writer.into_bytes().into()
}

pub(super) fn decode(bytes: &[u8]) -> Result<VoterSet, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.array::<2>()?;
    let mut voters = Vec::new();
    // a count that lies ends with the bytes
    for _ in 0..reader.compact_length()?.unwrap_or(0) {
        let id = BrokerId(i32::from_be_bytes(reader.array()?));
        let directory = DirectoryId(Uuid::from_bytes(reader.array()?));
        let mut endpoint = None;
        for _ in 0..reader.compact_length()?.unwrap_or(0) {
            text(&mut reader)?;
            let host = text(&mut reader)?;
            let port = u16::from_be_bytes(reader.array()?);
            skip_tags(&mut reader)?;
            endpoint.get_or_insert(Endpoint { host, port });
        }
        reader.array::<4>()?;
        skip_tags(&mut reader)?;
        skip_tags(&mut reader)?;
        voters.push(Voter {
            key: ReplicaKey::new(id, directory),
            endpoint: endpoint.unwrap_or(Endpoint {
                host: String::new(),
                port: 0,
            }),
        });
    }
    skip_tags(&mut reader)?;
    Ok(VoterSet::new(voters))
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let length = reader.compact_length()?.unwrap_or(0);
    let text = std::str::from_utf8(reader.take(length)?).map_err(|_| DecodeError::Utf8)?;
    Ok(text.to_owned())
}

fn skip_tags(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    for _ in 0..reader.unsigned_varint()? {
        reader.unsigned_varint()?;
        let bytes = reader.unsigned_varint()?;
        reader.take(bytes as usize)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_are_the_drawn_ones() {
        // docs/FORMAT.md; a Kafka that takes the directory back reads them.
        let voters = VoterSet::parse("2@ab:9093").expect("voters");
        let voters = voters.with_directories(|_| Some(DirectoryId(Uuid::from_u128(5))));
        let mut expected = vec![0, 0, 2, 0, 0, 0, 2];
        expected.extend([0; 15]);
        expected.extend([5, 2, 11]);
        expected.extend(b"CONTROLLER");
        expected.extend([3, b'a', b'b', 0x23, 0x85, 0]);
        expected.extend([0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(&*encode(&voters), expected);
        assert_eq!(&*encode_version(1), [0, 0, 0, 1, 0]);
    }

    #[test]
    fn voters_come_back_as_they_were() {
        // The quorum would be another one after a restart.
        let mut voters = VoterSet::parse("1@a:9093,2@[::1]:9094,30@c.d:1").expect("voters");
        voters = voters.with_directories(|id| (id.0 == 2).then_some(DirectoryId(Uuid::from_u128(5))));
        assert_eq!(decode(&encode(&voters)), Ok(voters.clone()));
        let bytes = encode(&voters);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
