//! From the controller's refusals to the protocol: the one place where they become wire codes.

use control::controller::ApiError;
use kafka_protocol::protocol::StrBytes;
use net::error::ErrorCode;

use super::reply::text;

/// A refusal as an answer tells it.
#[derive(Debug, Clone)]
pub struct ControlError {
    pub code: ErrorCode,
    pub message: Option<String>,
}

impl ControlError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ControlError {
        ControlError {
            code,
            message: Some(message.into()),
        }
    }
}

impl From<ApiError> for ControlError {
    fn from(error: ApiError) -> ControlError {
        ControlError {
            code: ErrorCode::from_code(error.code.0),
            message: error.message,
        }
    }
}

/// (error code, error message) for an answer with a place for both.
pub fn parts(result: Result<(), ControlError>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(error) => (error.code.code(), error.message.map(text)),
    }
}

/// What a metadata answer says of a topic that could not be created: Kafka tells invalid names, and hides the rest behind a
/// code that makes the client ask again.
pub fn metadata_code(error: &ApiError) -> ErrorCode {
    match ErrorCode::from_code(error.code.0) {
        ErrorCode::InvalidTopicException => ErrorCode::InvalidTopicException,
        ErrorCode::InvalidReplicationFactor => ErrorCode::InvalidReplicationFactor,
        ErrorCode::PolicyViolation => ErrorCode::PolicyViolation,
        _ => ErrorCode::UnknownTopicOrPartition,
    }
}
