//! Batches and records of a segment, for people and for programs.

use engine::batch::{Batch, Codec, Record, TimestampType};
use serde_json::{Value, json};

use super::content::{self, Content};
use super::dump::Detail;
use super::files::LogFile;
use super::walk::Walk;
use crate::cli::CliError;
use crate::cli::output::{self, time};

/// The most a batch may take decompressed.
pub const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;

/// Prints all batches, up to the first that cannot be read.
pub fn show(file: &LogFile, detail: &Detail, json: bool) -> Result<(), CliError> {
    let source = |source| CliError::File {
        path: file.path.clone(),
        source,
    };
    let mut walk = Walk::open(&file.path).map_err(source)?;
    loop {
        match walk.next_batch() {
            Ok(Some((_, batch))) if batch.last_offset().0 < detail.from => {}
            Ok(Some((position, batch))) => {
                let shown = if json {
                    to_json(file, position, &batch, detail).map(|line| line.to_string())
                } else {
                    to_text(file, position, &batch, detail)
                };
                match shown {
                    Ok(text) => output::line(&text),
                    Err(error) => return Err(damaged(file, position, error)),
                }
            }
            Ok(None) => {
                if !json {
                    output::line("");
                }
                return Ok(());
            }
            Err(error) => {
                let position = walk.position();
                return Err(damaged(file, position, error));
            }
        }
    }
}

fn damaged(file: &LogFile, position: u64, error: impl std::fmt::Display) -> CliError {
    CliError::Usage(format!("{}: position {position}: {error}", file.path.display()))
}

fn crc_state(batch: &Batch<'_>) -> &'static str {
    match batch.verify_crc() {
        Ok(()) => "ok",
        Err(_) => "WRONG",
    }
}

pub fn to_text(
    file: &LogFile,
    position: u64,
    batch: &Batch<'_>,
    detail: &Detail,
) -> Result<String, engine::batch::BatchError> {
    let attributes = batch.attributes();
    let mut text = format!(
        "  {}-{}  position {position}  bytes {}  records {}  codec {}  epoch {}  time {}  crc {}",
        batch.base_offset(),
        batch.last_offset(),
        batch.size_bytes(),
        batch.record_count(),
        batch.codec().map_or("unknown", Codec::name),
        batch.leader_epoch(),
        time::format(batch.max_timestamp().0),
        crc_state(batch),
    );
    if let Some(producer) = batch.producer() {
        let (id, epoch) = (producer.id, producer.epoch);
        text.push_str(&format!(
            "  producer {id}:{epoch} {}-{}",
            producer.base_sequence, producer.last_sequence
        ));
    }
    let flags = [
        (
            "append-time",
            attributes.timestamp_type() == TimestampType::LogAppendTime,
        ),
        ("transactional", attributes.is_transactional()),
        ("control", attributes.is_control()),
        ("delete-horizon", attributes.has_delete_horizon()),
    ];
    for (name, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
        text.push_str("  ");
        text.push_str(name);
    }
    if detail.records {
        for record in &batch.records(DECOMPRESSED_BYTES_MAX)? {
            let record = record?;
            if record.offset.0 >= detail.from {
                text.push_str("\n    ");
                text.push_str(&record_text(file.content, batch, &record, detail));
            }
        }
    }
    Ok(text)
}

fn record_text(content: Content, batch: &Batch<'_>, record: &Record<'_>, detail: &Detail) -> String {
    let mut text = format!("{}  {}", record.offset, time::format(record.timestamp.0));
    match content
        .understand(batch.attributes(), record)
        .map(|meaning| meaning.text())
    {
        Ok(Some(meaning)) => text.push_str(&format!("  {meaning}")),
        Ok(None) => {
            let shown = |bytes| content::shown(bytes, detail.value_bytes);
            text.push_str(&format!(
                "  key {}  value {}",
                shown(record.key),
                shown(record.value)
            ));
        }
        Err(error) => text.push_str(&format!("  NOT READABLE: {error}")),
    }
    for header in record.headers.iter() {
        let shown = |bytes| content::shown(bytes, detail.value_bytes);
        text.push_str(&format!(
            "  {}={}",
            String::from_utf8_lossy(header.key),
            shown(header.value)
        ));
    }
    text
}

pub fn to_json(
    file: &LogFile,
    position: u64,
    batch: &Batch<'_>,
    detail: &Detail,
) -> Result<Value, engine::batch::BatchError> {
    let attributes = batch.attributes();
    let mut line = json!({
        "file": file.path.display().to_string(),
        "position": position,
        "base_offset": batch.base_offset().0,
        "last_offset": batch.last_offset().0,
        "bytes": batch.size_bytes(),
        "records": batch.record_count(),
        "codec": batch.codec().map_or("unknown", Codec::name),
        "leader_epoch": batch.leader_epoch().0,
        "max_timestamp": batch.max_timestamp().0,
        "crc_ok": batch.verify_crc().is_ok(),
        "append_time": attributes.timestamp_type() == TimestampType::LogAppendTime,
        "transactional": attributes.is_transactional(),
        "control": attributes.is_control(),
        "producer": batch.producer().map(|producer| json!({
            "id": producer.id.0,
            "epoch": producer.epoch.0,
            "base_sequence": producer.base_sequence.0,
            "last_sequence": producer.last_sequence.0,
        })),
    });
    if detail.records {
        let mut records = Vec::new();
        for record in &batch.records(DECOMPRESSED_BYTES_MAX)? {
            let record = record?;
            if record.offset.0 >= detail.from {
                records.push(record_json(file.content, batch, &record));
            }
        }
        if let Value::Object(line) = &mut line {
            line.insert("content".to_owned(), Value::Array(records));
        }
    }
    Ok(line)
}

fn record_json(content: Content, batch: &Batch<'_>, record: &Record<'_>) -> Value {
    let meaning = content.understand(batch.attributes(), record);
    let header = |header: engine::batch::RecordHeader<'_>| json!({"key": content::to_json(Some(header.key)), "value": content::to_json(header.value)});
    json!({
        "offset": record.offset.0,
        "timestamp": record.timestamp.0,
        "key": content::to_json(record.key),
        "value": content::to_json(record.value),
        "headers": record.headers.iter().map(header).collect::<Vec<_>>(),
        "meaning": meaning.as_ref().ok().and_then(|meaning| meaning.text()),
        "unreadable": meaning.err().map(|error| error.to_string()),
    })
}
