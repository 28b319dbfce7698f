//! The client's side of one connection: for our command line, benches and tests.
//!
//! ```text
//! send -> queue -> sending task -> socket -> receiving task -> the Pending of that correlation id
//! ```
//! Requests are pipelined; at most `in_flight_max` wait for answers, further sends wait for room.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ProduceResponse;
use kafka_protocol::protocol::{Decodable, HeaderVersion, Message, Request, StrBytes};
use reactor::sync::Notify;
use reactor::{Piece, Socket, Task};

use crate::error::ErrorCode;
use crate::frame::{FrameError, finish_frame, next_frame, start_frame};
use crate::header::RequestHeader;
use crate::produce::ProduceRequest;
use crate::versions_beyond_crate::{ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::{Encoding, Reader};

#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    #[error("cannot connect to {address}: {kind}")]
    Connect {
        address: SocketAddr,
        kind: io::ErrorKind,
    },
    #[error("connection lost: {0}")]
    Lost(io::ErrorKind),
    #[error("the broker sent what is no answer: {0}")]
    Frame(#[from] FrameError),
    #[error("the broker answered request {correlation_id}, which nobody asked")]
    UnknownAnswer { correlation_id: i32 },
    #[error("the broker serves API {api_key} at {broker_min} to {broker_max}, this client at {min} to {max}")]
    NoCommonVersion {
        api_key: i16,
        broker_min: i16,
        broker_max: i16,
        min: i16,
        max: i16,
    },
    #[error("the broker does not serve API {api_key}")]
    NotServed { api_key: i16 },
    #[error("the broker refused to tell its versions: {0}")]
    VersionsRefused(ErrorCode),
    #[error("cannot encode API {api_key} v{version}: {reason}")]
    Encode {
        api_key: i16,
        version: i16,
        reason: String,
    },
    #[error("cannot read the answer to API {api_key} v{version}: {reason}")]
    Decode {
        api_key: i16,
        version: i16,
        reason: String,
    },
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

#[derive(Debug, Clone)]
pub struct ClientOptions {
    pub client_id: StrBytes,
    /// Longest answer accepted.
    pub answer_bytes_max: usize,
    /// Requests that may wait for answers; more wait to be sent.
    pub in_flight_max: usize,
    /// For [`Client::connect`] and [`Client::call`].
    pub timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            client_id: "ringlog".into(),
            answer_bytes_max: 256 * 1024 * 1024,
            in_flight_max: 1024,
            timeout: Duration::from_secs(30), // Kafka's request.timeout.ms
        }
    }
}

/// One connection to a broker. Closes when dropped; answers that are still waited for then fail.
pub struct Client {
    link: Rc<Link>,
    options: ClientOptions,
    versions: BTreeMap<i16, (i16, i16)>,
    tasks: [Task<()>; 2],
}

/// What the client and its two tasks share.
struct Link {
    socket: Socket,
    next_correlation_id: Cell<i32>,
    waiting: RefCell<BTreeMap<i32, reactor::oneshot::Sender<Result<Bytes, ClientError>>>>,
    queue: RefCell<VecDeque<Vec<Piece>>>,
    queued: Notify,
    room: Notify,
    lost: RefCell<Option<ClientError>>,
    in_flight_max: usize,
    answer_bytes_max: usize,
}

