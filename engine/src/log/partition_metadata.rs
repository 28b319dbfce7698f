//! `partition.metadata`: which topic, by id, a partition directory belongs to.
//!
//! ```text
//! version: 0
//! topic_id: 8S_Xd4rDQzq4bBAFfyV9pA
//! ```
//! The id tells a topic from a later one of the same name, whose records must never be mixed.

use thiserror::Error;
use uuid::Uuid;

/// Why bytes are not a partition metadata file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PartitionMetadataError {
    #[error("no line `{0}: ...`")]
    Missing(&'static str),
    #[error("version {0:?}, expected 0")]
    Version(String),
    #[error("topic id {0:?} is not a base64 uuid")]
    TopicId(String),
}

pub fn encode(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {}", to_base64(topic_id))
}

pub fn parse(bytes: &[u8]) -> Result<Uuid, PartitionMetadataError> {
    let text = String::from_utf8_lossy(bytes);
    let field = |name: &'static str| {
        text.lines()
            .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))
            .map(|(_, value)| value.trim().to_owned())
            .ok_or(PartitionMetadataError::Missing(name))
    };
    let version = field("version")?;
    if version != "0" {
        return Err(PartitionMetadataError::Version(version));
    }
    let topic_id = field("topic_id")?;
    from_base64(&topic_id).ok_or(PartitionMetadataError::TopicId(topic_id))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A uuid as Kafka writes it: URL-safe base64 without padding, 22 characters.
pub fn to_base64(id: Uuid) -> String {
    // 128 bits and four zero bits make 22 groups of six, from the most significant on.
    let bits = id.as_u128();
    (0..22)
        .map(|group| {
            let six = if group == 21 {
                (bits << 4) & 63
            } else {
                (bits >> (122 - group * 6)) & 63
            };
            char::from(ALPHABET[six as usize])
        })
        .collect()
}

/// The inverse of [`to_base64`]; `None` for anything else.
pub fn from_base64(text: &str) -> Option<Uuid> {
    if text.len() != 22 {
        return None;
    }
    let mut bits: u128 = 0;
    for (group, byte) in text.bytes().enumerate() {
        let six = ALPHABET.iter().position(|letter| *letter == byte)? as u128;
        if group < 21 {
            bits = bits << 6 | six;
        } else if six & 15 == 0 {
            bits = bits << 2 | six >> 4;
        } else {
            return None;
        }
    }
    Some(Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_kafka_writes_them() {
        // A topic id read back differently would make the broker take the partition for a stray and delete it.
        let one = Uuid::from_u128(1);
        assert_eq!(to_base64(one), "AAAAAAAAAAAAAAAAAAAAAQ");
        for id in [
            Uuid::nil(),
            one,
            Uuid::max(),
            Uuid::from_u128(0xf12f_d777_8ac3_433a_b86c_1005_7f25_7da4),
        ] {
            assert_eq!(from_base64(&to_base64(id)), Some(id));
            assert_eq!(parse(encode(id).as_bytes()), Ok(id));
        }
        assert_eq!(
            to_base64(Uuid::from_u128(0xf12f_d777_8ac3_433a_b86c_1005_7f25_7da4)),
            "8S_Xd4rDQzq4bBAFfyV9pA"
        );
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(
            parse(b"version: 0\n"),
            Err(PartitionMetadataError::Missing("topic_id"))
        );
        assert!(matches!(
            parse(b"version: 1\ntopic_id: x"),
            Err(PartitionMetadataError::Version(_))
        ));
        assert!(matches!(
            parse(b"version: 0\ntopic_id: x"),
            Err(PartitionMetadataError::TopicId(_))
        ));
        assert_eq!(from_base64("AAAAAAAAAAAAAAAAAAAAA_"), None);
    }
}
