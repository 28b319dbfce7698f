//! `ringlog cluster features`.

use clap::{Args, ValueEnum};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, UpdateFeaturesRequest};
use serde_json::json;

use crate::cli::CliError;
use crate::cli::arguments::parse_pair;
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client::{refused, retry, text};

#[derive(Debug, Args)]
pub struct Features {
    /// List the APIs and their versions instead.
    #[arg(long)]
    apis: bool,
    /// Work at this level of a feature from now on, 0 without it; may be given many times.
    #[arg(long, value_name = "NAME=LEVEL", value_parser = parse_level, conflicts_with = "apis")]
    set: Vec<(String, i16)>,
    /// Allow --set to lower levels: only if nothing is lost by it, or even so.
    #[arg(long, value_name = "HOW", requires = "set")]
    downgrade: Option<Downgrade>,
    /// Only ask whether --set would be accepted.
    #[arg(long, requires = "set")]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Downgrade {
    Safe,
    Unsafe,
}

fn parse_level(text: &str) -> Result<(String, i16), String> {
    let (name, level) = parse_pair(text)?;
    let level = level.parse().ok().filter(|level| *level >= 0);
    level
        .map(|level| (name, level))
        .ok_or_else(|| "expected NAME=LEVEL".to_owned())
}

impl Features {
    pub fn run(self) -> Result<(), CliError> {
        if !self.set.is_empty() {
            return self.update();
        }
        let answer = self.target.run(async |cluster| {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(text("ringlog"))
                .with_client_software_version(text(env!("CARGO_PKG_VERSION")));
            let answer = cluster.ask_any(&request).await?;
            refused("versions", answer.error_code, None)?;
            Ok(answer)
        })?;
        let mut table;
        if self.apis {
            table = Table::new(["KEY", "API", "MIN", "MAX"]);
            for api in &answer.api_keys {
                let name = ApiKey::try_from(api.api_key).map(|key| format!("{key:?}")).ok();
                table.row([
                    json!(api.api_key),
                    json!(name),
                    json!(api.min_version),
                    json!(api.max_version),
                ]);
            }
        } else {
            table = Table::new(["FEATURE", "SUPPORTED MIN", "SUPPORTED MAX", "FINALIZED"]);
            for feature in &answer.supported_features {
                let finalized = answer
                    .finalized_features
                    .iter()
                    .find(|found| found.name == feature.name);
                table.row([
                    json!(&*feature.name),
                    json!(feature.min_version),
                    json!(feature.max_version),
                    json!(finalized.map(|found| found.max_version_level)),
                ]);
            }
        }
        output::emit(self.target.json, || table.to_json(), || table.to_string());
        Ok(())
    }

    fn update(self) -> Result<(), CliError> {
        // Kafka's numbers
        let upgrade_type = match self.downgrade {
            None => 1,
            Some(Downgrade::Safe) => 2,
            Some(Downgrade::Unsafe) => 3,
        };
        let update = |(name, level): &(String, i16)| {
            FeatureUpdateKey::default()
                .with_feature(text(name))
                .with_max_version_level(*level)
                .with_upgrade_type(upgrade_type)
        };
        self.target.run(async |cluster| {
            let request = UpdateFeaturesRequest::default()
                .with_feature_updates(self.set.iter().map(update).collect())
                .with_validate_only(self.dry_run)
                .with_timeout_ms(cluster.timeout().as_millis() as i32);
            let updated = retry(cluster.timeout(), async || {
                let answer = cluster.ask_controller(&request).await?;
                refused("features", answer.error_code, answer.error_message.as_ref())?;
                // brokers before Kafka 4 answer for each
                for one in &answer.results {
                    refused(
                        one.feature.to_string(),
                        one.error_code,
                        one.error_message.as_ref(),
                    )?;
                }
                Ok(())
            });
            Ok(updated.await?)
        })?;
        output::emit(
            self.target.json,
            || json!({"features": self.set.len(), "dry_run": self.dry_run}),
            || {
                let done = if self.dry_run {
                    "would be accepted"
                } else {
                    "changed"
                };
                format!("{} features {done}", self.set.len())
            },
        );
        Ok(())
    }
}
