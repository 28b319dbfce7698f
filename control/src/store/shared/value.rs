//! The small values: text, one `name=value` a line, under a line that says which layout it is.

use std::fmt::Write;

use engine::types::Offset;
use thiserror::Error;
use uuid::Uuid;

use crate::config::Endpoint;
use crate::record::{BrokerId, ControllerEpoch, DirectoryId};
use crate::store::meta_log::{Leadership, Member, SnapshotId};

const LAYOUT: &str = "ringlog 1";
/// A controller finds out about the end of its epoch by these; it would have to sleep through as many elections not to.
const EPOCHS_MAX: usize = 64;

/// Why a value is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    #[error("it begins with {0:?}: another program's, or of a newer version")]
    Layout(String),
    #[error("{0} is missing or not what it should be")]
    Field(&'static str),
    #[error("{0}")]
    Content(String),
    #[error("it is not text")]
    NotText,
}

/// The lines of a value.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Fields<'a>, ValueError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ValueError::NotText)?;
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if first != LAYOUT {
            return Err(ValueError::Layout(first.chars().take(40).collect()));
        }
        Ok(Fields(lines.filter_map(|line| line.split_once('=')).collect()))
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(found, _)| *found == name)
            .map(|(_, value)| *value)
    }

    fn get<T>(&self, name: &'static str, parse: impl FnOnce(&'a str) -> Option<T>) -> Result<T, ValueError> {
        self.all(name)
            .next()
            .and_then(parse)
            .ok_or(ValueError::Field(name))
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, ValueError> {
        self.get(name, |text| text.parse().ok())
    }

    fn uuid(&self, name: &'static str) -> Result<Uuid, ValueError> {
        self.get(name, |text| Uuid::parse_str(text).ok())
    }
}

fn text(lines: &[(&str, String)]) -> Vec<u8> {
    let mut text = format!("{LAYOUT}\n");
    for (name, value) in lines {
        // a line end within a value would begin another field
        let value = value.replace(['\n', '\r'], " ");
        let _ = writeln!(text, "{name}={value}");
    }
    text.into_bytes()
}

/// `cluster_id`.
pub(super) fn encode_cluster_id(id: &str) -> Vec<u8> {
    text(&[("id", id.to_owned())])
}

pub(super) fn decode_cluster_id(bytes: &[u8]) -> Result<String, ValueError> {
    Fields::parse(bytes)?.get("id", |id| (!id.is_empty()).then(|| id.to_owned()))
}

/// `brokers/ids/N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) incarnation_id: Uuid,
    pub(super) endpoint: Endpoint,
    pub(super) log_dirs: Vec<DirectoryId>,
}

impl Registration {
    pub(super) fn of(member: &Member) -> Registration {
        Registration {
            incarnation_id: member.incarnation_id,
            endpoint: member.endpoint.clone(),
            log_dirs: member.log_dirs.clone(),
        }
    }

    /// Whether `self` can only be there because that other process is dead: it holds the locks of the same directories. Without
    /// directories nobody can tell.
    pub(super) fn succeeds(&self, other: &Registration) -> bool {
        !self.log_dirs.is_empty() && self.log_dirs.iter().any(|dir| other.log_dirs.contains(dir))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut lines = vec![
            ("incarnation", self.incarnation_id.to_string()),
            ("endpoint", self.endpoint.to_string()),
        ];
        lines.extend(self.log_dirs.iter().map(|dir| ("directory", dir.0.to_string())));
        text(&lines)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Registration, ValueError> {
        let fields = Fields::parse(bytes)?;
        let log_dirs = fields
            .all("directory")
            .map(|text| Uuid::parse_str(text).ok().map(DirectoryId));
        Ok(Registration {
            incarnation_id: fields.uuid("incarnation")?,
            endpoint: fields.get("endpoint", |text| Endpoint::parse(text).ok())?,
            log_dirs: log_dirs
                .collect::<Option<_>>()
                .ok_or(ValueError::Field("directory"))?,
        })
    }
}

/// `controller`.
pub(super) fn encode_controller(leadership: &Leadership) -> Vec<u8> {
    text(&[
        ("broker", leadership.controller.0.to_string()),
        ("epoch", leadership.epoch.0.to_string()),
        ("endpoint", leadership.endpoint.to_string()),
    ])
}

pub(super) fn decode_controller(bytes: &[u8]) -> Result<Leadership, ValueError> {
    let fields = Fields::parse(bytes)?;
    Ok(Leadership {
        controller: BrokerId(fields.number("broker")?),
        epoch: ControllerEpoch(fields.number("epoch")?),
        endpoint: fields.get("endpoint", |text| Endpoint::parse(text).ok())?,
    })
}

/// One controller's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) epoch: ControllerEpoch,
    pub(super) controller: BrokerId,
    /// Of its first entry, the leader change.
    pub(super) start: Offset,
    /// Names the attempt that won.
    pub(super) attempt: Uuid,
}

