//! `ringlog cluster features`.

use clap::Args;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use serde_json::json;

use crate::cli::CliError;
use crate::cli::output::{self, Table};
use crate::cli::target::Target;
use crate::client::{refused, text};

#[derive(Debug, Args)]
pub struct Features {
    /// List the APIs and their versions instead.
    #[arg(long)]
    apis: bool,
    #[command(flatten)]
    target: Target,
}

impl Features {
    pub fn run(self) -> Result<(), CliError> {
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
}
