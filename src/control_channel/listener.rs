//! Answering other members, and whoever speaks Kafka's protocol to a controller.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use control::service::{RemoteCalls, RemoteConnection};
use futures_util::future::LocalBoxFuture;
use net::frame::next_frame;
use net::listener::accept_loop;
use reactor::sync::Notify;
use reactor::{Listener, Piece, Socket};

use super::{FRAME_BYTES_MAX, frame};

/// Kafka's APIs for controllers, where the store has some.
pub trait ControllerApis: 'static {
    /// The answer's frame to the request in `frame` (header and body); `None` closes the connection.
    fn answer(&self, frame: BytesMut) -> LocalBoxFuture<'static, Option<Bytes>>;
}

/// A store that is reached by its own means.
pub struct NoApis;

impl ControllerApis for NoApis {
    fn answer(&self, _frame: BytesMut) -> LocalBoxFuture<'static, Option<Bytes>> {
        Box::pin(async { None })
    }
}

/// Connections at a time. Members need one or two each; what comes beyond is not of this cluster.
const CONNECTIONS_MAX: usize = 4096;
/// Questions of one connection that are not answered yet; no more are read meanwhile.
const UNANSWERED_MAX: usize = 1024;
/// Until the first whole question of a connection, and between two of a silent one.
const IDLE_MAX: Duration = Duration::from_secs(600);

pub(super) async fn accept<A: ControllerApis>(listener: Listener, calls: Rc<RemoteCalls>, apis: Rc<A>) {
    let open = Rc::new(Cell::new(0));
    let ended = accept_loop(&listener, 1, |_, socket, peer| {
        if open.get() >= CONNECTIONS_MAX {
            return;
        }
        match socket.attach() {
            Ok(socket) => {
                let (open, calls, apis) = (open.clone(), calls.clone(), apis.clone());
                open.set(open.get() + 1);
                reactor::spawn(async move {
                    serve(socket, peer, &calls, apis).await;
                    open.set(open.get() - 1);
                })
                .detach();
            }
            Err(error) => tracing::warn!(%peer, %error, "a member's connection"),
        }
    })
    .await;
    let Err(error) = ended;
    tracing::error!(%error, "the control listener has failed");
}

/// One connection.
struct Answers {
    socket: Socket,
    outgoing: RefCell<VecDeque<Bytes>>,
    unanswered: Cell<usize>,
    changed: Notify,
    ended: Cell<bool>,
}

async fn serve<A: ControllerApis>(socket: Socket, peer: SocketAddr, calls: &Rc<RemoteCalls>, apis: Rc<A>) {
    let answers = Rc::new(Answers {
        socket,
        outgoing: RefCell::default(),
        unanswered: Cell::new(0),
        changed: Notify::new(),
        ended: Cell::new(false),
    });
    let connection = Rc::new(calls.connected());
    let sender = reactor::spawn(answers.clone().send());
    if let Err(why) = receive(&answers, &connection, &*apis).await {
        tracing::debug!(%peer, why, "closing a member's connection");
    }
    answers.end();
    sender.await;
}

async fn receive<A: ControllerApis>(
    answers: &Rc<Answers>,
    connection: &Rc<RemoteConnection>,
    apis: &A,
) -> Result<(), String> {
    let mut received = BytesMut::new();
    loop {
        match reactor::timeout(IDLE_MAX, answers.socket.recv(&mut received)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("idle".to_owned()),
        }
        while let Some(frame) =
            next_frame(&mut received, FRAME_BYTES_MAX).map_err(|error| error.to_string())?
        {
            answers.room().await;
            match frame::split_question(frame) {
                Ok((correlation_id, body)) => {
                    let (answers, connection) = (answers.clone(), connection.clone());
                    answers.unanswered.set(answers.unanswered.get() + 1);
                    reactor::spawn(async move {
                        let answer = connection.answer(&body).await;
                        answers.unanswered.set(answers.unanswered.get() - 1);
                        answers.push(frame::answer(correlation_id, &answer));
                    })
                    .detach();
                }
                Err(frame) => match apis.answer(frame).await {
                    Some(answer) => answers.push(answer),
                    None => return Err("a request that is not served here".to_owned()),
                },
            }
        }
    }
}

impl Answers {
    fn push(&self, frame: Bytes) {
        self.outgoing.borrow_mut().push_back(frame);
        self.changed.notify_waiters();
    }

    fn end(&self) {
        self.ended.set(true);
        self.socket.shutdown();
        self.changed.notify_waiters();
    }

    async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            if self.unanswered.get() < UNANSWERED_MAX && self.outgoing.borrow().len() < UNANSWERED_MAX {
                return;
            }
            changed.await;
        }
    }

    async fn send(self: Rc<Self>) {
        loop {
            let changed = self.changed.notified();
            let pieces: Vec<Piece> = self.outgoing.borrow_mut().drain(..).map(Piece::Bytes).collect();
            if !pieces.is_empty() {
                if self.socket.send(pieces).await.is_err() {
                    self.socket.shutdown();
                    return;
                }
                self.changed.notify_waiters();
                continue;
            }
            if self.ended.get() {
                return;
            }
            changed.await;
        }
    }
}
