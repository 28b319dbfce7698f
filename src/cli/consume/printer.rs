//! Records on standard output.

use std::io::{BufWriter, Stdout, Write};

use engine::batch::Record;
use serde_json::{Map, Value, json};

use crate::cli::output::Progress;
use crate::cli::{CliError, output};

/// Prints records as they come and counts them.
pub struct Printer {
    topic: String,
    form: Form,
    /// How many more to print.
    left: u64,
    out: BufWriter<Stdout>,
    progress: Option<Progress>,
}

enum Form {
    Json,
    Text { key_separator: Option<String> },
}

impl Printer {
    pub fn new(topic: &str, json: bool, key_separator: Option<String>, count: Option<u64>) -> Printer {
        let form = if json {
            Form::Json
        } else {
            Form::Text { key_separator }
        };
        let out = BufWriter::with_capacity(256 << 10, std::io::stdout());
        Printer {
            topic: topic.to_owned(),
            form,
            left: count.unwrap_or(u64::MAX),
            out,
            progress: None,
        }
    }

    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// False when there are enough already; the record is not printed then.
    pub fn print(&mut self, partition: i32, record: &Record<'_>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let written = match &self.form {
            Form::Json => writeln!(self.out, "{}", to_json(&self.topic, partition, record)),
            Form::Text { key_separator } => write_text(&mut self.out, key_separator.as_deref(), record),
        };
        quit_if_nobody_reads(written);
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        self.progress
            .get_or_insert_with(|| Progress::start(self.out.get_ref()))
            .add(1, bytes as u64);
        true
    }

    /// After each fetch: who reads must not wait for the buffer to fill.
    pub fn flush(&mut self) {
        quit_if_nobody_reads(self.out.flush());
    }

    pub fn finish(mut self) -> Result<(), CliError> {
        self.flush();
        if let Some(progress) = self.progress {
            progress.finish();
        }
        Ok(())
    }
}

/// `ringlog consume t | head`: the reader has what it wanted.
fn quit_if_nobody_reads(written: std::io::Result<()>) {
    if written.is_err() {
        std::process::exit(0);
    }
}

fn write_text(out: &mut impl Write, key_separator: Option<&str>, record: &Record<'_>) -> std::io::Result<()> {
    if let Some(separator) = key_separator {
        out.write_all(record.key.unwrap_or_default())?;
        out.write_all(separator.as_bytes())?;
    }
    out.write_all(record.value.unwrap_or_default())?;
    out.write_all(b"\n")
}

fn to_json(topic: &str, partition: i32, record: &Record<'_>) -> Value {
    let mut object = Map::new();
    object.insert("topic".to_owned(), json!(topic));
    object.insert("partition".to_owned(), json!(partition));
    object.insert("offset".to_owned(), json!(record.offset.0));
    object.insert("timestamp".to_owned(), json!(record.timestamp.0));
    put_bytes(&mut object, "key", record.key);
    put_bytes(&mut object, "value", record.value);
    let header = |header: engine::batch::RecordHeader<'_>| {
        let mut object = Map::new();
        put_bytes(&mut object, "key", Some(header.key));
        put_bytes(&mut object, "value", header.value);
        Value::Object(object)
    };
    object.insert("headers".to_owned(), record.headers.iter().map(header).collect());
    Value::Object(object)
}

/// Text as it is; what is not UTF-8 goes under `<name>_base64`, so that no byte is lost.
fn put_bytes(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => object.insert(name.to_owned(), Value::Null),
        Some((_, Ok(text))) => object.insert(name.to_owned(), json!(text)),
        Some((bytes, Err(_))) => object.insert(format!("{name}_base64"), json!(output::base64(bytes))),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::batch::{Batch, BatchBuilder, RecordHeader};
    use engine::types::{Offset, Timestamp};

    #[test]
    fn json_loses_no_byte() {
        let mut batch = BatchBuilder::new(Offset(7));
        let header = RecordHeader {
            key: b"trace",
            value: Some(b"1"),
        };
        batch.append_with_headers(Timestamp(5), Some(b"k"), Some(&[0xff, 0x00]), &[header]);
        batch.append(Timestamp(6), None, None);
        let bytes = batch.build().unwrap();
        let records = Batch::only(&bytes).unwrap().records(1000).unwrap();
        let found: Vec<Value> = records
            .iter()
            .map(|record| to_json("t", 3, &record.unwrap()))
            .collect();
        let expected = [
            json!({"topic": "t", "partition": 3, "offset": 7, "timestamp": 5, "key": "k", "value_base64": "/wA=",
                "headers": [{"key": "trace", "value": "1"}]}),
            json!({"topic": "t", "partition": 3, "offset": 8, "timestamp": 6, "key": null, "value": null,
                "headers": []}),
        ];
        assert_eq!(found, expected);
        let mut text = Vec::new();
        for record in &records {
            write_text(&mut text, Some(":"), &record.unwrap()).unwrap();
        }
        assert_eq!(text, b"k:\xff\x00\n:\n");
    }
}
