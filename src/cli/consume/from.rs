//! `--from`: where consuming begins.

use std::collections::BTreeMap;

use crate::cli::output::time;
use crate::client::{AskError, Cluster, OffsetSpec, list_offsets};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Earliest,
    Latest,
    Offset(i64),
    /// Milliseconds since the epoch.
    Time(i64),
}

pub fn parse_from(text: &str) -> Result<From, String> {
    let wrong =
        || "expected earliest, latest, an offset, or a time as 2026-01-31T12:00:00Z or @MS".to_owned();
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
    match text {
        "earliest" | "beginning" => Ok(From::Earliest),
        "latest" | "end" => Ok(From::Latest),
        _ => match text.strip_prefix('@') {
            Some(ms) => number(ms).map(From::Time).ok_or_else(wrong),
            None => number(text)
                .map(From::Offset)
                .or_else(|| time::parse(text).map(From::Time))
                .ok_or_else(wrong),
        },
    }
}

impl From {
    /// The first offset to read in each partition.
    pub async fn offsets(
        self,
        cluster: &Cluster,
        topic: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, i64>, AskError> {
        let spec = match self {
            From::Offset(offset) => {
                return Ok(partitions.iter().map(|partition| (*partition, offset)).collect());
            }
            From::Earliest => OffsetSpec::Earliest,
            From::Latest => OffsetSpec::Latest,
            From::Time(ms) => OffsetSpec::AtTimestamp(ms),
        };
        let mut offsets = list_offsets(cluster, topic, partitions, spec).await?;
        if offsets.values().any(|offset| *offset < 0) {
            // no record that late: what comes from now on
            let ends = list_offsets(cluster, topic, partitions, OffsetSpec::Latest).await?;
            for (partition, offset) in offsets.iter_mut().filter(|(_, offset)| **offset < 0) {
                *offset = ends.get(partition).copied().unwrap_or(0);
            }
        }
        Ok(offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_times_are_told_apart() {
        assert_eq!(parse_from("earliest"), Ok(From::Earliest));
        assert_eq!(parse_from("end"), Ok(From::Latest));
        assert_eq!(parse_from("1700000000000"), Ok(From::Offset(1_700_000_000_000)));
        assert_eq!(parse_from("@1700000000000"), Ok(From::Time(1_700_000_000_000)));
        assert_eq!(
            parse_from("2023-11-14T22:13:20Z"),
            Ok(From::Time(1_700_000_000_000))
        );
        for wrong in ["", "-1", "@", "@x", "first"] {
            assert!(parse_from(wrong).is_err(), "{wrong}");
        }
    }
}
