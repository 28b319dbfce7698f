//! A client that writes, and writes again until it knows.

use std::rc::Rc;
use std::time::Duration;

use engine::batch::BatchBuilder;
use engine::types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use kafka_protocol::messages::{InitProducerIdRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use net::ErrorCode;
use net::client::ClientError;
use net::produce::{ProducePartition, ProduceRequest, ProduceTopic};

use crate::access::{Access, Leaders, TOPIC, pause};
use crate::model::Record;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    Leader,
    /// With a producer id: what is sent again is stored once.
    All,
}

pub struct Producer {
    pub number: u32,
    pub acks: Acks,
    /// Between two batches.
    pub pause: Duration,
    access: Rc<Access>,
    identity: Option<(ProducerId, ProducerEpoch)>,
    /// By partition: the next record, and its sequence under the present identity.
    next: Vec<(u64, i32)>,
    leaders: Leaders,
}

/// What became of an attempt.
enum Attempt {
    Stored(Option<i64>),
    Again,
    /// The broker refuses this producer id: the batch may be stored or not, and its fate stays unknown.
    Refused(ErrorCode),
}

impl Producer {
    pub fn new(number: u32, acks: Acks, pause: Duration, access: Rc<Access>) -> Producer {
        let partition_count = access.model.with(|state| {
            if acks == Acks::All {
                state.is_idempotent(number);
            }
            state.partition_count()
        });
        Producer {
            number,
            acks,
            pause,
            access,
            identity: None,
            next: vec![(0, 0); partition_count],
            leaders: Leaders::default(),
        }
    }

    /// Writes for ever.
    pub async fn run(mut self) {
        loop {
            let partition = (reactor::random_u64() % self.next.len() as u64) as usize;
            let count = 1 + reactor::random_u64() % 4;
            self.write(partition, count).await;
            let pause = self.pause.as_nanos() as u64;
            reactor::sleep(Duration::from_nanos(reactor::random_u64() % (2 * pause + 1))).await;
        }
    }

    /// Writes some records to a partition and waits until they are acknowledged, or their fate cannot be known.
    pub async fn write(&mut self, partition: usize, count: u64) {
        while self.acks == Acks::All && self.identity.is_none() {
            self.identify().await;
        }
        let first = self.next[partition].0;
        let records: Vec<Record> = (first..first + count)
            .map(|number| Record {
                producer: self.number,
                number,
            })
            .collect();
        self.next[partition].0 += count;
        self.access.model.with(|state| state.sent(partition, &records));
        loop {
            match self.attempt(partition, &records).await {
                Attempt::Stored(base_offset) => {
                    self.next[partition].1 += count as i32;
                    if let (Acks::All, Some(base_offset)) = (self.acks, base_offset) {
                        self.access
                            .model
                            .with(|state| state.acknowledged(partition, base_offset, &records));
                    }
                    return;
                }
                Attempt::Again => {
                    self.access.model.with(|state| state.figures.retried += 1);
                    pause().await;
                    if let Some(leaders) = self.access.leaders().await {
                        self.leaders = leaders;
                    }
                }
                Attempt::Refused(code) => {
                    reactor::sim::trace_line(&format!("the broker refuses the producer: {code}"));
                    self.identity = None;
                    for next in &mut self.next {
                        next.1 = 0;
                    }
                    return;
                }
            }
        }
    }

    async fn identify(&mut self) {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let broker = self.access.any_broker();
        match self.access.ask(broker, &request).await {
            Ok(answer) if answer.error_code == 0 => {
                self.identity = Some((
                    ProducerId(answer.producer_id.0),
                    ProducerEpoch(answer.producer_epoch),
                ));
            }
            Ok(_) | Err(_) => pause().await,
        }
    }

    async fn attempt(&mut self, partition: usize, records: &[Record]) -> Attempt {
        let Some(leader) = self.leaders.of.get(partition).copied().flatten() else {
            return Attempt::Again;
        };
        match self.send(leader, partition, records).await {
            Ok((ErrorCode::None, base_offset)) => Attempt::Stored(Some(base_offset)),
            // the first copy is there; where, is not told
            Ok((ErrorCode::DuplicateSequenceNumber, _)) => Attempt::Stored(None),
            Ok((code, _)) if code.is_retriable() => Attempt::Again,
            Ok((code, _)) => Attempt::Refused(code),
            Err(_) => {
                self.access.forget(leader);
                Attempt::Again
            }
        }
    }

    async fn send(
        &self,
        leader: usize,
        partition: usize,
        records: &[Record],
    ) -> Result<(ErrorCode, i64), ClientError> {
        let client = self.access.client(leader).await?;
        let topic = ProduceTopic {
            name: StrBytes::from_static_str(TOPIC),
            topic_id: self.leaders.topic_id,
            partitions: vec![ProducePartition {
                index: partition as i32,
                records: Some(self.batch(partition, records)),
            }],
        };
        let request = ProduceRequest {
            transactional_id: None,
            acks: match self.acks {
                Acks::Leader => 1,
                Acks::All => -1,
            },
            timeout_ms: 1_500,
            topics: vec![topic],
        };
        let answer = async {
            match client.send_produce(request).await? {
                Some(pending) => pending.answer().await,
                None => Err(ClientError::Lost(std::io::ErrorKind::InvalidData)),
            }
        };
        let timeout = Duration::from_secs(2);
        let answer = reactor::timeout(timeout, answer)
            .await
            .unwrap_or(Err(ClientError::Timeout(timeout)))?;
        let answered = answer
            .responses
            .first()
            .and_then(|topic| topic.partition_responses.first())
            .ok_or(ClientError::Lost(std::io::ErrorKind::InvalidData))?;
        Ok((ErrorCode::from_code(answered.error_code), answered.base_offset))
    }

    fn batch(&self, partition: usize, records: &[Record]) -> bytes::BytesMut {
        let mut batch = BatchBuilder::new(Offset(0));
        if let Some((id, epoch)) = self.identity {
            batch = batch.producer(id, epoch, Sequence(self.next[partition].1));
        }
        for record in records {
            batch.append(Timestamp(reactor::wall_ms()), None, Some(&record.to_value()));
        }
        batch.build().expect("a batch of few records")
    }
}

/// Makes the topic; tries until it is there.
pub async fn create_topic(access: &Access, replication_factor: i16) {
    use kafka_protocol::messages::CreateTopicsRequest;
    use kafka_protocol::messages::create_topics_request::CreatableTopic;
    let partitions = access.model.with(|state| state.partition_count());
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_num_partitions(partitions as i32)
        .with_replication_factor(replication_factor);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(1_500);
    loop {
        if let Ok(answer) = access.ask(access.any_broker(), &request).await
            && let Some(topic) = answer.topics.first()
        {
            match ErrorCode::from_code(topic.error_code) {
                ErrorCode::None | ErrorCode::TopicAlreadyExists => return,
                code => reactor::sim::trace_line(&format!("the topic is not made: {code}")),
            }
        }
        pause().await;
    }
}
