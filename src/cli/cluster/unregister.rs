//! `ringlog cluster unregister`.

use clap::Args;
use kafka_protocol::messages::{BrokerId, UnregisterBrokerRequest};
use serde_json::json;

use crate::cli::target::Target;
use crate::cli::{CliError, output};
use crate::client::{refused, retry};

#[derive(Debug, Args)]
pub struct Unregister {
    /// The broker to forget. Its replicas stay where they are: `ringlog reassign --drain` moves them.
    #[arg(value_name = "BROKER")]
    broker: i32,
    #[command(flatten)]
    target: Target,
}

impl Unregister {
    pub fn run(self) -> Result<(), CliError> {
        self.target.run(async |cluster| {
            let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(self.broker));
            let unregistered = retry(cluster.timeout(), async || {
                let answer = cluster.ask_controller(&request).await?;
                let what = format!("broker {}", self.broker);
                refused(what, answer.error_code, answer.error_message.as_ref())
            });
            Ok(unregistered.await?)
        })?;
        output::emit(
            self.target.json,
            || json!({"broker": self.broker, "unregistered": true}),
            || format!("broker {} is forgotten", self.broker),
        );
        Ok(())
    }
}
