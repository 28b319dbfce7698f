//! Control records: what brokers write into a log for brokers and consumers to act upon, never shown to an application.

use super::error::BatchError;

/// The kinds of control records. Key of a control record: `version i16` (0), `type i16`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ControlRecordType {
    /// End of a transaction that did not happen.
    Abort,
    /// End of a transaction that did.
    Commit,
    LeaderChange,
    SnapshotHeader,
    SnapshotFooter,
    KraftVersion,
    KraftVoters,
    /// One this version does not know; to be skipped.
    Unknown(i16),
}

impl ControlRecordType {
    pub fn from_id(id: i16) -> Self {
        match id {
            0 => ControlRecordType::Abort,
            1 => ControlRecordType::Commit,
            2 => ControlRecordType::LeaderChange,
            3 => ControlRecordType::SnapshotHeader,
            4 => ControlRecordType::SnapshotFooter,
            5 => ControlRecordType::KraftVersion,
            6 => ControlRecordType::KraftVoters,
            id => ControlRecordType::Unknown(id),
        }
    }

    pub fn id(self) -> i16 {
        match self {
            ControlRecordType::Abort => 0,
            ControlRecordType::Commit => 1,
            ControlRecordType::LeaderChange => 2,
            ControlRecordType::SnapshotHeader => 3,
            ControlRecordType::SnapshotFooter => 4,
            ControlRecordType::KraftVersion => 5,
            ControlRecordType::KraftVoters => 6,
            ControlRecordType::Unknown(id) => id,
        }
    }

    /// Reads the key of a control record. Later versions may be longer, never negative.
    pub fn parse(key: &[u8]) -> Result<Self, BatchError> {
        match key {
            [high, low, kind_high, kind_low, ..] if i16::from_be_bytes([*high, *low]) >= 0 => {
                Ok(ControlRecordType::from_id(i16::from_be_bytes([
                    *kind_high, *kind_low,
                ])))
            }
            _ => Err(BatchError::ControlKey(key.len())),
        }
    }

    pub fn key(self) -> [u8; 4] {
        let [high, low] = self.id().to_be_bytes();
        [0, 0, high, low]
    }
}

/// Value of a commit or abort record: `version i16` (0), `coordinator epoch i32`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct EndTransactionMarker {
    /// Of the transaction coordinator that wrote the marker; an older one is a zombie's.
    pub coordinator_epoch: i32,
}

impl EndTransactionMarker {
    pub fn parse(value: &[u8]) -> Result<Self, BatchError> {
        match value {
            [high, low, a, b, c, d, ..] if i16::from_be_bytes([*high, *low]) >= 0 => {
                Ok(EndTransactionMarker {
                    coordinator_epoch: i32::from_be_bytes([*a, *b, *c, *d]),
                })
            }
            _ => Err(BatchError::ControlValue {
                expected: 6,
                found: value.len(),
            }),
        }
    }

    pub fn value(self) -> [u8; 6] {
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        [0, 0, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_and_unknown_ones_are_kept() {
        for id in -3..10 {
            assert_eq!(
                ControlRecordType::parse(&ControlRecordType::from_id(id).key())
                    .unwrap()
                    .id(),
                id
            );
        }
        assert!(ControlRecordType::parse(&[0, 0, 0]).is_err());
        assert!(ControlRecordType::parse(&[0xff, 0, 0, 0]).is_err());
    }

    #[test]
    fn markers_survive() {
        let marker = EndTransactionMarker {
            coordinator_epoch: 77,
        };
        assert_eq!(EndTransactionMarker::parse(&marker.value()), Ok(marker));
        assert!(EndTransactionMarker::parse(&[0; 5]).is_err());
    }
}
