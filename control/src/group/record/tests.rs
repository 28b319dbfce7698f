use super::*;
use engine::types::{LeaderEpoch, Offset, Timestamp};
use uuid::Uuid;

/// Written by the generated record classes of Kafka 4.3.1: `name hex`, one a line. Goldens are added, not edited.
const GOLDEN: &str = include_str!("golden/kafka-4.3.1.txt");

fn golden(name: &str) -> Vec<u8> {
    let hex = GOLDEN
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .unwrap_or_else(|| panic!("no golden {name}"))
        .1;
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn committed(version: i16) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: Offset(123_456_789_012),
        leader_epoch: if version >= 3 {
            LeaderEpoch(5)
        } else {
            LeaderEpoch::NONE
        },
        metadata: "où".into(),
        commit_timestamp: Timestamp(1_700_000_000_123),
        expire_timestamp: (version == 1).then_some(Timestamp(1_700_000_099_999)),
        topic_id: None,
    }
}

fn generation(version: i16) -> GroupMetadataValue {
    let member = |id: &str, host: &str, sub: &'static [u8], assigned: &'static [u8]| MemberMetadata {
        member_id: id.into(),
        group_instance_id: None,
        client_id: format!("client-{}", &id[..1]),
        client_host: host.into(),
        rebalance_timeout: -1,
        session_timeout: 0,
        subscription: Bytes::from_static(sub),
        assignment: Bytes::from_static(assigned),
    };
    let mut a = member("a-1", "/10.0.0.1", &[0, 1, 2], &[3, 4]);
    let mut b = member("b-2", "/10.0.0.2", &[9], &[]);
    (a.session_timeout, b.session_timeout) = (45_000, 10_000);
    if version >= 1 {
        (a.rebalance_timeout, b.rebalance_timeout) = (300_000, 60_000);
    }
    b.group_instance_id = (version >= 3).then(|| "host-b".into());
    GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 3,
        protocol: Some("range".into()),
        leader: Some("a-1".into()),
        current_state_timestamp: (version >= 2).then_some(Timestamp(1_700_000_000_000)),
        members: vec![a, b],
    }
}

/// Every version Kafka ever wrote must be read, or an adopted data directory loses its groups.
#[test]
fn values_of_every_version_are_read_and_written_as_kafka_does() {
    for version in 0..=4 {
        let bytes = golden(&format!("offset_commit_value_v{version}"));
        assert_eq!(
            OffsetCommitValue::decode(&bytes),
            Ok(committed(version)),
            "v{version}"
        );
        assert_eq!(committed(version).encode(version), bytes, "v{version}");

        let bytes = golden(&format!("group_metadata_value_v{version}"));
        assert_eq!(
            GroupMetadataValue::decode(&bytes),
            Ok(generation(version)),
            "v{version}"
        );
        assert_eq!(generation(version).encode(version), bytes, "v{version}");

        let bytes = golden(&format!("group_metadata_value_empty_v{version}"));
        let empty = GroupMetadataValue::decode(&bytes).unwrap();
        assert_eq!(
            (
                empty.protocol.as_ref(),
                empty.leader.as_ref(),
                empty.members.len()
            ),
            (None, None, 0)
        );
        assert_eq!(empty.encode(version), bytes, "v{version}");
    }
    let bytes = golden("offset_commit_value_v4_topic_id");
    let value = OffsetCommitValue::decode(&bytes).unwrap();
    assert_eq!(
        value.topic_id,
        Some(Uuid::from_u128(0x0102030405060708090a0b0c0d0e0f10))
    );
    assert_eq!(value.encode(4), bytes);
}

/// Kafka must be able to read what we wrote after a move back: keys and chosen versions are its own.
#[test]
fn records_are_written_in_the_versions_kafka_writes() {
    let key = OffsetCommitKey {
        group: "billing".into(),
        topic: "orders".into(),
        partition: 7,
    };
    let record = Record::OffsetCommit {
        key: key.clone(),
        value: Some(committed(4)),
    };
    let encoded = record.encode().unwrap();
    assert_eq!(encoded.key, golden("offset_commit_key_v1"));
    assert_eq!(
        encoded.value.as_deref(),
        Some(&golden("offset_commit_value_v4")[..])
    );
    let expiring = Record::OffsetCommit {
        key: key.clone(),
        value: Some(committed(1)),
    }
    .encode()
    .unwrap();
    assert_eq!(
        expiring.value.as_deref(),
        Some(&golden("offset_commit_value_v1")[..])
    );

    let group = Record::GroupMetadata {
        group: "billing".into(),
        value: Some(generation(3)),
    };
    let encoded = group.encode().unwrap();
    assert_eq!(encoded.key, golden("group_metadata_key_v2"));
    assert_eq!(
        encoded.value.as_deref(),
        Some(&golden("group_metadata_value_v3")[..])
    );
    assert_eq!(Record::decode(&encoded.key, encoded.value.as_deref()), Ok(group));

    // the key of Kafka 0.8 means the same
    assert_eq!(
        Record::decode(&golden("offset_commit_key_v0"), None),
        Ok(Record::OffsetCommit { key, value: None })
    );
}

/// A record of a newer group protocol must not stop the partition from loading.
#[test]
fn unknown_kinds_are_told_apart() {
    assert_eq!(
        Record::decode(&golden("consumer_group_metadata_key_v3"), Some(&[0, 0, 1])),
        Ok(Record::Unknown { kind: 3 })
    );
    assert_eq!(Record::Unknown { kind: 3 }.encode(), None);
}

/// Damaged bytes end in an error that names the field, never in a panic or a huge allocation.
#[test]
fn damage_is_an_error() {
    for name in [
        "offset_commit_value_v3",
        "offset_commit_value_v4_topic_id",
        "group_metadata_value_v4",
    ] {
        let bytes = golden(name);
        for cut in 0..bytes.len() {
            let key = if name.starts_with("offset") {
                "offset_commit_key_v1"
            } else {
                "group_metadata_key_v2"
            };
            assert!(
                Record::decode(&golden(key), Some(&bytes[..cut])).is_err(),
                "{name} cut at {cut}"
            );
        }
    }
    let mut claims = golden("group_metadata_value_empty_v3");
    let count_at = claims.len() - 4;
    claims[count_at..].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(matches!(
        GroupMetadataValue::decode(&claims),
        Err(RecordError::TooMany { .. })
    ));
    assert!(matches!(
        Record::decode(&[], None),
        Err(RecordError::Short { .. })
    ));
    assert!(matches!(
        OffsetCommitValue::decode(&[0, 9]),
        Err(RecordError::Version {
            record: "OffsetCommitValue",
            version: 9
        })
    ));
}

/// A client id too long for the record's length field must still give a record that can be read back.
#[test]
fn overlong_strings_are_cut_at_a_character() {
    let mut value = generation(3);
    value.members[0].client_id = "é".repeat(20_000);
    let read = GroupMetadataValue::decode(&value.encode(3)).unwrap();
    assert_eq!(read.members[0].client_id, "é".repeat(16_383));
    assert_eq!(read.members[1], value.members[1]);
}
