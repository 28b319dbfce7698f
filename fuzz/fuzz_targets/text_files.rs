//! The small text files: offset checkpoints and whose they are, `partition.metadata`, `meta.properties`, `quorum-state`,
//! `metadata.store`, and the names of files and directories.
//! Parsed or refused; what is parsed is written as it was meant.

#![no_main]

use control::store::kraft::{encode_election_state, parse_election_state};
use control::store::shared::Position;
use engine::directory::{DirName, MetaProperties, OffsetCheckpoint, encode_topic_ids, parse_topic_ids};
use engine::log::file_name::FileName;
use engine::log::partition_metadata;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(checkpoint) = OffsetCheckpoint::parse(bytes) {
        assert_eq!(OffsetCheckpoint::parse(&checkpoint.encode()), Ok(checkpoint));
    }
    if let Ok(id) = partition_metadata::parse(bytes) {
        let again = partition_metadata::encode(id);
        assert_eq!(partition_metadata::parse(again.as_bytes()), Ok(id));
    }
    if let Ok(properties) = MetaProperties::parse(bytes) {
        let again =
            MetaProperties::parse(properties.encode().as_bytes()).expect("what was written can be read");
        assert_eq!(
            (again.node_id, again.directory_id),
            (properties.node_id, properties.directory_id)
        );
    }
    let ids: Vec<_> = parse_topic_ids(bytes).into_iter().flatten().collect();
    let again = encode_topic_ids(ids.iter().map(|(topic, id)| (topic.as_str(), *id)));
    let again: Result<Vec<_>, _> = parse_topic_ids(&again).into_iter().collect();
    assert_eq!(again, Ok(ids));
    if let Ok(state) = parse_election_state(bytes) {
        let again = encode_election_state(&state).expect("in memory");
        assert_eq!(parse_election_state(&again).ok(), Some(state));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(position) = Position::decode(bytes) {
        assert_eq!(Position::decode(position.encode().as_bytes()).ok(), Some(position));
    }
    if let Some(name) = FileName::parse(text) {
        assert_eq!(name.to_string(), text);
    }
    if let DirName::Partition(partition) = DirName::parse(text) {
        assert_eq!(partition.to_string(), text);
    }
    if let Some(id) = partition_metadata::from_base64(text) {
        assert_eq!(partition_metadata::to_base64(id), text);
    }
});
