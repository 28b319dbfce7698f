//! The golden files, and the guard against editing them.

use std::path::{Path, PathBuf};

use engine::batch::crc::crc32c;

/// CRC-32C of every golden file.
const CHECKSUMS: &[(&str, u32)] = &[
    ("directory-1/.kafka_cleanshutdown", 0x3c7d_5ff4),
    ("directory-1/cleaner-offset-checkpoint", 0x79c4_52e4),
    ("directory-1/log-start-offset-checkpoint", 0xddc7_16b5),
    ("directory-1/meta.properties", 0x1f8c_6dc1),
    ("directory-1/recovery-point-offset-checkpoint", 0x7012_437d),
    ("directory-1/replication-offset-checkpoint", 0x3b94_4a7a),
    ("directory-1/ringlog-checkpoint-topic-ids", 0x4dde_fe30),
    ("directory-1/ringlog-store", 0x36e1_642e),
    ("journal-1/00000007.journal", 0xe874_30bc),
    ("metadata-1/metadata.store", 0x4a0c_50db),
    ("metadata-1/quorum-state", 0x5a7d_dc8d),
    ("partition-1/orders-0/00000000000000000000.index", 0x73db_2996),
    ("partition-1/orders-0/00000000000000000000.log", 0x285a_4c55),
    ("partition-1/orders-0/00000000000000000000.timeindex", 0xec2a_0267),
    ("partition-1/orders-0/00000000000000000020.index", 0x0000_0000),
    ("partition-1/orders-0/00000000000000000020.log", 0x1b71_105d),
    ("partition-1/orders-0/00000000000000000020.snapshot", 0x82df_97f8),
    ("partition-1/orders-0/00000000000000000020.timeindex", 0x8a11_8015),
    ("partition-1/orders-0/00000000000000000021.snapshot", 0x2893_d0e4),
    ("partition-1/orders-0/leader-epoch-checkpoint", 0x9f4c_e60e),
    ("partition-1/orders-0/partition.metadata", 0x849c_5d9d),
    ("partition-2/orders-0/00000000000000000000.index", 0xe837_49c4),
    ("partition-2/orders-0/00000000000000000000.log", 0x6414_94d7),
    (
        "partition-2/orders-0/00000000000000000000.quarantine",
        0x4593_b29f,
    ),
    ("partition-2/orders-0/00000000000000000000.timeindex", 0x8b60_73da),
    ("partition-2/orders-0/00000000000000000000.txnindex", 0xadc4_ef8a),
    ("partition-2/orders-0/00000000000000000010.index", 0x0000_0000),
    ("partition-2/orders-0/00000000000000000010.log", 0xfd79_3642),
    ("partition-2/orders-0/00000000000000000010.snapshot", 0x64c8_48bc),
    ("partition-2/orders-0/00000000000000000010.timeindex", 0x9a49_6710),
    ("partition-2/orders-0/00000000000000000012.snapshot", 0x64c8_48bc),
    ("partition-2/orders-0/leader-epoch-checkpoint", 0x7051_871e),
    ("partition-2/orders-0/partition.metadata", 0x849c_5d9d),
];

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/data")
        .join(name)
}

/// The golden file's bytes; `today` is what the code of today writes.
pub fn compare(name: &str, today: &[u8]) {
    let path = path(name);
    if !path.exists() {
        assert!(
            std::env::var_os("RINGLOG_ADD_GOLDENS").is_some(),
            "{} is missing",
            path.display()
        );
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(&path, today).expect("written");
        println!("(\"{name}\", {:#010x}),", crc32c(today));
    }
    let golden = std::fs::read(&path).expect("readable");
    let differs = golden.iter().zip(today).position(|(a, b)| a != b);
    assert!(
        golden == today,
        "{name}: today's code writes other bytes, first at {differs:?}, {} instead of {} bytes",
        today.len(),
        golden.len()
    );
}

#[test]
fn no_golden_was_edited_or_forgotten() {
    let root = path("");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).expect("below").to_string_lossy();
            found.push((
                name.into_owned(),
                crc32c(&std::fs::read(&path).expect("readable")),
            ));
        }
    }
    found.sort();
    let found: Vec<_> = found.iter().map(|(name, crc)| (name.as_str(), *crc)).collect();
    assert_eq!(found, CHECKSUMS);
}
