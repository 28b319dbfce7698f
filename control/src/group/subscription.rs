//! The one part of the consumer protocol a coordinator looks into: which topics a member subscribed to.

use std::collections::BTreeSet;

/// Adds the topics of one member's metadata to `topics`; false when the bytes are not a subscription.
///
/// Only the fields of version 0 are read, which every later version begins with, so that the coordinator does not
/// depend on which version clients speak: `int16 version, [string] topics, ...`.
pub(super) fn add_subscribed_topics(metadata: &[u8], topics: &mut BTreeSet<String>) -> bool {
    read(metadata, topics).is_some()
}

fn read(metadata: &[u8], topics: &mut BTreeSet<String>) -> Option<()> {
    let (version, mut rest) = metadata.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, tail) = rest.split_first_chunk::<4>()?;
    rest = tail;
    for _ in 0..usize::try_from(i32::from_be_bytes(*count)).ok()? {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (name, tail) = tail.split_at_checked(usize::try_from(i16::from_be_bytes(*length)).ok()?)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
        rest = tail;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Topics missed here would have their offsets expired under a living group. Bytes from Kafka 4.3.1.
    #[test]
    fn every_version_begins_with_the_topics() {
        let golden = include_str!("record/golden/kafka-4.3.1.txt");
        for version in 0..=3 {
            let name = format!("consumer_subscription_v{version} ");
            let hex = golden.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
                .collect();
            let mut topics = BTreeSet::new();
            assert!(add_subscribed_topics(&bytes, &mut topics));
            assert_eq!(topics, ["orders", "payments"].map(String::from).into());
        }
    }

    #[test]
    fn other_bytes_are_not_a_subscription() {
        for bytes in [
            &b""[..],
            b"\0\0",
            b"\xff\xff\0\0\0\0",
            b"\0\0\0\0\0\x02\0\x01a",
            b"\0\0\xff\xff\xff\xff",
        ] {
            assert!(!add_subscribed_topics(bytes, &mut BTreeSet::new()), "{bytes:?}");
        }
    }
}
