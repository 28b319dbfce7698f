//! Removing the files of segments: renamed at once, unlinked after a delay, so that a reader who still opens files by
//! name (a backup, a tool) finds them for a while. Our own readers hold the file itself.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file_name::{FileKind, FileName, Suffix};
use super::segment::Segment;

/// Renames the files of a segment to `.deleted` and tells which there are now. Whatever is not there is no matter.
pub(crate) fn discard(dir: &Path, segment: &Segment) -> io::Result<Vec<PathBuf>> {
    let mut discarded = Vec::new();
    for kind in FileKind::OF_SEGMENT {
        let path = segment.path(dir, kind);
        let gone = FileName::new(segment.base_offset, kind, Suffix::Deleted).in_dir(dir);
        match reactor::disk::rename(&path, &gone) {
            Ok(()) => discarded.push(gone),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(discarded)
}

/// Unlinks files after a delay, on a helper thread: unlinking a GiB takes milliseconds. What a stop prevents the next
/// start does.
pub(crate) fn unlink_later(paths: Vec<PathBuf>, delay_ms: i64) {
    if paths.is_empty() {
        return;
    }
    let delay = Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0));
    reactor::spawn(async move {
        reactor::sleep(delay).await;
        reactor::background(move || unlink(&paths)).await;
    })
    .detach();
}

fn unlink(paths: &[PathBuf]) {
    for path in paths {
        match reactor::disk::remove_file(path) {
            Ok(()) => {}
            // the partition was deleted meanwhile
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "deleted segment file stays"),
        }
    }
}