impl Client {
    /// Connects and asks for the broker's versions.
    pub async fn connect(address: SocketAddr, options: ClientOptions) -> Result<Client, ClientError> {
        let timeout = options.timeout;
        match reactor::timeout(timeout, Client::connect_and_ask(address, options)).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Timeout(timeout)),
        }
    }

    async fn connect_and_ask(address: SocketAddr, options: ClientOptions) -> Result<Client, ClientError> {
        let socket = Socket::connect(address)
            .await
            .map_err(|error| ClientError::Connect {
                address,
                kind: error.kind(),
            })?;
        let link = Rc::new(Link {
            socket,
            next_correlation_id: Cell::new(0),
            waiting: RefCell::default(),
            queue: RefCell::default(),
            queued: Notify::new(),
            room: Notify::new(),
            lost: RefCell::new(None),
            in_flight_max: options.in_flight_max.max(1),
            answer_bytes_max: options.answer_bytes_max,
        });
        let tasks = [
            reactor::spawn(link.clone().send_queue()),
            reactor::spawn(link.clone().receive_answers()),
        ];
        let mut client = Client {
            link,
            options,
            versions: BTreeMap::new(),
            tasks,
        };
        client.versions = client.ask_versions().await?;
        Ok(client)
    }

    async fn ask_versions(&self) -> Result<BTreeMap<i16, (i16, i16)>, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "ringlog".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            ..ApiVersionsRequest::default()
        };
        // v3 is known to every broker since Kafka 2.4; an older one answers in v0 that it is not
        let (version, mut body) = self.ask_at(3, &request).await?;
        let mut answer = match body.first_chunk::<2>() {
            Some(code) if i16::from_be_bytes(*code) == ErrorCode::UnsupportedVersion.code() => {
                let (version, mut body) = self.ask_at(0, &request).await?;
                decode::<ApiVersionsResponse>(18, version, &mut body)?
            }
            _ => decode::<ApiVersionsResponse>(18, version, &mut body)?,
        };
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None => {}
            error => return Err(ClientError::VersionsRefused(error)),
        }
        let versions = std::mem::take(&mut answer.api_keys);
        Ok(versions
            .iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect())
    }

    async fn ask_at(&self, version: i16, request: &ApiVersionsRequest) -> Result<(i16, Bytes), ClientError> {
        let pending = self.send_at(version, request).await?;
        let body = pending.raw().await?;
        Ok((version, body))
    }

    /// The versions the broker told, by API key.
    pub fn versions(&self) -> &BTreeMap<i16, (i16, i16)> {
        &self.versions
    }

    /// The highest version of an API that both sides speak.
    pub fn version_of<R: Request>(&self) -> Result<i16, ClientError> {
        self.common_version(R::KEY, R::VERSIONS.min, R::VERSIONS.max)
    }

    fn common_version(&self, api_key: i16, min: i16, max: i16) -> Result<i16, ClientError> {
        let (broker_min, broker_max) = *self
            .versions
            .get(&api_key)
            .ok_or(ClientError::NotServed { api_key })?;
        let version = max.min(broker_max);
        if version < min.max(broker_min) {
            return Err(ClientError::NoCommonVersion {
                api_key,
                broker_min,
                broker_max,
                min,
                max,
            });
        }
        Ok(version)
    }

    /// Asks at the highest common version and waits for the answer.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.call_at(self.version_of::<R>()?, request).await
    }

    /// Asks at a version of the caller's choice.
    pub async fn call_at<R: Request>(&self, version: i16, request: &R) -> Result<R::Response, ClientError> {
        let timeout = self.options.timeout;
        let asked = async { self.send_at(version, request).await?.answer().await };
        reactor::timeout(timeout, asked)
            .await
            .unwrap_or(Err(ClientError::Timeout(timeout)))
    }

    /// Sends at the highest common version; the answer is waited for through what is returned.
    pub async fn send<R: Request>(&self, request: &R) -> Result<Pending<R::Response>, ClientError> {
        self.send_at(self.version_of::<R>()?, request).await
    }

    pub async fn send_at<R: Request>(
        &self,
        version: i16,
        request: &R,
    ) -> Result<Pending<R::Response>, ClientError> {
        self.link.room().await?;
        let header = self.header(R::KEY, version);
        let mut frame = start_frame();
        header.write(request_encoding::<R>(version), &mut frame);
        request
            .encode(&mut frame, version)
            .map_err(|error| ClientError::Encode {
                api_key: R::KEY,
                version,
                reason: format!("{error:#}"),
            })?;
        let pieces = vec![Piece::Bytes(finish_frame(frame))];
        Ok(self.enqueue(&header, pieces))
    }

    /// Sends records without copying them, at the highest common version. `None` for acks=0, which has no answer.
    pub async fn send_produce(
        &self,
        request: ProduceRequest,
    ) -> Result<Option<Pending<ProduceResponse>>, ClientError> {
        let version = self.common_version(0, ProduceRequest::VERSION_MIN, ProduceRequest::VERSION_MAX)?;
        self.link.room().await?;
        let header = self.header(0, version);
        let is_answered = request.acks != 0;
        let pieces = request.to_pieces(version, &header);
        if is_answered {
            return Ok(Some(self.enqueue(&header, pieces)));
        }
        self.link.enqueue(pieces);
        Ok(None)
    }

    fn header(&self, api_key: i16, api_version: i16) -> RequestHeader {
        let correlation_id = self.link.next_correlation_id.get();
        self.link.next_correlation_id.set(correlation_id.wrapping_add(1));
        RequestHeader {
            api_key,
            api_version,
            correlation_id,
            client_id: self.options.client_id.clone(),
        }
    }

    fn enqueue<T>(&self, header: &RequestHeader, pieces: Vec<Piece>) -> Pending<T> {
        let (sender, receiver) = reactor::oneshot();
        self.link
            .waiting
            .borrow_mut()
            .insert(header.correlation_id, sender);
        self.link.enqueue(pieces);
        Pending {
            api_key: header.api_key,
            version: header.api_version,
            receiver,
            answer: PhantomData,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.link.socket.shutdown();
        for task in &self.tasks {
            task.abort();
        }
        self.link.fail(ClientError::Lost(io::ErrorKind::NotConnected));
    }
}

