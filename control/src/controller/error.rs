//! Refusals: Kafka's error code and a message in Kafka's words. Not faults; the controller goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, ConfigErrorKind, Resource};

/// A code of Kafka's protocol; the ones the controller answers with have names.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ErrorCode(pub i16);

macro_rules! codes {
    ($( $name:ident = $code:literal, )*) => {
        impl ErrorCode {
            $( pub const $name: ErrorCode = ErrorCode($code); )*
        }

        impl fmt::Debug for ErrorCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $( ErrorCode::$name => f.write_str(stringify!($name)), )*
                    ErrorCode(code) => write!(f, "ErrorCode({code})"),
                }
            }
        }
    };
}

codes! {
    UNKNOWN_SERVER_ERROR = -1,
    UNKNOWN_TOPIC_OR_PARTITION = 3,
    NOT_LEADER_OR_FOLLOWER = 6,
    REQUEST_TIMED_OUT = 7,
    STALE_CONTROLLER_EPOCH = 11,
    INVALID_TOPIC_EXCEPTION = 17,
    UNSUPPORTED_VERSION = 35,
    TOPIC_ALREADY_EXISTS = 36,
    INVALID_PARTITIONS = 37,
    INVALID_REPLICATION_FACTOR = 38,
    INVALID_REPLICA_ASSIGNMENT = 39,
    INVALID_CONFIG = 40,
    NOT_CONTROLLER = 41,
    INVALID_REQUEST = 42,
    POLICY_VIOLATION = 44,
    KAFKA_STORAGE_ERROR = 56,
    TOPIC_DELETION_DISABLED = 73,
    FENCED_LEADER_EPOCH = 74,
    UNKNOWN_LEADER_EPOCH = 75,
    STALE_BROKER_EPOCH = 77,
    PREFERRED_LEADER_NOT_AVAILABLE = 80,
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83,
    ELECTION_NOT_NEEDED = 84,
    NO_REASSIGNMENT_IN_PROGRESS = 85,
    INVALID_UPDATE_VERSION = 95,
    FEATURE_UPDATE_FAILED = 96,
    UNKNOWN_TOPIC_ID = 100,
    DUPLICATE_BROKER_REGISTRATION = 101,
    BROKER_ID_NOT_REGISTERED = 102,
    INCONSISTENT_CLUSTER_ID = 104,
    INELIGIBLE_REPLICA = 107,
    NEW_LEADER_ELECTED = 108,
    INVALID_REGISTRATION = 119,
}

/// Why a request, or one item of it, was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    pub code: ErrorCode,
    /// `None` where Kafka leaves it to the client to know the code's meaning.
    pub message: Option<String>,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ApiError {
            code,
            message: Some(message.into()),
        }
    }

    /// Without a message of its own.
    pub fn of(code: ErrorCode) -> Self {
        ApiError { code, message: None }
    }

    pub(super) fn config(error: &ConfigError, resource: Resource) -> Self {
        let code = match error.kind(resource) {
            ConfigErrorKind::InvalidConfig => ErrorCode::INVALID_CONFIG,
            ConfigErrorKind::InvalidRequest => ErrorCode::INVALID_REQUEST,
        };
        ApiError::new(code, error.to_string())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{:?}: {message}", self.code),
            None => write!(f, "{:?}", self.code),
        }
    }
}

impl std::error::Error for ApiError {}
