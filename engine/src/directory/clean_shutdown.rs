//! `.kafka_cleanshutdown`: written last of all when the broker stops, removed first of all when it starts.

/// Name of the file.
pub(super) const FILE: &str = ".kafka_cleanshutdown";

/// Its content, as Kafka writes it.
pub(super) fn encode(broker_epoch: i64) -> String {
    format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}")
}

/// The broker epoch, if the file tells one. That there is a file is what counts; older Kafkas leave it empty.
pub(super) fn broker_epoch(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, value) = text.split_once("\"brokerEpoch\"")?;
    let value = value.trim_start().strip_prefix(':')?.trim_start();
    let digits = value
        .find(|c: char| !c.is_ascii_digit() && c != '-')
        .unwrap_or(value.len());
    value.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_epoch_is_read_back() {
        assert_eq!(encode(7), "{\"version\":0,\"brokerEpoch\":7}");
        assert_eq!(broker_epoch(encode(7).as_bytes()), Some(7));
        assert_eq!(broker_epoch(b"{ \"brokerEpoch\" : -1 , \"version\":0}"), Some(-1));
        assert_eq!(broker_epoch(b""), None);
    }
}
