//! What control threads say to each other: JSON, so that members of neighbouring versions understand what they know.

use serde::{Deserialize, Serialize};

use super::port::CallError;
use crate::controller::{ApiError, Request, Response};
use crate::record::{BrokerId, ControllerEpoch};

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// Whether anybody is there.
    Ping,
    /// To the active controller.
    Decide(Box<Request>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Pong,
    /// Decided; true for whoever has the metadata log up to `offset`.
    Decided {
        response: Box<Response>,
        offset: i64,
    },
    Refused(ApiError),
    /// Ask somebody else.
    NotController {
        known: Option<(BrokerId, ControllerEpoch)>,
    },
    /// Too many questions; nothing was done.
    Busy,
    /// Nobody knows yet whether it will be done: the store does not answer.
    Undecided,
    /// The question was not understood.
    Misunderstood(String),
}

impl Reply {
    pub(super) fn of(error: CallError) -> Reply {
        match error {
            CallError::Refused(error) => Reply::Refused(error),
            CallError::Busy => Reply::Busy,
            CallError::NoController => Reply::NotController { known: None },
            CallError::Undecided | CallError::Fault(_) | CallError::Stopped => Reply::Undecided,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Nothing in it can fail to be written: no maps with other keys than text, no foreign types.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Question {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
