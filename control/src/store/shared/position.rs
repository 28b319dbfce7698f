//! How far this broker has followed the log, in a small file of its data directory: so that a store that was restored from an old backup, or
//! made anew, is told from the one that this broker's data fits.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::types::Offset;
use reactor::disk;
use uuid::Uuid;

use super::log::Shared;
use super::value::ValueError;
use crate::store::error::OpenError;

/// In the first log directory.
const FILE: &str = "metadata.store";
const LAYOUT: &str = "ringlog 1";
/// As much of another first line as an error shows.
const LAYOUT_CHARS_MAX: usize = 40;
/// The file may lag behind so much: what it says is compared with less, then.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its name: etcd, zookeeper.
    pub store: String,
    pub log_id: Uuid,
    pub end_offset: Offset,
    /// The attempt that began the epoch of the record before `end_offset`, if known: numbers of epochs come again after a restoration.
    pub attempt: Option<Uuid>,
}

impl Position {
    /// The file's content.
    pub fn encode(&self) -> String {
        let attempt = self.attempt.unwrap_or_default();
        format!(
            "{LAYOUT}\nstore={}\nlog={}\nend={}\nattempt={attempt}\n",
            self.store, self.log_id, self.end_offset.0
        )
    }

    pub fn decode(bytes: &[u8]) -> Result<Position, ValueError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ValueError::NotText)?;
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if first != LAYOUT {
            return Err(ValueError::Layout(first.chars().take(LAYOUT_CHARS_MAX).collect()));
        }
        let mut field = |name: &'static str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.strip_prefix('='));
            value.map(str::to_owned).ok_or(ValueError::Field(name))
        };
        let id = |name, text: String| Uuid::parse_str(&text).map_err(|_| ValueError::Field(name));
        Ok(Position {
            store: field("store")?,
            log_id: id("log", field("log")?)?,
            end_offset: Offset(field("end")?.parse().map_err(|_| ValueError::Field("end"))?),
            attempt: Some(id("attempt", field("attempt")?)?).filter(|attempt| !attempt.is_nil()),
        })
    }

    pub(super) fn load(dir: &Path) -> Result<Option<Position>, OpenError> {
        let path = dir.join(FILE);
        let bytes = match disk::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(OpenError::Io {
                    operation: "read",
                    path,
                    source,
                });
            }
        };
        Position::decode(&bytes)
            .map(Some)
            .map_err(|what| OpenError::File { path, what })
    }

    fn of(shared: &Shared) -> Position {
        let state = shared.state.borrow();
        let epoch = state.epochs.at(Offset(state.end_offset.0 - 1));
        // why looked at: records may be read before the epoch they are of is heard of; with the epoch before it noted in its place,
        // the next start would take the store for another one
        let last = state.cached.back().map(|(batch, _)| batch.epoch);
        let epoch = epoch.filter(|epoch| last.is_none_or(|last| last == epoch.epoch));
        Position {
            store: shared.store.name().to_owned(),
            log_id: state.log_id,
            end_offset: state.end_offset,
            attempt: epoch.map(|epoch| epoch.attempt),
        }
    }
}

/// Which store a data directory's metadata is in, if it is one that members share.
pub(in crate::store) fn recorded_store(dir: &Path) -> Result<Option<String>, OpenError> {
    Ok(Position::load(dir)?.map(|position| position.store))
}

/// The file, and who may write it: a thread in the background does now and then, and nobody after the last one.
#[derive(Clone)]
pub(super) struct PositionFile {
    path: PathBuf,
    is_closed: Arc<Mutex<bool>>,
}

impl PositionFile {
    pub(super) fn new(dir: &Path) -> PositionFile {
        PositionFile {
            path: dir.join(FILE),
            is_closed: Arc::default(),
        }
    }

    /// Writes the file as the last thing that a member does.
    pub(super) fn write_last(&self, shared: &Shared) {
        self.write(&Position::of(shared), true);
    }

    /// Writes the file now and then.
    pub(super) async fn run(self, shared: Rc<Shared>) {
        let mut written = None;
        loop {
            let position = Position::of(&shared);
            if written.as_ref() != Some(&position) {
                let (file, next) = (self.clone(), position.clone());
                let is_written = reactor::background(move || file.write(&next, false)).await;
                written = is_written.then_some(position);
            }
            reactor::sleep(WRITE_INTERVAL).await;
        }
    }

    /// What comes after the last is late: the task that asked for it has ended meanwhile.
    fn write(&self, position: &Position, is_last: bool) -> bool {
        let mut is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_closed {
            return true;
        }
        *is_closed = is_last;
        let written = disk::write_atomic(&self.path, position.encode().as_bytes());
        if let Err(error) = &written {
            tracing::warn!(path = %self.path.display(), %error, "how far the metadata was followed is not noted");
        }
        written.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_under_way_does_not_overtake_the_last_one() {
        // It would bring back what a start has read and gone on from, or tear the file that both write.
        let dir = tempfile::tempdir().expect("dir");
        let at = |end: i64| Position {
            store: "etcd".to_owned(),
            log_id: Uuid::from_u128(9),
            end_offset: Offset(end),
            attempt: None,
        };
        let file = PositionFile::new(dir.path());
        let late = file.clone();
        assert!(file.write(&at(1), false) && file.write(&at(2), true) && late.write(&at(1), false));
        assert_eq!(Position::load(dir.path()).expect("read"), Some(at(2)));
    }

    #[test]
    fn a_position_is_read_as_written_and_a_damaged_one_stops_the_start() {
        // Taken for "none", it would let the broker follow a store that lost its topics.
        let position = Position {
            store: "etcd".to_owned(),
            log_id: Uuid::from_u128(9),
            end_offset: Offset(77),
            attempt: Some(Uuid::from_u128(3)),
        };
        let text = position.encode();
        assert_eq!(Position::decode(text.as_bytes()), Ok(position));
        for cut in 0..text.len() - 3 {
            assert!(Position::decode(&text.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_file_is_as_ever_and_one_of_a_later_version_is_named() {
        let golden = include_bytes!("../../../../engine/tests/golden/data/metadata-1/metadata.store");
        let position = Position {
            store: "etcd".to_owned(),
            log_id: Uuid::from_u128(0xf12f_d777_8ac3_433a_b86c_1005_7f25_7da4),
            end_offset: Offset(1500),
            attempt: Some(Uuid::from_u128(0x1d37_4f9c_2e11_4a9c_8a50_61d4_2a1b_0c55)),
        };
        assert_eq!(position.encode(), String::from_utf8_lossy(golden));
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join(FILE);
        std::fs::write(&path, golden).expect("writes");
        assert_eq!(Position::load(dir.path()).expect("reads"), Some(position));
        std::fs::write(&path, "ringlog 2\nmore\n").expect("writes");
        let error = Position::load(dir.path()).expect_err("a later version");
        assert_eq!(
            error.to_string(),
            format!(
                "{}: it begins with \"ringlog 2\": another program's, or of a newer version",
                path.display()
            )
        );
    }
}
