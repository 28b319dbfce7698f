//! How a shard reaches the controller, whichever broker that is on.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use engine::types::Offset;
use reactor::{mailbox, oneshot};
use thiserror::Error;

use crate::controller::{ApiError, Request, Response};
use crate::store::AppendError;

/// Requests of one shard that may wait for the controller. A guess: more than the clients of one core send at once, and
/// at a few hundred bytes each little memory.
pub(super) const MAILBOX_CALLS: usize = 1024;

/// How long a caller waits. Less than clients wait for their answers, so that they are told.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Why a call has no response.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// Refused as a whole, nothing changed.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// Too many requests wait already; nothing changed. Worth a retry.
    #[error("the controller has too many requests to answer")]
    Busy,
    /// There is none, or it cannot be reached; nothing changed. Worth a retry.
    #[error("no controller can be reached")]
    NoController,
    /// The controller was asked and did not answer: the change may be made yet. Worth a retry for what can be done twice.
    #[error("the controller has not answered in time")]
    Undecided,
    /// The controller has failed: whether the change is durable is known after the next start.
    #[error(transparent)]
    Fault(#[from] ServiceFault),
    /// The controller is stopping or gone; whether the change was made is known after the next start.
    #[error("the controller has stopped")]
    Stopped,
}

/// Why the controller ended by itself. The broker cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServiceFault {
    /// The metadata log failed.
    #[error("the metadata log: {0}")]
    Log(#[from] AppendError),
    /// What other controllers wrote cannot be followed.
    #[error("the metadata log cannot be followed: {0}")]
    Follow(String),
    #[error("the controller's thread is gone")]
    ThreadLost,
}

/// What was decided, and how far the metadata log has to be known for it to be true.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) response: Response,
    pub(super) offset: Offset,
}

pub(super) type Outcome = Result<Decided, CallError>;

/// A request on its way, and where its answer goes.
pub(super) struct Call {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// A shard's way to the controller, to be carried to the shard's thread and attached there.
pub struct ControllerPort(mailbox::Sender<Call>);

impl ControllerPort {
    pub(super) fn new() -> (ControllerPort, mailbox::Receiver<Call>) {
        let (sender, receiver) = mailbox::channel(MAILBOX_CALLS);
        (ControllerPort(sender), receiver)
    }

    pub fn attach(self) -> ControllerHandle {
        ControllerHandle(Rc::new(RefCell::new(self.0)))
    }
}

/// The controller, as tasks of one shard see it. Clones share the shard's mailbox.
#[derive(Clone)]
pub struct ControllerHandle(Rc<RefCell<mailbox::Sender<Call>>>);

impl ControllerHandle {
    /// Answers when the change, if there is one, is durable and every shard of this broker has it. The variant of the response
    /// is that of the request. Requests of one shard are decided in the order of their calls, as long as the controller is the same.
    pub async fn call(&self, request: Request) -> Result<Response, CallError> {
        let (answer, response) = reactor::oneshot();
        {
            let mut mailbox = self.0.borrow_mut();
            if mailbox.is_closed() {
                return Err(CallError::Stopped);
            }
            mailbox
                .try_send(Call { request, answer })
                .map_err(|_| CallError::Busy)?;
        }
        match reactor::timeout(PATIENCE, response).await {
            Ok(outcome) => outcome
                .unwrap_or(Err(CallError::Stopped))
                .map(|decided| decided.response),
            Err(_) => Err(CallError::Undecided),
        }
    }
}
