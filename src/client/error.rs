//! Why a cluster did not do what it was asked, in one line for a person.

use std::io;
use std::time::Duration;

use kafka_protocol::protocol::StrBytes;
use net::ErrorCode;
use net::client::ClientError;

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("cannot resolve {address}: {source}")]
    Resolve { address: String, source: io::Error },
    #[error("{address} is no HOST:PORT")]
    Address { address: String },
    #[error("no broker of {bootstrap} can be reached: {source}")]
    Bootstrap { bootstrap: String, source: ClientError },
    #[error(transparent)]
    Connection(#[from] ClientError),
    #[error("{what}: {}", explained(*.code, .message.as_deref()))]
    Refused {
        what: String,
        code: ErrorCode,
        message: Option<String>,
    },
    #[error("broker {broker} is not among the cluster's brokers")]
    UnknownBroker { broker: i32 },
    #[error("partition {topic}-{partition} does not exist")]
    UnknownPartition { topic: String, partition: i32 },
    #[error("{topic}-{partition} has no leader now")]
    NoLeader { topic: String, partition: i32 },
    #[error("the answer to {what} lacks {lacks}")]
    Incomplete { what: &'static str, lacks: String },
    #[error("{what}: {source}")]
    Records {
        what: String,
        source: engine::batch::BatchError,
    },
    #[error("cannot build a batch: {0}")]
    Build(#[from] engine::batch::BuildError),
    #[error("not done after {0:?}")]
    Deadline(Duration),
}

impl AskError {
    /// Whether the same request may well succeed a moment later.
    pub fn is_retriable(&self) -> bool {
        match self {
            AskError::Refused { code, .. } => code.is_retriable(),
            AskError::NoLeader { .. } => true,
            AskError::Connection(error) => is_lost(error),
            _ => false,
        }
    }

    /// Whether the connection it came over is of no more use.
    pub fn is_lost_connection(&self) -> bool {
        matches!(self, AskError::Connection(error) if is_lost(error))
    }

    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            AskError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

fn is_lost(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Connect { .. } | ClientError::Lost(_) | ClientError::Timeout(_)
    )
}

/// `Ok` for code 0, otherwise the refusal of `what`.
pub fn refused(what: impl Into<String>, code: i16, message: Option<&StrBytes>) -> Result<(), AskError> {
    match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        code => Err(AskError::Refused {
            what: what.into(),
            code,
            message: message
                .map(|message| message.to_string())
                .filter(|message| !message.is_empty()),
        }),
    }
}

/// A string of ours as the protocol's messages take it.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn explained(code: ErrorCode, message: Option<&str>) -> String {
    let message = message
        .or_else(|| meaning(code))
        .map(|message| message.trim_end_matches('.'));
    match message {
        Some(message) => format!("{}: {message}", code.name()),
        None => code.to_string(),
    }
}

/// What a code means where brokers send no message along.
fn meaning(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::OffsetOutOfRange => "the log does not reach there",
        ErrorCode::UnknownTopicOrPartition => "there is no such topic or partition",
        ErrorCode::LeaderNotAvailable => "no leader is elected yet",
        ErrorCode::MessageTooLarge => "the batch is larger than the topic's max.message.bytes",
        ErrorCode::CoordinatorNotAvailable => "no coordinator is available yet",
        ErrorCode::NotEnoughReplicas => "fewer replicas in sync than min.insync.replicas",
        ErrorCode::InvalidTopicException => "no valid topic name",
        ErrorCode::TopicAlreadyExists => "a topic of that name exists",
        ErrorCode::InvalidPartitions => "not a valid number of partitions",
        ErrorCode::InvalidReplicationFactor => "not that many brokers are available",
        ErrorCode::UnknownMemberId => "the group knows no such member; is it still active",
        ErrorCode::NonEmptyGroup => "the group still has members",
        ErrorCode::GroupIdNotFound => "there is no such group",
        ErrorCode::GroupSubscribedToTopic => "the group still consumes the topic",
        ErrorCode::UnsupportedVersion => "the broker does not support this version of the request",
        ErrorCode::ClusterAuthorizationFailed => "not allowed on the cluster",
        ErrorCode::TopicAuthorizationFailed => "not allowed on the topic",
        ErrorCode::GroupAuthorizationFailed => "not allowed on the group",
        ErrorCode::RequestTimedOut => "the broker did not finish in time",
        ErrorCode::NotController => "the broker is not the controller",
        ErrorCode::KafkaStorageError => "the broker cannot use its disk",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_kafkas_error_and_its_message_once() {
        // People search for these names; a bare number, or a sentence without the name, sends them nowhere.
        let message = text("Topic 'orders' already exists.");
        let error = refused("topic orders", 36, Some(&message)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "topic orders: TOPIC_ALREADY_EXISTS: Topic 'orders' already exists"
        );
        let error = refused("group g", 69, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "group g: GROUP_ID_NOT_FOUND: there is no such group"
        );
        let error = refused("group g", 22, None).unwrap_err();
        assert_eq!(error.to_string(), "group g: ILLEGAL_GENERATION (22)");
        assert!(refused("anything", 0, None).is_ok());
    }

    #[test]
    fn lost_connections_and_retriable_codes_are_tried_again() {
        assert!(refused("x", 6, None).unwrap_err().is_retriable());
        assert!(!refused("x", 36, None).unwrap_err().is_retriable());
        let lost = AskError::from(ClientError::Lost(io::ErrorKind::UnexpectedEof));
        assert!(lost.is_retriable() && lost.is_lost_connection());
    }
}
