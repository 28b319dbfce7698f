//! The connection to one of etcd's members at a time.
//!
//! Not the client's own balancing over all of them: it keeps asking a member that is stopped, or that has lost its majority, while here the
//! first call without an answer moves everybody to the next member.

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Error, Identity, KvClient, LeaseClient, TlsOptions, WatchClient,
};

use super::EtcdConfig;
use crate::store::kv::{CALL_MAX, StoreError};

/// gRPC's status codes, by number: tonic is not ours to name.
pub(super) const INVALID_ARGUMENT: i32 = 3;
pub(super) const NOT_FOUND: i32 = 5;
pub(super) const PERMISSION_DENIED: i32 = 7;
pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
pub(super) const FAILED_PRECONDITION: i32 = 9;
pub(super) const OUT_OF_RANGE: i32 = 11;
pub(super) const UNAUTHENTICATED: i32 = 16;

/// HTTP/2's pings find a stopped member within the sum of both; without them a watch on it is silent for ever.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// A range of entries of up to a megabyte each; tonic's own limit is 4 MiB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

pub(super) struct Connection {
    config: EtcdConfig,
    state: Mutex<State>,
    /// One connects at a time; the others take what it made.
    connecting: tokio::sync::Mutex<()>,
}

struct State {
    client: Option<Client>,
    /// Which endpoint, and how often we have moved on.
    turn: usize,
}

/// Why a call brought nothing.
#[derive(Debug)]
pub(super) enum Failure {
    Etcd(Error),
    Timeout(Duration),
}

impl Failure {
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Failure::Etcd(Error::GRpcStatus(status)) => Some(i32::from(status.code())),
            Failure::Etcd(_) | Failure::Timeout(_) => None,
        }
    }

    /// Whether another member would say the same.
    fn is_final(&self) -> bool {
        match self {
            Failure::Etcd(Error::GRpcStatus(_)) => matches!(
                self.code(),
                Some(
                    INVALID_ARGUMENT
                        | NOT_FOUND
                        | PERMISSION_DENIED
                        | RESOURCE_EXHAUSTED
                        | FAILED_PRECONDITION
                        | OUT_OF_RANGE
                        | UNAUTHENTICATED
                )
            ),
            Failure::Etcd(error) => matches!(
                error,
                Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::LeaseKeepAliveError(_)
            ),
            Failure::Timeout(_) => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Etcd(Error::GRpcStatus(status)) => f.write_str(status.message()),
            Failure::Etcd(error) => error.fmt(f),
            Failure::Timeout(within) => write!(f, "no answer within {} ms", within.as_millis()),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        if failure.is_final() && failure.code() != Some(RESOURCE_EXHAUSTED) {
            StoreError::Refused(failure.to_string())
        } else {
            StoreError::Unavailable(failure.to_string())
        }
    }
}

impl Connection {
    pub(super) fn new(config: EtcdConfig) -> Connection {
        Connection {
            config,
            state: Mutex::new(State {
                client: None,
                turn: 0,
            }),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn kv(client: &Client) -> KvClient {
        client.kv_client().max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(super) fn lease(client: &Client) -> LeaseClient {
        client.lease_client()
    }

    pub(super) fn watch(client: &Client) -> WatchClient {
        client.watch_client().max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// One call on the member whose turn it is. Not by the client's own timeout: that would cut streams off, too.
    pub(super) async fn call<C, T>(
        &self,
        within: Duration,
        part: impl FnOnce(&Client) -> C,
        call: impl AsyncFnOnce(C) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let (client, turn) = self.client().await?;
        let result = match tokio::time::timeout(within, call(part(&client))).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Failure::Etcd(error),
            Err(_) => Failure::Timeout(within),
        };
        // A token that has gone stale is not renewed where etcd calls it an invalid argument; a new connection has a new one.
        if !result.is_final() || matches!(result.code(), Some(UNAUTHENTICATED | INVALID_ARGUMENT)) {
            self.move_on(turn);
        }
        Err(result)
    }

    /// The next call goes to the next member, if nobody has seen to that since `turn`.
    pub(super) fn move_on(&self, turn: usize) {
        let mut state = self.lock();
        if state.turn == turn {
            state.turn = turn.wrapping_add(1);
            state.client = None;
        }
    }

    pub(super) async fn client(&self) -> Result<(Client, usize), Failure> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let _only = self.connecting.lock().await;
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let turn = self.lock().turn;
        let endpoints = &self.config.endpoints;
        let Some(endpoint) = endpoints.get(turn % endpoints.len().max(1)) else {
            return Err(Failure::Etcd(Error::InvalidArgs("no endpoint".to_owned())));
        };
        let scheme = if self.config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let url = format!("{scheme}://{endpoint}");
        // It connects when it is used first, but a user is looked up here.
        let connecting = Client::connect([url], Some(self.options()));
        let failure = match tokio::time::timeout(CALL_MAX, connecting).await {
            Ok(Ok(client)) => {
                let mut state = self.lock();
                state.client = Some(client.clone());
                return Ok((client, state.turn));
            }
            Ok(Err(error)) => Failure::Etcd(error),
            Err(_) => Failure::Timeout(CALL_MAX),
        };
        self.move_on(turn);
        Err(failure)
    }

    fn known(&self) -> Option<(Client, usize)> {
        let state = self.lock();
        Some((state.client.clone()?, state.turn))
    }

    fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CALL_MAX)
            .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        if let Some(tls) = &self.config.tls {
            let mut found = TlsOptions::new().ca_certificate(Certificate::from_pem(&tls.ca));
            if let Some((certificate, key)) = &tls.identity {
                found = found.identity(Identity::from_pem(certificate, key));
            }
            options = options.with_tls(found);
        }
        if let Some((name, password)) = &self.config.user {
            options = options.with_user(name, password).with_auto_token_refresh(true);
        }
        options
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // why: nothing panics under it
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
