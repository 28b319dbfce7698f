//! The ids and epochs of the cluster, each its own type, and Kafka's way of writing a UUID.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub $int);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Generation of the controller, counted up by each new one: the leader epoch of the batches it writes.
    ControllerEpoch(i32)
}
number! {
    /// A broker's `node.id`.
    BrokerId(i32)
}
number! {
    /// Which registration of a broker: the offset of its record in the metadata log, so it only grows (KIP-380).
    BrokerEpoch(i64)
}
number! {
    /// Number of a partition within its topic, from 0.
    PartitionId(i32)
}
number! {
    /// Counts every change of a partition's state; compared and set by AlterPartition (KIP-497).
    PartitionEpoch(i32)
}

impl PartitionId {
    /// Position in a list of all partitions of the topic; `None` for the negative numbers the wire allows.
    pub fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

/// Identity of one log directory (KIP-858). The first hundred numbers mean something else than a directory.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct DirectoryId(pub Uuid);

impl DirectoryId {
    /// Chosen before directories had ids.
    pub const MIGRATING: DirectoryId = DirectoryId(Uuid::from_u128(0));
    /// Not chosen yet: the broker decides.
    pub const UNASSIGNED: DirectoryId = DirectoryId(Uuid::from_u128(1));
    /// In some directory that went offline.
    pub const LOST: DirectoryId = DirectoryId(Uuid::from_u128(2));

    /// Whether this is one of the first hundred ids, which no directory may have.
    pub fn is_reserved(self) -> bool {
        self.0.as_u128() < 100
    }
}

/// A UUID as Kafka writes it: 22 characters of URL-safe base64 without padding.
///
/// ```
/// use control::record::UuidText;
/// let id = UuidText::parse("4L6g3nShT-eMCtK--X86sw").unwrap();
/// assert_eq!(UuidText(id).to_string(), "4L6g3nShT-eMCtK--X86sw");
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct UuidText(pub Uuid);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// 128 bits at 6 bits a character, rounded up.
const TEXT_CHARS: usize = 22;

impl UuidText {
    /// Reads the 22 characters; `None` for anything else, also when the four unused bits are not zero.
    pub fn parse(text: &str) -> Option<Uuid> {
        if text.len() != TEXT_CHARS {
            return None;
        }
        let mut bits: u128 = 0;
        for (position, character) in text.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|letter| *letter == character)? as u128;
            if position + 1 < TEXT_CHARS {
                bits = bits << 6 | digit;
            } else if digit & 0b1111 == 0 {
                bits = bits << 2 | digit >> 4;
            } else {
                return None;
            }
        }
        Some(Uuid::from_u128(bits))
    }

    /// A new id, of a cluster, topic, directory or process, that Kafka could have given out too.
    pub fn new_id(random: &mut dyn FnMut() -> u64) -> Uuid {
        loop {
            let bits = u128::from(random()) << 64 | u128::from(random());
            if let Some(id) = UuidText::from_random(bits) {
                return id;
            }
        }
    }

    /// A version 4 UUID out of 128 random bits; `None` for the ones Kafka never gives out, because their text starts
    /// with a dash and reads as an option on a command line, or because they are reserved.
    pub fn from_random(bits: u128) -> Option<Uuid> {
        let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        let reserved = DirectoryId(id).is_reserved() || UuidText(id).to_string().starts_with('-');
        (!reserved).then_some(id)
    }
}

impl fmt::Display for UuidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.as_u128();
        let mut text = [0u8; TEXT_CHARS];
        for (position, character) in text.iter_mut().enumerate() {
            let shift = 122 - 6 * position as i32;
            let digit = if shift >= 0 { bits >> shift } else { bits << -shift };
            *character = ALPHABET[(digit & 63) as usize];
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_read_and_print_as_kafka_does() {
        // A cluster id printed otherwise would not match the one kafka-storage wrote into meta.properties.
        assert_eq!(UuidText(Uuid::nil()).to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(UuidText(Uuid::max()).to_string(), "_____________________w");
        assert_eq!(
            UuidText(Uuid::from_u128(0x8000_0000_0000_0000_0000_0000_0000_0001)).to_string(),
            "gAAAAAAAAAAAAAAAAAAAAQ"
        );
        for bits in [
            0,
            1,
            7 << 60,
            u128::MAX,
            0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        ] {
            let id = Uuid::from_u128(bits);
            assert_eq!(UuidText::parse(&UuidText(id).to_string()), Some(id));
        }
        for bad in [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAA+",
            "AAAAAAAAAAAAAAAAAAAAAB",
        ] {
            assert_eq!(UuidText::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_random_uuid_never_looks_like_an_option() {
        // `--topic-id -abc` could not be typed.
        assert_eq!(UuidText::from_random(0b111110 << 122), None);
        let id = UuidText::from_random(0x5555 << 100).expect("an ordinary id");
        assert_eq!(id.get_version_num(), 4);
    }
}
