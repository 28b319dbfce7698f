//! The session with ZooKeeper, and the next one when it ends.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use zookeeper_client::{Acls, Client, CreateMode, CreateOptions};

use super::{ZooKeeperConfig, lease_of, store_error};
use crate::store::kv::{LeaseId, StoreError};

/// For all servers together.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A server that is silent for so long is left for another one; the client's own default is 2/5 of the session.
const SILENCE_MAX: Duration = Duration::from_millis(1500);

pub(super) struct Session {
    config: ZooKeeperConfig,
    lease: Duration,
    client: Mutex<Option<Client>>,
    /// One connects at a time; the others take what it made.
    connecting: tokio::sync::Mutex<()>,
}

impl Session {
    pub(super) fn new(config: ZooKeeperConfig, lease: Duration) -> Session {
        Session {
            config,
            lease,
            client: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn known(&self) -> Option<Client> {
        self.lock().clone()
    }

    /// The client of a session that has not ended, as far as we know.
    pub(super) async fn client(&self) -> Result<Client, StoreError> {
        let alive = |client: &Client| !client.state().is_terminated();
        if let Some(client) = self.known().filter(alive) {
            return Ok(client);
        }
        let _only = self.connecting.lock().await;
        if let Some(client) = self.known().filter(alive) {
            return Ok(client);
        }
        let mut connector = Client::connector()
            .with_session_timeout(self.lease)
            .with_connection_timeout(SILENCE_MAX.min(self.lease / 2))
            .with_fail_eagerly();
        if let Some((name, password)) = &self.config.user {
            connector = connector.with_auth("digest", format!("{name}:{password}").as_bytes());
        }
        let servers: Vec<String> = self.config.endpoints.iter().map(ToString::to_string).collect();
        let servers = servers.join(",");
        let connecting = connector.connect(&servers);
        let connected = tokio::time::timeout(CONNECT_MAX, Box::pin(connecting)).await;
        let late = |_| StoreError::Unavailable("no session in time".to_owned());
        let client = connected.map_err(late)?.map_err(store_error)?;
        *self.lock() = Some(client.clone());
        Ok(client)
    }

    pub(super) fn close(&self, lease: LeaseId) {
        let mut client = self.lock();
        if client.as_ref().is_some_and(|client| lease_of(client) == lease) {
            *client = None;
        }
    }

    pub(super) fn folder_options(&self) -> CreateOptions<'static> {
        CreateMode::Persistent.with_acls(self.acls())
    }

    pub(super) fn ephemeral_options(&self) -> CreateOptions<'static> {
        CreateMode::Ephemeral.with_acls(self.acls())
    }

    fn acls(&self) -> Acls<'static> {
        if self.config.user.is_some() {
            Acls::creator_all()
        } else {
            Acls::anyone_all()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Client>> {
        // why: nothing panics under it
        self.client
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