/// A request that was sent and its answer to come. Dropped, the answer is thrown away when it arrives.
pub struct Pending<T> {
    api_key: i16,
    version: i16,
    receiver: reactor::oneshot::Receiver<Result<Bytes, ClientError>>,
    answer: PhantomData<fn() -> T>,
}

impl<T> Pending<T> {
    /// The answer's body, header taken off.
    async fn raw(self) -> Result<Bytes, ClientError>
    where
        T: HeaderVersion,
    {
        let mut frame = match self.receiver.await {
            Ok(answer) => answer?,
            Err(_) => return Err(ClientError::Lost(io::ErrorKind::NotConnected)),
        };
        if T::header_version(self.version) >= 1 {
            let mut reader = Reader::new(&frame, Encoding::Flexible);
            reader.end_struct().map_err(|error| ClientError::Decode {
                api_key: self.api_key,
                version: self.version,
                reason: error.to_string(),
            })?;
            let header_bytes = reader.position();
            frame.advance(header_bytes);
        }
        Ok(frame)
    }

    /// Waits for the answer.
    pub async fn answer(self) -> Result<T, ClientError>
    where
        T: Decodable + Message + HeaderVersion,
    {
        let (api_key, version) = (self.api_key, self.version);
        let mut body = self.raw().await?;
        decode::<T>(api_key, version, &mut body)
    }
}

fn decode<T: Decodable>(api_key: i16, version: i16, body: &mut Bytes) -> Result<T, ClientError> {
    T::decode(body, version).map_err(|error| ClientError::Decode {
        api_key,
        version,
        reason: format!("{error:#}"),
    })
}

fn request_encoding<R: Request>(version: i16) -> Encoding {
    if R::header_version(version) >= 2 {
        Encoding::Flexible
    } else {
        Encoding::Classic
    }
}

impl Link {
    /// Waits until one more request may be in flight.
    async fn room(&self) -> Result<(), ClientError> {
        loop {
            let room = self.room.notified();
            if let Some(error) = &*self.lost.borrow() {
                return Err(error.clone());
            }
            let in_flight = self.waiting.borrow().len().max(self.queue.borrow().len());
            if in_flight < self.in_flight_max {
                return Ok(());
            }
            room.await;
        }
    }

    fn enqueue(&self, pieces: Vec<Piece>) {
        self.queue.borrow_mut().push_back(pieces);
        self.queued.notify_one();
    }

    async fn send_queue(self: Rc<Self>) {
        loop {
            let pieces: Vec<Piece> = self.queue.borrow_mut().drain(..).flatten().collect();
            if pieces.is_empty() {
                self.queued.notified().await;
                continue;
            }
            self.room.notify_waiters();
            if let Err(error) = self.socket.send(pieces).await {
                self.fail(ClientError::Lost(error.kind()));
                return;
            }
        }
    }

    async fn receive_answers(self: Rc<Self>) {
        let mut buffer = BytesMut::new();
        let error = loop {
            match self.socket.recv(&mut buffer).await {
                Ok(0) => break ClientError::Lost(io::ErrorKind::UnexpectedEof),
                Ok(_) => {}
                Err(error) => break ClientError::Lost(error.kind()),
            }
            if let Err(error) = self.take_answers(&mut buffer) {
                break error;
            }
        };
        self.socket.shutdown();
        self.fail(error);
    }

    fn take_answers(&self, buffer: &mut BytesMut) -> Result<(), ClientError> {
        while let Some(frame) = next_frame(buffer, self.answer_bytes_max)? {
            let mut frame = frame.freeze();
            let correlation_id = frame
                .try_get_i32()
                .map_err(|_| ClientError::Lost(io::ErrorKind::InvalidData))?;
            let sender = self.waiting.borrow_mut().remove(&correlation_id);
            let sender = sender.ok_or(ClientError::UnknownAnswer { correlation_id })?;
            let _ = sender.send(Ok(frame)); // nobody waits any more: thrown away
            self.room.notify_waiters();
        }
        Ok(())
    }

    fn fail(&self, error: ClientError) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for sender in waiting.into_values() {
            let _ = sender.send(Err(error.clone()));
        }
        self.lost.borrow_mut().get_or_insert(error);
        self.room.notify_waiters();
    }
}
