//! Compare-and-set over several keys.

use super::{LeaseId, Version};

/// Steps that happen together if every key is as its step expects it. Each key occurs once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    pub steps: Vec<Step>,
}

/// `version` is what the key must be at; `None`: it must not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Check {
        key: String,
        version: Option<Version>,
    },
    Put {
        key: String,
        version: Option<Version>,
        value: Vec<u8>,
        /// Whose end is the key's end too.
        lease: Option<LeaseId>,
    },
    Delete {
        key: String,
        version: Version,
    },
}

impl Step {
    pub fn key(&self) -> &str {
        match self {
            Step::Check { key, .. } | Step::Put { key, .. } | Step::Delete { key, .. } => key,
        }
    }

    pub fn expected(&self) -> Option<Version> {
        match self {
            Step::Check { version, .. } | Step::Put { version, .. } => *version,
            Step::Delete { version, .. } => Some(*version),
        }
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened. The versions that its puts made, in the order of the steps; of other steps the one they expected.
    Done(Vec<Option<Version>>),
    /// A key was not as expected: this sending of it changed nothing and never will.
    Refused,
    /// A lease is over; nothing changed.
    LeaseLost,
    /// The store does not take it; nothing changed.
    Rejected(Rejection),
    /// Nobody knows whether it happened or will. The reason, for people.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    NoSpace,
    TooLarge,
    Denied(String),
}
