//! What the records of a topic mean: Kafka's own topics are decoded, others are shown as text.

use control::group::record as group_record;
use control::record as metadata_record;
use engine::batch::{Attributes, BatchError, ControlRecordType, EndTransactionMarker, Record};
use serde_json::{Value, json};

use crate::cli::output;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Plain,
    /// `__cluster_metadata` and its snapshots.
    Metadata,
    /// `__consumer_offsets`.
    GroupOffsets,
}

/// Why a record is not what its topic's records are.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("a metadata record without value")]
    NoValue,
    #[error("a group record without key")]
    NoKey,
    #[error("metadata record: {0}")]
    Metadata(#[from] metadata_record::DecodeError),
    #[error("group record: {0}")]
    Group(#[from] group_record::RecordError),
    #[error("control record: {0}")]
    Control(#[from] BatchError),
}

/// A record, understood.
#[derive(Debug)]
pub enum Meaning {
    Plain,
    Metadata(Box<metadata_record::Record>),
    Group(group_record::Record),
    Control(ControlRecordType, Option<EndTransactionMarker>),
}

impl Content {
    pub fn of_directory(name: &str) -> Content {
        match name.rsplit_once('-').map_or(name, |(topic, _)| topic) {
            "__cluster_metadata" => Content::Metadata,
            "__consumer_offsets" => Content::GroupOffsets,
            _ => Content::Plain,
        }
    }

    pub fn understand(self, attributes: Attributes, record: &Record<'_>) -> Result<Meaning, ContentError> {
        if attributes.is_control() {
            let kind = ControlRecordType::parse(record.key.unwrap_or_default())?;
            let marker = match kind {
                ControlRecordType::Abort | ControlRecordType::Commit => {
                    Some(EndTransactionMarker::parse(record.value.unwrap_or_default())?)
                }
                _ => None,
            };
            return Ok(Meaning::Control(kind, marker));
        }
        match self {
            Content::Plain => Ok(Meaning::Plain),
            Content::Metadata => {
                let value = record.value.ok_or(ContentError::NoValue)?;
                Ok(Meaning::Metadata(Box::new(metadata_record::Record::decode(
                    value,
                )?)))
            }
            Content::GroupOffsets => {
                let key = record.key.ok_or(ContentError::NoKey)?;
                Ok(Meaning::Group(group_record::Record::decode(key, record.value)?))
            }
        }
    }
}

impl Meaning {
    /// `None` where the bytes themselves are the meaning.
    pub fn text(&self) -> Option<String> {
        match self {
            Meaning::Plain => None,
            Meaning::Metadata(record) => Some(format!("{record:?}")),
            Meaning::Group(record) => Some(format!("{record:?}")),
            Meaning::Control(kind, None) => Some(format!("{kind:?}")),
            Meaning::Control(kind, Some(marker)) => {
                Some(format!("{kind:?} coordinator epoch {}", marker.coordinator_epoch))
            }
        }
    }
}

/// Bytes for people: text quoted, anything else in hexadecimal, cut after `most` bytes.
pub fn shown(bytes: Option<&[u8]>, most: usize) -> String {
    let Some(bytes) = bytes else {
        return "null".to_owned();
    };
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'));
    let (shown, is_cut) = match text {
        Some(text) => {
            let end = (0..=most.min(text.len()))
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(0);
            (
                format!("{:?}", text.get(..end).unwrap_or_default()),
                end < text.len(),
            )
        }
        None => {
            let digits = bytes.iter().take(most).map(|byte| format!("{byte:02x}"));
            (format!("0x{}", digits.collect::<String>()), bytes.len() > most)
        }
    };
    if is_cut {
        format!("{shown}... ({} bytes)", bytes.len())
    } else {
        shown
    }
}

/// Bytes for programs: text, or an object with base64.
pub fn to_json(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!(text),
        Some((bytes, Err(_))) => json!({"base64": output::base64(bytes)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::record::TopicRecord;
    use engine::batch::{Batch, BatchBuilder};
    use engine::types::{Offset, Timestamp};

    fn understood(
        content: Content,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<Option<String>, String> {
        let mut batch = BatchBuilder::new(Offset(0));
        batch.append(Timestamp(0), key, value);
        let bytes = batch.build().unwrap();
        let batch = Batch::only(&bytes).unwrap();
        let records = batch.records(10_000).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        let meaning = content.understand(batch.attributes(), &record);
        meaning
            .map(|meaning| meaning.text())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn kafkas_own_records_are_decoded() {
        let topic = TopicRecord {
            name: "orders".to_owned(),
            ..TopicRecord::default()
        };
        let value = metadata_record::Record::from(topic).encode();
        let text = understood(Content::Metadata, None, Some(&value))
            .unwrap()
            .unwrap();
        assert!(text.contains("TopicRecord") && text.contains("orders"), "{text}");
        let group = group_record::Record::GroupMetadata {
            group: "g".to_owned(),
            value: None,
        };
        let encoded = group.encode().unwrap();
        let text = understood(Content::GroupOffsets, Some(&encoded.key), None)
            .unwrap()
            .unwrap();
        assert!(text.contains("GroupMetadata"), "{text}");
        assert_eq!(understood(Content::Plain, None, Some(b"x")), Ok(None));
        assert!(understood(Content::Metadata, None, Some(b"junk")).is_err());
        assert!(understood(Content::Metadata, None, None).is_err());
        assert!(understood(Content::GroupOffsets, None, None).is_err());
    }

    #[test]
    fn bytes_are_shown_as_text_or_hex_and_cut() {
        assert_eq!(shown(None, 10), "null");
        assert_eq!(shown(Some(b"a\n"), 10), r#""a\n""#);
        assert_eq!(shown(Some("äöü".as_bytes()), 3), "\"ä\"... (6 bytes)");
        assert_eq!(shown(Some(&[0, 255, 1]), 2), "0x00ff... (3 bytes)");
    }
}
