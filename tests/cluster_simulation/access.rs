//! How a client reaches the brokers: connections, metadata, and what to do when either fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use net::client::{Client, ClientError, ClientOptions};
use uuid::Uuid;

use crate::model::Model;

pub const TOPIC: &str = "simulated";
/// For one answer.
const TIMEOUT: Duration = Duration::from_millis(2_000);

/// Who leads each partition, as some broker says; by index of the broker.
#[derive(Clone, Debug, Default)]
pub struct Leaders {
    pub topic_id: Uuid,
    pub of: Vec<Option<usize>>,
}

pub struct Access {
    pub model: Model,
    brokers: Vec<SocketAddr>,
    connections: RefCell<BTreeMap<usize, Rc<Client>>>,
}

impl Access {
    pub fn new(model: Model, brokers: Vec<SocketAddr>) -> Access {
        Access {
            model,
            brokers,
            connections: RefCell::default(),
        }
    }

    pub fn any_broker(&self) -> usize {
        (reactor::random_u64() % self.brokers.len() as u64) as usize
    }

    pub async fn client(&self, broker: usize) -> Result<Rc<Client>, ClientError> {
        if let Some(client) = self.connections.borrow().get(&broker) {
            return Ok(client.clone());
        }
        let options = ClientOptions {
            client_id: StrBytes::from_static_str("simulated"),
            timeout: TIMEOUT,
            ..ClientOptions::default()
        };
        let client = Rc::new(Client::connect(self.brokers[broker], options).await?);
        self.connections.borrow_mut().insert(broker, client.clone());
        Ok(client)
    }

    /// The next request makes a new connection.
    pub fn forget(&self, broker: usize) {
        let gone = self.connections.borrow_mut().remove(&broker);
        drop(gone);
    }

    pub async fn ask<R: Request>(&self, broker: usize, request: &R) -> Result<R::Response, ClientError> {
        let answer = match self.client(broker).await {
            Ok(client) => client.call(request).await,
            Err(error) => Err(error),
        };
        if answer.is_err() {
            self.forget(broker);
        }
        answer
    }

    /// Asks any broker. None if it does not answer, or does not know the topic.
    pub async fn leaders(&self) -> Option<Leaders> {
        let name = TopicName(StrBytes::from_static_str(TOPIC));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(name))]))
            .with_allow_auto_topic_creation(false);
        let answer = self.ask(self.any_broker(), &request).await.ok()?;
        let topic = answer.topics.first().filter(|topic| topic.error_code == 0)?;
        let mut leaders = Leaders {
            topic_id: topic.topic_id,
            of: vec![None; self.model.with(|state| state.partition_count())],
        };
        for partition in &topic.partitions {
            let index = partition.partition_index as usize;
            let (leader, epoch) = (partition.leader_id.0, partition.leader_epoch);
            self.model.with(|state| state.leader(index, epoch, leader));
            let slot = leaders.of.get_mut(index)?;
            *slot = usize::try_from(leader - 1)
                .ok()
                .filter(|broker| *broker < self.brokers.len());
        }
        Some(leaders)
    }
}

/// Between two attempts.
pub async fn pause() {
    reactor::sleep(Duration::from_millis(20 + reactor::random_u64() % 100)).await;
}
