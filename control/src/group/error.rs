//! The error codes a group coordinator answers with, by their numbers on the wire.

use std::fmt;

/// A Kafka error code. `src` translates it into its own table of codes by number.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Default)]
pub struct ErrorCode(pub i16);

macro_rules! codes {
    ($($name:ident = $code:literal),+ $(,)?) => {
        impl ErrorCode {
            $(pub const $name: ErrorCode = ErrorCode($code);)+

            /// Kafka's name of this code, for logs and transcripts.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }
    };
}

codes! {
    UNKNOWN_SERVER_ERROR = -1,
    NONE = 0,
    OFFSET_METADATA_TOO_LARGE = 12,
    COORDINATOR_LOAD_IN_PROGRESS = 14,
    COORDINATOR_NOT_AVAILABLE = 15,
    NOT_COORDINATOR = 16,
    ILLEGAL_GENERATION = 22,
    INCONSISTENT_GROUP_PROTOCOL = 23,
    INVALID_GROUP_ID = 24,
    UNKNOWN_MEMBER_ID = 25,
    INVALID_SESSION_TIMEOUT = 26,
    REBALANCE_IN_PROGRESS = 27,
    INVALID_REQUEST = 42,
    NON_EMPTY_GROUP = 68,
    GROUP_ID_NOT_FOUND = 69,
    MEMBER_ID_REQUIRED = 79,
    GROUP_MAX_SIZE_REACHED = 81,
    FENCED_INSTANCE_ID = 82,
    GROUP_SUBSCRIBED_TO_TOPIC = 86,
    UNSTABLE_OFFSET_COMMIT = 88,
}

impl ErrorCode {
    pub fn is_error(self) -> bool {
        self != ErrorCode::NONE
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "ErrorCode({})", self.0),
        }
    }
}

/// Why records could not be made durable, as the host saw it at the partition of `__consumer_offsets`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum AppendFailure {
    /// Fewer in-sync replicas than `min.insync.replicas`.
    NotEnoughReplicas,
    /// The local log refused the records for their size.
    TooLarge,
    /// This broker no longer leads the partition.
    NotLeader,
    /// The disk under the partition failed.
    Storage,
    /// Anything else.
    Unknown,
}

impl AppendFailure {
    /// What the client is told. Clients look for a coordinator again or retry on the first two, and give up on the
    /// last, as they do with Kafka.
    pub fn error_code(self) -> ErrorCode {
        match self {
            AppendFailure::NotEnoughReplicas => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            AppendFailure::NotLeader | AppendFailure::Storage => ErrorCode::NOT_COORDINATOR,
            AppendFailure::TooLarge | AppendFailure::Unknown => ErrorCode::UNKNOWN_SERVER_ERROR,
        }
    }
}
