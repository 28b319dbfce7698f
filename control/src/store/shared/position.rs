//! How far this broker has followed the log, in a small file of its data directory: so that a store that was restored from an old backup, or
//! made anew, is told from the one that this broker's data fits.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
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

    pub fn decode(text: &str) -> Option<Position> {
        let mut lines = text.lines();
        if lines.next()? != LAYOUT {
            return None;
        }
        let mut field = |name: &str| {
            lines
                .next()?
                .strip_prefix(name)?
                .strip_prefix('=')
                .map(str::to_owned)
        };
        Some(Position {
            store: field("store")?,
            log_id: Uuid::parse_str(&field("log")?).ok()?,
            end_offset: Offset(field("end")?.parse().ok()?),
            attempt: Some(Uuid::parse_str(&field("attempt")?).ok()?).filter(|attempt| !attempt.is_nil()),
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
        let position = std::str::from_utf8(&bytes).ok().and_then(Position::decode);
        position.map(Some).ok_or_else(|| OpenError::Value {
            key: path.display().to_string(),
            what: ValueError::Field("a position"),
        })
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

/// Writes the file as the last thing that a member does.
pub(super) fn write_last(shared: &Shared, dir: &Path) {
    let path = dir.join(FILE);
    if let Err(error) = disk::write_atomic(&path, Position::of(shared).encode().as_bytes()) {
        tracing::warn!(path = %path.display(), %error, "how far the metadata was followed is not noted");
    }
}

/// Writes the file now and then.
pub(super) async fn run(shared: Rc<Shared>, dir: PathBuf) {
    let path = dir.join(FILE);
    let mut written = None;
    loop {
        let position = Position::of(&shared);
        if written.as_ref() != Some(&position) {
            let (target, bytes) = (path.clone(), position.encode().into_bytes());
            let done = reactor::background(move || disk::write_atomic(&target, &bytes)).await;
            match done {
                Ok(()) => written = Some(position),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "how far the metadata was followed is not noted")
                }
            }
        }
        reactor::sleep(WRITE_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(Position::decode(&text), Some(position));
        for cut in 0..text.len() - 3 {
            assert_eq!(Position::decode(&text[..cut]), None, "cut at {cut}");
        }
    }
}
