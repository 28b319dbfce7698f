//! The small text files: offset checkpoints, `partition.metadata`, `meta.properties`, and the names of files and directories.
//! Parsed or refused; what is parsed is written as it was meant.

#![no_main]

use engine::directory::{DirName, MetaProperties, OffsetCheckpoint};
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
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
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
