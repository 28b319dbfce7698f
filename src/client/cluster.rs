//! The brokers of a cluster and a connection to each.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::Request;
use net::client::{Client, ClientOptions};

use super::{AskError, Topic, refused, retry, text};

/// How a tool reaches its cluster.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `HOST:PORT`, several separated by commas.
    pub bootstrap: String,
    /// How long to wait for one answer, and how long to try again what may succeed later.
    pub timeout: Duration,
}

/// The cluster as its clients see it. What it knows of brokers is refreshed by every metadata answer.
pub struct Cluster {
    config: ClientConfig,
    addresses: Vec<SocketAddr>,
    brokers: RefCell<BTreeMap<i32, String>>,
    controller: Cell<i32>,
    connections: RefCell<BTreeMap<Node, Rc<Client>>>,
}

const NO_CONTROLLER: i32 = -1;

/// Whom a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Bootstrap,
    Broker(i32),
}

impl Cluster {
    /// Reaches one broker of the bootstrap list and learns of the others.
    pub async fn connect(config: ClientConfig) -> Result<Cluster, AskError> {
        let mut addresses = Vec::new();
        for address in config
            .bootstrap
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            addresses.extend(resolve(address).await?);
        }
        let cluster = Cluster {
            config,
            addresses,
            brokers: RefCell::default(),
            controller: Cell::new(NO_CONTROLLER),
            connections: RefCell::default(),
        };
        cluster.metadata(Some(&[])).await?;
        Ok(cluster)
    }

    pub fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// Brokers by id, with the address they tell clients.
    pub fn brokers(&self) -> BTreeMap<i32, String> {
        self.brokers.borrow().clone()
    }

    /// The address of a broker, resolved.
    pub async fn broker_address(&self, broker: i32) -> Result<SocketAddr, AskError> {
        let address = self.brokers.borrow().get(&broker).cloned();
        let address = address.ok_or(AskError::UnknownBroker { broker })?;
        let resolved = resolve(&address).await?;
        resolved.first().copied().ok_or(AskError::Address { address })
    }

    /// Any broker.
    pub async fn any(&self) -> Result<Rc<Client>, AskError> {
        if let Some(client) = self.connections.borrow().get(&Node::Bootstrap) {
            return Ok(client.clone());
        }
        let mut failure = None;
        for address in &self.addresses {
            match Client::connect(*address, self.options()).await {
                Ok(client) => return Ok(self.keep(Node::Bootstrap, client)),
                Err(error) => failure = Some(error),
            }
        }
        let bootstrap = self.config.bootstrap.clone();
        Err(match failure {
            Some(source) => AskError::Bootstrap { bootstrap, source },
            None => AskError::Address { address: bootstrap },
        })
    }

    pub async fn broker(&self, broker: i32) -> Result<Rc<Client>, AskError> {
        if let Some(client) = self.connections.borrow().get(&Node::Broker(broker)) {
            return Ok(client.clone());
        }
        let address = self.broker_address(broker).await?;
        let client = Client::connect(address, self.options()).await?;
        Ok(self.keep(Node::Broker(broker), client))
    }

    fn options(&self) -> ClientOptions {
        ClientOptions {
            timeout: self.config.timeout,
            ..ClientOptions::default()
        }
    }

    fn keep(&self, node: Node, client: Client) -> Rc<Client> {
        let client = Rc::new(client);
        self.connections.borrow_mut().insert(node, client.clone());
        client
    }

    /// Asks any broker.
    pub async fn ask_any<R: Request>(&self, request: &R) -> Result<R::Response, AskError> {
        let answer = match self.any().await {
            Ok(client) => client.call(request).await.map_err(AskError::from),
            Err(error) => Err(error),
        };
        self.forget_lost(Node::Bootstrap, answer)
    }

    pub async fn ask_broker<R: Request>(&self, broker: i32, request: &R) -> Result<R::Response, AskError> {
        let answer = match self.broker(broker).await {
            Ok(client) => client.call(request).await.map_err(AskError::from),
            Err(error) => Err(error),
        };
        self.forget_lost(Node::Broker(broker), answer)
    }

    /// Asks at a version of the caller's choice.
    pub async fn ask_broker_at<R: Request>(
        &self,
        broker: i32,
        version: i16,
        request: &R,
    ) -> Result<R::Response, AskError> {
        let answer = match self.broker(broker).await {
            Ok(client) => client.call_at(version, request).await.map_err(AskError::from),
            Err(error) => Err(error),
        };
        self.forget_lost(Node::Broker(broker), answer)
    }

    /// Asks the controller, or whom the cluster names as such: a KRaft broker forwards to the real one.
    pub async fn ask_controller<R: Request>(&self, request: &R) -> Result<R::Response, AskError> {
        match self.controller.get() {
            controller if self.brokers.borrow().contains_key(&controller) => {
                let answer = self.ask_broker(controller, request).await;
                if answer.as_ref().is_err_and(AskError::is_lost_connection) {
                    // Another one may be controller by now. Whoever is asked next passes the request on.
                    self.controller.set(NO_CONTROLLER);
                }
                answer
            }
            _ => self.ask_any(request).await,
        }
    }

    /// A connection that failed is made anew by the next request.
    fn forget_lost<T>(&self, node: Node, answer: Result<T, AskError>) -> Result<T, AskError> {
        if answer.as_ref().is_err_and(AskError::is_lost_connection) {
            let lost = self.connections.borrow_mut().remove(&node);
            drop(lost);
        }
        answer
    }

    /// Topics by name; `None` for all. Never creates one.
    pub async fn metadata(&self, topics: Option<&[&str]>) -> Result<MetadataResponse, AskError> {
        let topics = topics.map(|names| {
            let named = |name: &&str| MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
            names.iter().map(named).collect()
        });
        let request = MetadataRequest::default()
            .with_topics(topics)
            .with_allow_auto_topic_creation(false);
        let answer = self.ask_any(&request).await?;
        refused("metadata", answer.error_code, None)?;
        let address = |host: &str, port: i32| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        *self.brokers.borrow_mut() = answer
            .brokers
            .iter()
            .map(|broker| (broker.node_id.0, address(&broker.host, broker.port)))
            .collect();
        self.controller.set(answer.controller_id.0);
        Ok(answer)
    }

    /// One topic with its partitions, whether they have leaders or not.
    pub async fn topic(&self, name: &str) -> Result<Topic, AskError> {
        let mut topics = self.topics(Some(&[name])).await?;
        topics.pop().ok_or_else(|| AskError::Incomplete {
            what: "Metadata",
            lacks: format!("topic {name}"),
        })
    }

    /// A topic all of whose partitions have leaders; waits for them.
    pub async fn led_topic(&self, name: &str) -> Result<Topic, AskError> {
        retry(self.config.timeout, async || {
            let topic = self.topic(name).await?;
            match topic.partitions.iter().find(|partition| partition.leader < 0) {
                None => Ok(topic),
                Some(partition) => Err(AskError::NoLeader {
                    topic: topic.name.clone(),
                    partition: partition.index,
                }),
            }
        })
        .await
    }

    /// Topics by name, `None` for all, each an error of its own if it does not exist.
    pub async fn topics(&self, names: Option<&[&str]>) -> Result<Vec<Topic>, AskError> {
        let answer = self.metadata(names).await?;
        let mut topics = answer
            .topics
            .into_iter()
            .map(Topic::from_metadata)
            .collect::<Result<Vec<_>, AskError>>()?;
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// The broker that coordinates a group; waits until there is one.
    pub async fn coordinator(&self, group: &str) -> Result<i32, AskError> {
        retry(self.config.timeout, async || self.coordinator_now(group).await).await
    }

    async fn coordinator_now(&self, group: &str) -> Result<i32, AskError> {
        let request = FindCoordinatorRequest::default()
            .with_key(text(group))
            .with_coordinator_keys(vec![text(group)])
            .with_key_type(0);
        let client = self.any().await?;
        // the older form asks for one key, the newer one (v4, KIP-699) for several: only one of them may be filled
        let request = match client.version_of::<FindCoordinatorRequest>()? {
            0..=3 => request.with_coordinator_keys(Vec::new()),
            _ => request.with_key(text("")),
        };
        let answer = self.ask_any(&request).await?;
        let what = || format!("coordinator of group {group}");
        let found = match answer.coordinators.into_iter().next() {
            Some(found) => found,
            None => Coordinator::default()
                .with_node_id(answer.node_id)
                .with_host(answer.host)
                .with_port(answer.port)
                .with_error_code(answer.error_code)
                .with_error_message(answer.error_message),
        };
        refused(what(), found.error_code, found.error_message.as_ref())?;
        let address = format!("{}:{}", &*found.host, found.port);
        self.brokers
            .borrow_mut()
            .entry(found.node_id.0)
            .or_insert(address);
        Ok(found.node_id.0)
    }
}

async fn resolve(address: &str) -> Result<Vec<SocketAddr>, AskError> {
    if let Ok(parsed) = address.parse() {
        return Ok(vec![parsed]);
    }
    let host_and_port = address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
        .filter(|(host, _)| !host.is_empty());
    let Some((host, port)) = host_and_port else {
        return Err(AskError::Address {
            address: address.to_owned(),
        });
    };
    let found = reactor::resolve(host, port).await;
    found.map_err(|source| AskError::Resolve {
        address: address.to_owned(),
        source,
    })
}
