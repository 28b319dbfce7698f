//! Moves bytes between a socket, the rules of [`Peer`] and a service. Three tasks a connection: one receives, one sends, one
//! looks at the clock; handlers that do not answer at once get one each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use reactor::sync::{Budget, Notify, Reservation};
use reactor::{Piece, Socket, Task, now};

use super::counters::add;
use super::set::Shared;
use super::{
    Action, CloseReason, ConnectionContext, ConnectionCounters, Frame, Limits, Peer, Reading, Reply, Request,
    RequestNumber,
};

/// Answers requests. The first poll of the future that `call` returns happens before the next request's: what must
/// happen in request order (appending to a log) must happen before its first await.
pub trait Service: 'static {
    fn call(&self, request: Request) -> impl Future<Output = Reply> + 'static;
}

/// API keys of requests that wait for other clients: JoinGroup, SyncGroup.
const WAITS_FOR_OTHERS: [i16; 2] = [11, 14];

/// API key of Fetch: it changes nothing, so its handler is dropped when the client goes. It may wait as long as a
/// client says; without this, clients that come, fetch and go would pile up handlers. All other handlers run to their end.
const FETCH: i16 = 1;

/// The longest receive at once while a long request arrives: what is accounted in one step.
const RECEIVE_BYTES: usize = 256 * 1024;
/// A rest shorter than this comes with the ordinary receive (one buffer of the kernel's ring holds it).
const EXACT_RECEIVE_BYTES_MIN: usize = 16 * 1024;
/// A connection that holds nothing yet gets this much ahead of those that wait: small requests go on while clients with
/// large ones fight for memory.
const OVERTAKING_BYTES_MAX: usize = 16 * 1024;
/// Received bytes are accounted after this time at the latest, however slowly the rest of a long request comes.
const ACCOUNTING_DELAY_MAX: Duration = Duration::from_millis(100);

pub(super) struct Connection<S: Service> {
    service: Rc<S>,
    /// The connections with which it shares the budget.
    neighbours: Weak<Shared<S>>,
    socket: Socket,
    pub(super) context: Rc<ConnectionContext>,
    counters: Rc<ConnectionCounters>,
    limits: Limits,
    budget: Budget,
    /// Room for what was received and not answered yet.
    reserved: RefCell<Option<Reservation>>,
    peer: RefCell<Peer>,
    /// Taken by the sending task.
    outgoing: RefCell<Option<Vec<Piece>>>,
    send_wanted: Notify,
    /// Something changed for the receiving task: room, or the end.
    changed: Notify,
    closed: RefCell<Option<CloseReason>>,
    waiting: RefCell<BTreeMap<RequestNumber, Waiting>>,
}

/// Serves one connection until it is closed.
pub(super) async fn serve<S: Service>(connection: Rc<Connection<S>>) {
    connection.counters.opened();
    let helpers = [
        reactor::spawn(connection.clone().send_answers()),
        reactor::spawn(connection.clone().watch_clock()),
    ];
    let end = End {
        connection: &connection,
        helpers,
    };
    connection.receive_requests().await;
    drop(end);
}

/// Runs also when a handler's panic unwinds the receiving task.
struct End<'a, S: Service> {
    connection: &'a Rc<Connection<S>>,
    helpers: [Task<()>; 2],
}

impl<S: Service> Drop for End<'_, S> {
    fn drop(&mut self) {
        let connection = self.connection;
        let reason = connection
            .closed
            .borrow_mut()
            .take()
            .unwrap_or(CloseReason::HandlerFailed);
        connection.socket.shutdown();
        connection.abandon_waiting();
        for helper in &self.helpers {
            helper.abort();
        }
        connection.reserved.borrow_mut().take();
        connection.counters.ended(&reason);
        let ConnectionContext { id, peer, .. } = &*connection.context;
        tracing::debug!(connection = %id, %peer, %reason, "connection closed");
    }
}

impl<S: Service> Connection<S> {
    pub(super) fn new(
        service: Rc<S>,
        neighbours: Weak<Shared<S>>,
        socket: Socket,
        context: ConnectionContext,
        mut limits: Limits,
        budget: Budget,
        counters: Rc<ConnectionCounters>,
    ) -> Connection<S> {
        // a frame that could never fit would wait for the timeout of every attempt
        limits.request_bytes_max = limits.request_bytes_max.min(budget.reservable());
        Connection {
            service,
            neighbours,
            socket,
            context: Rc::new(context),
            counters,
            limits,
            budget,
            reserved: RefCell::new(None),
            peer: RefCell::new(Peer::new(limits, now())),
            outgoing: RefCell::new(None),
            send_wanted: Notify::new(),
            changed: Notify::new(),
            closed: RefCell::new(None),
            waiting: RefCell::new(BTreeMap::new()),
        }
    }

