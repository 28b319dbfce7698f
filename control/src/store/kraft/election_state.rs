//! `quorum-state`: the election state in Kafka's file, version 1 (KIP-853), which its own KRaft reads too.

use std::io;
use std::path::{Path, PathBuf};

use reactor::disk;
use serde::{Deserialize, Serialize};

use crate::quorum::{ElectionState, ReplicaKey};
use crate::record::{BrokerId, ControllerEpoch, DirectoryId, UuidText};
use crate::store::error::OpenError;

const FILE: &str = "quorum-state";
/// Far more than it has.
const FILE_BYTES_MAX: usize = 64 << 10;
/// What is written: with the voted directory's id. Version 0 is the one before KIP-853.
const VERSION: i16 = 1;

/// What every version of the file has; the rest is for the version to say.
#[derive(Deserialize)]
struct Versioned {
    #[serde(rename = "data_version")]
    data_version: i16,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuorumStateData {
    leader_id: i32,
    leader_epoch: i32,
    voted_id: i32,
    /// Version 0 has none.
    voted_directory_id: Option<String>,
    #[serde(rename = "data_version")]
    data_version: i16,
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// The state a crash left; that of a replica that never took part if there is no file.
pub(super) fn load(dir: &Path) -> Result<ElectionState, OpenError> {
    let path = path(dir);
    let io = |source| OpenError::Io {
        operation: "read",
        path: path.clone(),
        source,
    };
    let bytes = match disk::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ElectionState::default()),
        Err(error) => return Err(io(error)),
    };
    parse(&bytes).map_err(|error| match error {
        StateError::Version(found) => OpenError::Version {
            path: path.clone(),
            expected: VERSION,
            found,
        },
        StateError::Damaged(what) => io(io::Error::new(io::ErrorKind::InvalidData, what)),
    })
}

/// What is wrong with the file.
#[derive(Debug)]
pub enum StateError {
    /// A version that is not known, and not half understood either.
    Version(i16),
    Damaged(String),
}

impl From<String> for StateError {
    fn from(what: String) -> StateError {
        StateError::Damaged(what)
    }
}

/// The file's content.
pub fn parse(bytes: &[u8]) -> Result<ElectionState, StateError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err("too long".to_owned().into());
    }
    let found: Versioned = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if !(0..=VERSION).contains(&found.data_version) {
        return Err(StateError::Version(found.data_version));
    }
    let data: QuorumStateData = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let directory = match &data.voted_directory_id {
        Some(text) => UuidText::parse(text).ok_or_else(|| format!("votedDirectoryId {text}"))?,
        None => DirectoryId::MIGRATING.0,
    };
    let node = |id: i32| (id >= 0).then_some(BrokerId(id));
    Ok(ElectionState {
        epoch: ControllerEpoch(data.leader_epoch.max(0)),
        leader: node(data.leader_id),
        voted: node(data.voted_id).map(|id| ReplicaKey::new(id, DirectoryId(directory))),
    })
}

/// Durable when it returns. Blocks: an election costs two or three of these, and nothing may be answered before.
pub(super) fn store(dir: &Path, state: &ElectionState) -> io::Result<()> {
    disk::write_atomic(&path(dir), &encode(state)?)
}

pub fn encode(state: &ElectionState) -> io::Result<Vec<u8>> {
    let voted = state.voted.unwrap_or(ReplicaKey::of(BrokerId(-1)));
    let data = QuorumStateData {
        leader_id: state.leader.map_or(-1, |id| id.0),
        leader_epoch: state.epoch.0,
        voted_id: voted.id.0,
        voted_directory_id: Some(UuidText(voted.directory.0).to_string()),
        data_version: VERSION,
    };
    Ok(serde_json::to_vec(&data)?)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_state_comes_back_as_it_was() {
        // A vote that is forgotten is given twice.
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(load(dir.path()).expect("nothing"), ElectionState::default());
        let voted = ReplicaKey::new(BrokerId(2), DirectoryId(Uuid::from_u128(77)));
        for state in [
            ElectionState {
                epoch: ControllerEpoch(7),
                leader: None,
                voted: Some(voted),
            },
            ElectionState {
                epoch: ControllerEpoch(8),
                leader: Some(BrokerId(3)),
                voted: None,
            },
        ] {
            store(dir.path(), &state).expect("writes");
            assert_eq!(load(dir.path()).expect("reads"), state);
        }
    }

    #[test]
    fn the_file_is_as_ever() {
        let golden = include_bytes!("../../../../engine/tests/golden/data/metadata-1/quorum-state");
        let state = ElectionState {
            epoch: ControllerEpoch(7),
            leader: None,
            voted: Some(ReplicaKey::new(
                BrokerId(2),
                DirectoryId(Uuid::from_u128(0xf12f_d777_8ac3_433a_b86c_1005_7f25_7da4)),
            )),
        };
        let dir = tempfile::tempdir().expect("dir");
        store(dir.path(), &state).expect("writes");
        let today = std::fs::read(path(dir.path())).expect("reads");
        assert_eq!(String::from_utf8_lossy(&today), String::from_utf8_lossy(golden));
        std::fs::write(path(dir.path()), golden).expect("writes");
        assert_eq!(load(dir.path()).expect("reads"), state);
    }

    #[test]
    fn a_file_of_another_version_is_named_and_refused() {
        // Read as version 1, a later one could hide the vote, which is then given twice in one epoch.
        let dir = tempfile::tempdir().expect("dir");
        for version in [2, -1] {
            let text = format!(r#"{{"leaderId":{{"id":1}},"votes":[7],"data_version":{version}}}"#);
            std::fs::write(path(dir.path()), &text).expect("writes");
            let error = load(dir.path()).expect_err("another version");
            assert!(
                matches!(&error, OpenError::Version { path, expected: 1, found } if path.ends_with(FILE) && *found == version),
                "{error:?}"
            );
            let shown = path(dir.path()).display().to_string();
            assert_eq!(
                error.to_string(),
                format!("{shown}: version {version}, expected at most 1")
            );
            assert_eq!(
                std::fs::read(path(dir.path())).expect("reads"),
                text.as_bytes(),
                "not written over"
            );
        }
    }

    #[test]
    fn kafkas_files_are_read() {
        let dir = tempfile::tempdir().expect("dir");
        let texts = [
            r#"{"clusterId":"","leaderId":1,"leaderEpoch":4,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}"#,
            r#"{"leaderId":1,"leaderEpoch":4,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#,
        ];
        for text in texts {
            std::fs::write(path(dir.path()), text).expect("writes");
            let state = load(dir.path()).expect("reads");
            assert_eq!(
                (state.epoch, state.leader),
                (ControllerEpoch(4), Some(BrokerId(1)))
            );
            assert_eq!(state.voted, None);
        }
        std::fs::write(path(dir.path()), "{").expect("writes");
        assert!(load(dir.path()).is_err());
    }
}