/// `controller_epoch`: the last of them, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Epochs(Vec<Epoch>);

impl Epochs {
    pub(super) fn current(&self) -> ControllerEpoch {
        self.0.last().map_or(ControllerEpoch(0), |last| last.epoch)
    }

    pub(super) fn begun_by(&self, attempt: Uuid) -> Option<&Epoch> {
        self.0.iter().find(|epoch| epoch.attempt == attempt)
    }

    /// The one that ended `epoch`, if it is remembered that `epoch` came directly before it.
    pub(super) fn successor(&self, epoch: ControllerEpoch) -> Option<&Epoch> {
        let own = self.0.iter().position(|other| other.epoch == epoch)?;
        self.0.get(own + 1)
    }

    /// In which epoch the record of this offset was written, as far as remembered.
    pub(super) fn at(&self, offset: Offset) -> Option<&Epoch> {
        self.0.iter().rev().find(|epoch| epoch.start <= offset)
    }

    pub(super) fn with(&self, next: Epoch) -> Epochs {
        let mut epochs = self.0.clone();
        epochs.push(next);
        let superfluous = epochs.len().saturating_sub(EPOCHS_MAX);
        epochs.drain(..superfluous);
        Epochs(epochs)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let line = |epoch: &Epoch| {
            let Epoch {
                epoch,
                controller,
                start,
                attempt,
            } = epoch;
            (
                "epoch",
                format!("{} {} {} {attempt}", epoch.0, controller.0, start.0),
            )
        };
        text(&self.0.iter().map(line).collect::<Vec<_>>())
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Epochs, ValueError> {
        let epoch = |line: &str| {
            let mut words = line.split(' ');
            Some(Epoch {
                epoch: ControllerEpoch(words.next()?.parse().ok()?),
                controller: BrokerId(words.next()?.parse().ok()?),
                start: Offset(words.next()?.parse().ok()?),
                attempt: Uuid::parse_str(words.next()?).ok()?,
            })
        };
        let epochs: Option<Vec<Epoch>> = Fields::parse(bytes)?.all("epoch").map(epoch).collect();
        let epochs = epochs.ok_or(ValueError::Field("epoch"))?;
        let ascend = epochs.is_sorted_by(|one, next| one.epoch < next.epoch && one.start < next.start);
        if ascend {
            Ok(Epochs(epochs))
        } else {
            Err(ValueError::Field("epoch"))
        }
    }
}

/// `log_head`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Tells this log from another one that might come to lie here.
    pub(super) log_id: Uuid,
    /// What the next entry gets.
    pub(super) offset: Offset,
    /// What replaying everything since the log's begin would cost, in bytes.
    pub(super) cost: u64,
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        text(&[
            ("log", self.log_id.to_string()),
            ("offset", self.offset.0.to_string()),
            ("cost", self.cost.to_string()),
        ])
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Head, ValueError> {
        let fields = Fields::parse(bytes)?;
        Ok(Head {
            log_id: fields.uuid("log")?,
            offset: Offset(fields.number("offset")?),
            cost: fields.number("cost")?,
        })
    }
}