    async fn receive_requests(self: &Rc<Self>) {
        let mut pace = Pace::Quick;
        loop {
            let changed = self.changed.notified();
            if self.closed.borrow().is_some() {
                return;
            }
            let reading = self.peer.borrow().reading();
            pace = match reading {
                Reading::Paused | Reading::Ended => {
                    changed.await;
                    pace
                }
                Reading::Exactly(n) if n >= EXACT_RECEIVE_BYTES_MIN && pace == Pace::Quick => {
                    self.receive(Receive::Exactly(n.min(RECEIVE_BYTES))).await
                }
                Reading::Any | Reading::Exactly(_) => self.receive(Receive::Any).await,
            }
        }
    }

    /// One receive. The buffer is the peer's, lent for the time: nobody cuts frames from it while it is read into,
    /// and there are none to cut, or the peer would not have asked for more.
    async fn receive(self: &Rc<Self>, receive: Receive) -> Pace {
        let mut buffer = self.peer.borrow_mut().lend_buffer();
        let before = buffer.len();
        let mut pace = Pace::Quick;
        let result = match receive {
            Receive::Any => self.socket.recv(&mut buffer).await.map(|n| n > 0),
            Receive::Exactly(n) => {
                let exactly = self.socket.recv_exact(&mut buffer, n);
                match reactor::timeout(ACCOUNTING_DELAY_MAX, exactly).await {
                    Ok(result) => result.map(|()| true),
                    Err(_) => {
                        pace = Pace::Slow;
                        Ok(true)
                    }
                }
            }
        };
        let received = buffer.len() - before;
        add(&self.counters.bytes_in, received as u64);
        if received > 0 && !self.reserve(received).await {
            self.fail(CloseReason::NoMemory).await;
            return pace;
        }
        match result {
            Ok(true) => self.peer.borrow_mut().handle_received(now(), buffer),
            Ok(false) => self.end_of_stream(buffer),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.end_of_stream(buffer),
            Err(error) => self
                .peer
                .borrow_mut()
                .handle_failure(CloseReason::Io(error.kind())),
        }
        self.pump_now().await;
        pace
    }

    fn end_of_stream(&self, buffer: BytesMut) {
        self.peer.borrow_mut().handle_end(now(), buffer);
        // nobody waits for these any more; what was sent after them is still handled
        for (number, waiting) in std::mem::take(&mut *self.waiting.borrow_mut()) {
            self.peer.borrow_mut().handle_answer(now(), number, Reply::None);
            waiting.abandon();
        }
    }

    /// Accounts received bytes; false when the connection was given up while there was no room.
    async fn reserve(&self, bytes: usize) -> bool {
        let may_overtake = self.held_bytes() == 0 && bytes <= OVERTAKING_BYTES_MAX;
        let at_once = self.budget.try_reserve(bytes);
        let at_once = at_once.or_else(|| may_overtake.then(|| self.budget.try_overtake(bytes)).flatten());
        let reservation = match at_once {
            Some(reservation) => reservation,
            None => match self.wait_for_room(bytes).await {
                Some(reservation) => reservation,
                None => return false,
            },
        };
        match &mut *self.reserved.borrow_mut() {
            Some(reserved) => reserved.merge(reservation),
            none => *none = Some(reservation),
        }
        true
    }

