//! Sending batches to partition leaders, in order, each exactly once when the producer is idempotent.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use engine::batch::BatchBuilder;
use engine::types::{ProducerEpoch, ProducerId, Sequence};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, MetadataRequest, ProduceRequest, TopicName};
use net::ErrorCode;
use net::produce;

use super::{AskError, Cluster, Topic, refused, retry, text};

/// The last version that names topics instead of giving their ids.
const VERSION_BY_NAME_MAX: i16 = 12;

/// Whose acknowledgement a producer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    None,
    Leader,
    All,
}

impl Acks {
    pub fn code(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// A producer of one topic. One batch per partition is on its way at a time: the caller awaits each [`Producer::send`],
/// so order needs no more rules, and a retried batch keeps its sequence.
pub struct Producer {
    topic: RefCell<Topic>,
    acks: Acks,
    identity: Option<(ProducerId, ProducerEpoch)>,
    next_sequence: RefCell<BTreeMap<i32, Sequence>>,
}

impl Producer {
    /// A producer with an id of its own: what it sends again after a lost answer is stored once.
    pub async fn idempotent(cluster: &Cluster, topic: Topic) -> Result<Producer, AskError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000) // of no meaning without transactions, but bounds are checked
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let answer = retry(cluster.timeout(), async || {
            let answer = cluster.ask_any(&request).await?;
            refused("producer id", answer.error_code, None)?;
            Ok(answer)
        })
        .await?;
        let identity = (
            ProducerId(answer.producer_id.0),
            ProducerEpoch(answer.producer_epoch),
        );
        Ok(Producer {
            identity: Some(identity),
            ..Producer::plain(topic, Acks::All)
        })
    }

    /// A producer whose retries may store a batch twice.
    pub fn plain(topic: Topic, acks: Acks) -> Producer {
        Producer {
            topic: RefCell::new(topic),
            acks,
            identity: None,
            next_sequence: RefCell::default(),
        }
    }

    /// Builds and sends one batch; returns its first offset, or -1 when nobody was asked to tell.
    pub async fn send(
        &self,
        cluster: &Cluster,
        partition: i32,
        batch: BatchBuilder,
    ) -> Result<i64, AskError> {
        let record_count = batch.record_count();
        let sequence = self
            .next_sequence
            .borrow()
            .get(&partition)
            .copied()
            .unwrap_or(Sequence(0));
        let batch = match self.identity {
            Some((id, epoch)) => batch.producer(id, epoch, sequence),
            None => batch,
        };
        let bytes = batch.build().map(BytesMut::freeze)?;
        let offset = retry(cluster.timeout(), async || {
            self.send_once(cluster, partition, &bytes).await
        })
        .await?;
        self.next_sequence
            .borrow_mut()
            .insert(partition, sequence.advance(record_count));
        Ok(offset)
    }

    async fn send_once(&self, cluster: &Cluster, index: i32, batch: &Bytes) -> Result<i64, AskError> {
        let (name, leader) = {
            let topic = self.topic.borrow();
            (topic.name.clone(), topic.partition(index)?.leader)
        };
        if leader < 0 {
            self.refresh(cluster, &name).await?;
            return Err(AskError::NoLeader {
                topic: name,
                partition: index,
            });
        }
        if self.acks == Acks::None {
            return self.send_unanswered(cluster, leader, index, batch).await;
        }
        let data = PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(batch.clone()));
        let topic_data = TopicProduceData::default()
            .with_name(TopicName(text(&name)))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(self.acks.code())
            .with_timeout_ms(cluster.timeout().as_millis() as i32)
            .with_topic_data(vec![topic_data]);
        let asked = self.ask(cluster, leader, &request).await;
        if asked.as_ref().is_err_and(AskError::is_retriable) {
            self.refresh(cluster, &name).await?;
        }
        asked
    }

    /// With acks=0 no answer comes, so nothing may wait for one.
    async fn send_unanswered(
        &self,
        cluster: &Cluster,
        leader: i32,
        index: i32,
        batch: &Bytes,
    ) -> Result<i64, AskError> {
        let topic = {
            let topic = self.topic.borrow();
            let records = Some(BytesMut::from(&batch[..])); // the sender owns what it sends; a tool can afford the copy
            let partitions = vec![produce::ProducePartition { index, records }];
            produce::ProduceTopic {
                name: text(&topic.name),
                topic_id: topic.id,
                partitions,
            }
        };
        let timeout_ms = cluster.timeout().as_millis() as i32;
        let request = produce::ProduceRequest {
            transactional_id: None,
            acks: 0,
            timeout_ms,
            topics: vec![topic],
        };
        cluster.broker(leader).await?.send_produce(request).await?;
        Ok(-1)
    }

    async fn ask(&self, cluster: &Cluster, leader: i32, request: &ProduceRequest) -> Result<i64, AskError> {
        let client = cluster.broker(leader).await?;
        let version = client.version_of::<ProduceRequest>()?.min(VERSION_BY_NAME_MAX);
        let answer = cluster.ask_broker_at(leader, version, request).await?;
        let partition = answer
            .responses
            .into_iter()
            .flat_map(|topic| topic.partition_responses)
            .next();
        let Some(partition) = partition else {
            return Err(AskError::Incomplete {
                what: "Produce",
                lacks: "the partition".to_owned(),
            });
        };
        match ErrorCode::from_code(partition.error_code) {
            // an earlier try arrived after all
            ErrorCode::DuplicateSequenceNumber => Ok(partition.base_offset),
            _ => {
                let what = format!("partition {}", partition.index);
                refused(what, partition.error_code, partition.error_message.as_ref())?;
                Ok(partition.base_offset)
            }
        }
    }

    /// Waits until the brokers have read what was sent without acknowledgement: answers keep the order of requests.
    pub async fn flush(&self, cluster: &Cluster) -> Result<(), AskError> {
        let leaders: BTreeSet<i32> = self.topic.borrow().partitions.iter().map(|p| p.leader).collect();
        if self.acks == Acks::None {
            for leader in leaders {
                cluster
                    .ask_broker(leader, &MetadataRequest::default().with_topics(Some(Vec::new())))
                    .await?;
            }
        }
        Ok(())
    }

    async fn refresh(&self, cluster: &Cluster, name: &str) -> Result<(), AskError> {
        let topic = cluster.topic(name).await?;
        *self.topic.borrow_mut() = topic;
        Ok(())
    }
}