/// `snap_head`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SnapshotHead {
    pub(super) id: SnapshotId,
    /// Of its chunks' keys.
    pub(super) name: String,
    pub(super) chunk_count: usize,
    pub(super) size_bytes: usize,
    /// Entries below may be gone.
    pub(super) log_start: Offset,
    /// [`Head::cost`] at its end.
    pub(super) cost: u64,
}

impl SnapshotHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        text(&[
            ("end", self.id.end_offset.0.to_string()),
            ("epoch", self.id.epoch.0.to_string()),
            ("name", self.name.clone()),
            ("chunks", self.chunk_count.to_string()),
            ("bytes", self.size_bytes.to_string()),
            ("log_start", self.log_start.0.to_string()),
            ("cost", self.cost.to_string()),
        ])
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<SnapshotHead, ValueError> {
        let fields = Fields::parse(bytes)?;
        Ok(SnapshotHead {
            id: SnapshotId {
                end_offset: Offset(fields.number("end")?),
                epoch: ControllerEpoch(fields.number("epoch")?),
            },
            name: fields.get("name", |text| Some(text.to_owned()))?,
            chunk_count: fields.number("chunks")?,
            size_bytes: fields.number("bytes")?,
            log_start: Offset(fields.number("log_start")?),
            cost: fields.number("cost")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: i32) -> Epoch {
        Epoch {
            epoch: ControllerEpoch(number),
            controller: BrokerId(number % 3),
            start: Offset(i64::from(number) * 10),
            attempt: Uuid::from_u128(u128::from(number.unsigned_abs())),
        }
    }

    #[test]
    fn values_are_read_as_they_were_written_and_a_newer_layout_is_refused() {
        // A member of an older version that guesses would lead a cluster by half of what it says.
        let head = Head {
            log_id: Uuid::from_u128(7),
            offset: Offset(12),
            cost: 99,
        };
        assert_eq!(Head::decode(&head.encode()), Ok(head));
        let member = Member::for_tests(3);
        let registration = Registration::of(&member);
        assert_eq!(Registration::decode(&registration.encode()), Ok(registration));
        let leadership = Leadership {
            controller: BrokerId(1),
            epoch: ControllerEpoch(4),
            endpoint: Endpoint::parse("[::1]:9093").expect("address"),
        };
        assert_eq!(decode_controller(&encode_controller(&leadership)), Ok(leadership));
        assert_eq!(decode_cluster_id(&encode_cluster_id("x")), Ok("x".to_owned()));
        let newer = String::from_utf8(head.encode())
            .expect("text")
            .replace("ringlog 1", "ringlog 2");
        assert_eq!(
            Head::decode(newer.as_bytes()),
            Err(ValueError::Layout("ringlog 2".to_owned()))
        );
        for bytes in [
            &b""[..],
            b"\xff\xfe",
            b"ringlog 1\noffset=x\n",
            b"{\"brokers\":1}",
        ] {
            assert!(Head::decode(bytes).is_err());
            assert!(Registration::decode(bytes).is_err());
            assert!(SnapshotHead::decode(bytes).is_err());
        }
    }

    #[test]
    fn a_deposed_controller_finds_who_came_directly_after_it() {
        // By the successor's first offset it knows whether its last append counts; a later one's would prove nothing.
        let mut epochs = Epochs::default();
        for number in 1..=100 {
            epochs = epochs.with(epoch(number));
        }
        assert_eq!(Epochs::decode(&epochs.encode()), Ok(epochs.clone()));
        assert_eq!(epochs.successor(ControllerEpoch(50)), Some(&epoch(51)));
        assert_eq!(epochs.successor(ControllerEpoch(100)), None);
        // forgotten: 37 came long after 3
        assert_eq!(epochs.successor(ControllerEpoch(3)), None);
        assert_eq!(epochs.at(Offset(505)), Some(&epoch(50)));
        assert_eq!(epochs.at(Offset(5)), None);
        assert_eq!(epochs.begun_by(epoch(77).attempt), Some(&epoch(77)));
    }
}