    /// Waits in line. When that takes long, those who hold most must go, which may be this connection: who holds little is
    /// not to blame, and whoever waits for the end of a half request may wait for ever.
    async fn wait_for_room(&self, bytes: usize) -> Option<Reservation> {
        let mut room = pin!(self.budget.reserve(bytes));
        let mut patience_ends = now() + self.limits.memory_wait_max;
        loop {
            let mut changed = pin!(self.changed.notified());
            if self.closed.borrow().is_some() {
                return None;
            }
            let room_or_change = poll_fn(|cx| match room.as_mut().poll(cx) {
                Poll::Ready(reservation) => Poll::Ready(Some(reservation)),
                Poll::Pending => changed.as_mut().poll(cx).map(|()| None),
            });
            match reactor::timeout(patience_ends.saturating_since(now()), room_or_change).await {
                Ok(Some(reservation)) => return Some(reservation),
                Ok(None) => {}
                Err(_) => {
                    if let Some(neighbours) = self.neighbours.upgrade() {
                        neighbours.give_up_largest().await;
                    }
                    patience_ends = now() + self.limits.memory_wait_max;
                }
            }
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.reserved.borrow().as_ref().map_or(0, Reservation::bytes)
    }

    async fn send_answers(self: Rc<Self>) {
        loop {
            self.send_wanted.notified().await;
            let Some(pieces) = self.outgoing.borrow_mut().take() else {
                continue;
            };
            let bytes: usize = pieces.iter().map(Piece::len).sum();
            match self.socket.send(pieces).await {
                Ok(()) => {
                    add(&self.counters.bytes_out, bytes as u64);
                    self.peer.borrow_mut().handle_sent(now());
                    self.pump_now().await;
                }
                Err(error) => return self.fail(CloseReason::Io(error.kind())).await,
            }
        }
    }

    async fn watch_clock(self: Rc<Self>) {
        loop {
            let deadline = self.peer.borrow().next_deadline();
            let Some(deadline) = deadline else { return };
            reactor::sleep_until(deadline).await;
            self.peer.borrow_mut().handle_deadline(now());
            self.pump_now().await;
        }
    }

    async fn fail(self: &Rc<Self>, reason: CloseReason) {
        self.peer.borrow_mut().handle_failure(reason);
        self.pump_now().await;
    }

    pub(super) async fn drain(self: &Rc<Self>) {
        self.peer.borrow_mut().handle_shutdown();
        self.pump_now().await;
    }

    pub(super) async fn give_up_for_room(self: &Rc<Self>) {
        self.fail(CloseReason::NoMemory).await;
        // now, not when its task runs: others wait, and count on it
        self.reserved.borrow_mut().take();
    }

    pub(super) async fn cut_off(self: &Rc<Self>) {
        self.fail(CloseReason::Shutdown).await;
    }

    /// [`Connection::pump`] within the task that calls it.
    async fn pump_now(self: &Rc<Self>) {
        poll_fn(|cx| {
            self.pump(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Does all the peer wants done. Whoever told the peer something calls it.
    fn pump(self: &Rc<Self>, cx: &mut Context<'_>) {
        loop {
            let action = self.peer.borrow_mut().poll_action(now());
            match action {
                Some(Action::Start(number, frame)) => self.start(number, frame, cx),
                Some(Action::Send(pieces)) => {
                    *self.outgoing.borrow_mut() = Some(pieces);
                    self.send_wanted.notify_one();
                }
                Some(Action::Close(reason)) => {
                    *self.closed.borrow_mut() = Some(reason);
                    self.socket.shutdown(); // wakes the receiving task
                }
                None => break,
            }
        }
        let freed = self.peer.borrow_mut().take_freed_bytes();
        if let Some(reserved) = &mut *self.reserved.borrow_mut() {
            reserved.release(freed);
        }
        self.changed.notify_waiters();
    }

    /// Begins a request: its first poll is here, in request order.
    fn start(self: &Rc<Self>, number: RequestNumber, frame: Frame, cx: &mut Context<'_>) {
        let api_key = frame.header.api_key;
        let Frame {
            header,
            body,
            received,
        } = frame;
        let answer = Answer {
            connection: Rc::downgrade(self),
            counters: self.counters.clone(),
            number,
        };
        self.counters.request_began();
        let request = Request {
            header,
            body,
            received,
            connection: self.context.clone(),
        };
        let mut handler: Pin<Box<_>> = Box::pin(self.service.call(request));
        match handler.as_mut().poll(cx) {
            Poll::Ready(reply) => answer.give(reply),
            Poll::Pending => {
                let connection = Rc::downgrade(self);
                let task = reactor::spawn(async move {
                    let reply = handler.await;
                    answer.give(reply);
                    let Some(connection) = connection.upgrade() else {
                        return;
                    };
                    connection.waiting.borrow_mut().remove(&number);
                    connection.pump_now().await;
                });
                if api_key == FETCH {
                    self.waiting.borrow_mut().insert(number, Waiting::Droppable(task));
                } else if WAITS_FOR_OTHERS.contains(&api_key) {
                    self.waiting.borrow_mut().insert(number, Waiting::GoesOn);
                }
            }
        }
    }

    fn abandon_waiting(&self) {
        for waiting in std::mem::take(&mut *self.waiting.borrow_mut()).into_values() {
            waiting.abandon();
        }
    }
}

/// A handler that may wait as long as a client says, and whose answer nobody misses when the client is gone.
enum Waiting {
    Droppable(Task<()>),
    /// Its group must see it through. But the socket goes: clients that come, join a group and go would otherwise hold a
    /// descriptor each until the rebalance is over, which may be weeks.
    GoesOn,
}

impl Waiting {
    fn abandon(self) {
        match self {
            Waiting::Droppable(task) => task.abort(),
            Waiting::GoesOn => {}
        }
    }
}

/// How a receive is done.
enum Receive {
    Any,
    /// Straight into the buffer, without the copy from the kernel's ring.
    Exactly(usize),
}

/// Whether the last long receive was complete in time; if not, the next takes whatever comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Quick,
    Slow,
}

/// The duty to answer: a handler that panics closes its connection instead of leaving it stuck.
/// Weak, since a handler may outlive its connection, whose socket must not.
struct Answer<S: Service> {
    connection: Weak<Connection<S>>,
    counters: Rc<ConnectionCounters>,
    number: RequestNumber,
}

impl<S: Service> Answer<S> {
    fn give(self, reply: Reply) {
        if let Some(connection) = self.connection.upgrade() {
            connection
                .peer
                .borrow_mut()
                .handle_answer(now(), self.number, reply);
        }
    }
}

impl<S: Service> Drop for Answer<S> {
    fn drop(&mut self) {
        self.counters.request_ended();
        let Some(connection) = self.connection.upgrade() else {
            return;
        };
        let mut peer = connection.peer.borrow_mut();
        if peer.is_running(self.number) {
            peer.handle_failure(CloseReason::HandlerFailed);
            drop(peer);
            *connection.closed.borrow_mut() = Some(CloseReason::HandlerFailed);
            connection.socket.shutdown();
            connection.changed.notify_waiters();
        }
    }
}
