//! Partition directories that nobody owns, or somebody else: put aside, never deleted.

use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Suffix of a partition directory put aside, as Kafka's.
pub const STRAY_DIR_SUFFIX: &str = "-stray";
/// File systems take names of 255 bytes.
const NAME_BYTES_MAX: usize = 255;

/// A new name beside a partition's directory: `topic-partition.<id>-stray`, the front cut so that it fits.
pub fn stray_dir(partition: &Path) -> PathBuf {
    let name = partition
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let id = Uuid::from_u64_pair(reactor::random_u64(), reactor::random_u64());
    let suffix = format!(".{}{STRAY_DIR_SUFFIX}", id.simple());
    let room = name.len().min(NAME_BYTES_MAX - suffix.len());
    partition.with_file_name(format!("{}{suffix}", name.get(..room).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: a broker does not start because the name of what it puts aside is too long.
    #[test]
    fn names_of_strays_fit() {
        let dir = PathBuf::from("/data").join(format!("{}-7", "t".repeat(249)));
        let stray = stray_dir(&dir);
        let name = stray.file_name().unwrap().to_str().unwrap();
        assert!(
            name.len() <= NAME_BYTES_MAX && name.ends_with(STRAY_DIR_SUFFIX),
            "{name}"
        );
        assert_eq!(stray.parent(), dir.parent());
    }
}
