//! `ringlog topic delete`.

use clap::Args;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{DeleteTopicsRequest, TopicName};
use net::ErrorCode;
use serde_json::json;

use crate::cli::target::Target;
use crate::cli::{CliError, output};
use crate::client::{AskError, Cluster, refused, retry, text};

#[derive(Debug, Args)]
pub struct Delete {
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    /// It is no error if a topic does not exist.
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    target: Target,
}

impl Delete {
    pub fn run(self) -> Result<(), CliError> {
        self.target.run(async |cluster| {
            for topic in &self.topics {
                match delete_topic(&cluster, topic).await {
                    Err(error)
                        if self.if_exists && error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {}
                    Err(error) => return Err(error.into()),
                    Ok(()) if self.target.json => {}
                    Ok(()) => output::line(&format!("deleted topic {topic}")),
                }
            }
            Ok(())
        })?;
        output::emit(self.target.json, || json!({"deleted": self.topics}), String::new);
        Ok(())
    }
}

async fn delete_topic(cluster: &Cluster, topic: &str) -> Result<(), AskError> {
    let name = TopicName(text(topic));
    // up to v5 names only, from v6 on a state with a name or an id
    let request = DeleteTopicsRequest::default().with_timeout_ms(cluster.timeout().as_millis() as i32);
    let by_state = request
        .clone()
        .with_topics(vec![DeleteTopicState::default().with_name(Some(name.clone()))]);
    let by_name = request.with_topic_names(vec![name]);
    let version = cluster.any().await?.version_of::<DeleteTopicsRequest>()?;
    let request = if version >= 6 { by_state } else { by_name };
    retry(cluster.timeout(), async || {
        let answer = cluster.ask_controller(&request).await?;
        let Some(found) = answer.responses.first() else {
            return Err(AskError::Incomplete {
                what: "DeleteTopics",
                lacks: format!("topic {topic}"),
            });
        };
        match refused(
            format!("topic {topic}"),
            found.error_code,
            found.error_message.as_ref(),
        ) {
            // retriable in Kafka's table, since a topic just made may not be known everywhere; final for who deletes
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => Ok(Err(error)),
            other => other.map(Ok),
        }
    })
    .await?
}
