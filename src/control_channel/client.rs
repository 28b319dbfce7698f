//! Asking other members.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use control::config::Endpoint;
use control::service::{Peer, PeerError, Peers};
use futures_util::future::LocalBoxFuture;
use net::frame::next_frame;
use reactor::sync::Notify;
use reactor::{Piece, Socket, Task, oneshot};

use super::{FRAME_BYTES_MAX, frame};
use crate::address::resolve;

pub(super) struct MemberPeers;

impl Peers for MemberPeers {
    fn connect(&self, to: &Endpoint) -> LocalBoxFuture<'static, Result<Rc<dyn Peer>, PeerError>> {
        let to = to.clone();
        Box::pin(async move {
            let address = resolve(&to)
                .await
                .map_err(|error| PeerError::Unreachable(error.to_string()))?;
            let socket = Socket::connect(address)
                .await
                .map_err(|error| match error.kind() {
                    io::ErrorKind::ConnectionRefused => PeerError::Refused,
                    _ => PeerError::Unreachable(error.to_string()),
                })?;
            let peer: Rc<dyn Peer> = Rc::new(Connection::new(socket));
            Ok(peer)
        })
    }
}

/// Closes when dropped; answers that are still waited for then fail.
struct Connection {
    link: Rc<Link>,
    tasks: [Task<()>; 2],
}

struct Link {
    socket: Socket,
    next_correlation_id: Cell<i32>,
    waiting: RefCell<BTreeMap<i32, oneshot::Sender<Result<Vec<u8>, PeerError>>>>,
    outgoing: RefCell<VecDeque<Bytes>>,
    queued: Notify,
    lost: RefCell<Option<PeerError>>,
    ended: Notify,
}

impl Connection {
    fn new(socket: Socket) -> Connection {
        let link = Rc::new(Link {
            socket,
            next_correlation_id: Cell::new(0),
            waiting: RefCell::default(),
            outgoing: RefCell::default(),
            queued: Notify::new(),
            lost: RefCell::new(None),
            ended: Notify::new(),
        });
        let tasks = [
            reactor::spawn(link.clone().send()),
            reactor::spawn(link.clone().receive()),
        ];
        Connection { link, tasks }
    }
}

impl Peer for Connection {
    fn ask(&self, question: Vec<u8>) -> LocalBoxFuture<'static, Result<Vec<u8>, PeerError>> {
        let link = self.link.clone();
        Box::pin(async move {
            if let Some(lost) = &*link.lost.borrow() {
                return Err(lost.clone());
            }
            let correlation_id = link.next_correlation_id.get();
            link.next_correlation_id.set(correlation_id.wrapping_add(1));
            let (answer, answered) = reactor::oneshot();
            link.waiting.borrow_mut().insert(correlation_id, answer);
            link.outgoing
                .borrow_mut()
                .push_back(frame::question(correlation_id, &question));
            link.queued.notify_one();
            answered
                .await
                .unwrap_or_else(|_| Err(PeerError::Lost("closed".to_owned())))
        })
    }

    fn lost(&self) -> LocalBoxFuture<'static, ()> {
        let link = self.link.clone();
        Box::pin(async move {
            loop {
                let ended = link.ended.notified();
                if link.lost.borrow().is_some() {
                    return;
                }
                ended.await;
            }
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.link.socket.shutdown();
        for task in &self.tasks {
            task.abort();
        }
        self.link.fail("closed");
    }
}

impl Link {
    async fn send(self: Rc<Self>) {
        loop {
            let pieces: Vec<Piece> = self.outgoing.borrow_mut().drain(..).map(Piece::Bytes).collect();
            if pieces.is_empty() {
                self.queued.notified().await;
                continue;
            }
            if let Err(error) = self.socket.send(pieces).await {
                self.fail(&error.to_string());
                return;
            }
        }
    }

    async fn receive(self: Rc<Self>) {
        let mut received = BytesMut::new();
        loop {
            match self.socket.recv(&mut received).await {
                Ok(0) => break self.fail("the other side has closed it"),
                Ok(_) => {}
                Err(error) => break self.fail(&error.to_string()),
            }
            if let Err(why) = self.take_answers(&mut received) {
                self.socket.shutdown();
                break self.fail(&why);
            }
        }
    }

    fn take_answers(&self, received: &mut BytesMut) -> Result<(), String> {
        while let Some(frame) = next_frame(received, FRAME_BYTES_MAX).map_err(|error| error.to_string())? {
            let (correlation_id, body) =
                frame::split_answer(frame).ok_or("an answer without a correlation id")?;
            // One that nobody waits for any more is thrown away.
            if let Some(waiting) = self.waiting.borrow_mut().remove(&correlation_id) {
                let _asker_may_be_gone = waiting.send(Ok(body.to_vec()));
            }
        }
        Ok(())
    }

    fn fail(&self, why: &str) {
        let error = PeerError::Lost(why.to_owned());
        self.lost.borrow_mut().get_or_insert(error.clone());
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for waiting in waiting.into_values() {
            let _asker_may_be_gone = waiting.send(Err(error.clone()));
        }
        self.ended.notify_waiters();
    }
}
