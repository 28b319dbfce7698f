//! `ringlog consume`: records of a topic to standard output, alone or as a member of a group.

mod alone;
mod from;
mod grouped;
mod printer;

use clap::Args;

use self::from::{From, parse_from};
use self::printer::Printer;
use super::CliError;
use super::target::Target;

/// Print the records of a topic until Ctrl-C, or as many as asked.
#[derive(Debug, Args)]
pub struct Consume {
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Where to begin: earliest, latest, an offset, or a time (2026-01-31T12:00:00Z, or @ms since the epoch). With
    /// --group, only partitions without a committed offset begin there.
    #[arg(long, short = 'o', value_name = "WHERE", default_value = "earliest", value_parser = parse_from)]
    from: From,
    /// Only these partitions.
    #[arg(long = "partition", short, value_name = "N", conflicts_with = "group")]
    partitions: Vec<i32>,
    /// Consume as a member of this group: share the partitions, commit what was printed.
    #[arg(long, short, value_name = "GROUP")]
    group: Option<String>,
    /// End after that many records.
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// End when all records there are have been printed.
    #[arg(long, short = 'e')]
    to_end: bool,
    /// Print keys too, followed by this.
    #[arg(long, short = 'K', value_name = "TEXT")]
    key_separator: Option<String>,
    /// Each record is one JSON object with --json: topic, partition, offset, timestamp, key, value, headers.
    #[command(flatten)]
    target: Target,
}

impl Consume {
    pub fn run(self) -> Result<(), CliError> {
        let printer = Printer::new(
            &self.topic,
            self.target.json,
            self.key_separator.clone(),
            self.count,
        );
        self.target.run(async |cluster| match &self.group {
            None => alone::consume(&cluster, &self, printer).await,
            Some(group) => grouped::consume(&cluster, &self, group, printer).await,
        })
    }
}
