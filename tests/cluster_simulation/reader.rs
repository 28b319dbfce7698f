//! A client that reads, from the beginning to the high watermark and on.

use std::rc::Rc;
use std::time::Duration;

use engine::batch::Batches;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use net::ErrorCode;

use crate::access::{Access, Leaders, TOPIC, pause};
use crate::invariants::COMMITTED;

pub struct Reader {
    pub number: u32,
    access: Rc<Access>,
    leaders: Leaders,
    /// By partition: the next offset.
    next: Vec<i64>,
}

const UNPACKED_BYTES_MAX: usize = 1 << 24;
/// How long a new leader may take to know what was committed before it, when nothing is broken.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

impl Reader {
    pub fn new(number: u32, access: Rc<Access>) -> Reader {
        let partition_count = access.model.with(|state| state.partition_count());
        Reader {
            number,
            access,
            leaders: Leaders::default(),
            next: vec![0; partition_count],
        }
    }

    /// Reads for ever.
    pub async fn run(mut self) {
        loop {
            let partition = (reactor::random_u64() % self.next.len() as u64) as usize;
            if self.read(partition).await.is_none() {
                pause().await;
                self.refresh().await;
            }
        }
    }

    /// Reads every partition up to the high watermark it has then, or soon: a new leader's begins lower than the last one's, until it
    /// has heard of its followers, as Kafka's.
    pub async fn read_all(mut self) {
        let give_up = reactor::now() + CATCH_UP_MAX;
        self.refresh().await;
        for partition in 0..self.next.len() {
            loop {
                let known = self.access.model.with(|state| state.latest_epoch(partition));
                if self.leaders.of(partition).is_some_and(|(_, epoch)| epoch < known) {
                    // a deposed leader that has not heard of it gives what was committed up to then, as Kafka's
                    pause().await;
                    self.refresh().await;
                    continue;
                }
                match self.read(partition).await {
                    Some(high_watermark) if self.next[partition] >= high_watermark => {
                        let acknowledged_end =
                            self.access.model.with(|state| state.acknowledged_end(partition));
                        if high_watermark < acknowledged_end && reactor::now() < give_up {
                            pause().await;
                            self.refresh().await;
                            continue;
                        }
                        self.access
                            .model
                            .with(|state| state.check_whole(partition, high_watermark));
                        break;
                    }
                    Some(_) => {}
                    None => {
                        pause().await;
                        self.refresh().await;
                    }
                }
            }
        }
    }

    async fn refresh(&mut self) {
        if let Some(leaders) = self.access.leaders(&self.leaders).await {
            self.leaders = leaders;
        }
    }

    /// One fetch. The high watermark, if the leader told it.
    async fn read(&mut self, partition: usize) -> Option<i64> {
        let (leader, epoch) = self.leaders.of(partition)?;
        let from = self.next[partition];
        let wanted = FetchPartition::default()
            .with_partition(partition as i32)
            .with_fetch_offset(from)
            .with_current_leader_epoch(epoch)
            .with_partition_max_bytes(64 << 10);
        let topic = FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str(TOPIC)))
            .with_topic_id(self.leaders.topic_id)
            .with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(100)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let answer = self.access.ask(leader, &request).await.ok()?;
        let topic = answer.responses.first()?;
        let answered = topic.partitions.first()?;
        match ErrorCode::from_code(answered.error_code) {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                let text = format!(
                    "partition {partition}: offset {from} was below the high watermark once and is out of range"
                );
                self.access.model.violate(COMMITTED, text);
                return None;
            }
            _ => return None,
        }
        let high_watermark = answered.high_watermark;
        let records = answered.records.clone().unwrap_or_default();
        self.take(partition, from, high_watermark, &records);
        self.access
            .model
            .with(|state| state.high_watermark(self.number, partition, epoch, high_watermark));
        Some(high_watermark)
    }

    fn take(&mut self, partition: usize, from: i64, high_watermark: i64, bytes: &[u8]) {
        let mut next = from;
        for batch in Batches::new(bytes) {
            let Ok(batch) = batch else { break }; // the last one may be cut off
            let Ok(records) = batch.records(UNPACKED_BYTES_MAX) else {
                let text = format!(
                    "partition {partition}: a batch at {} cannot be read",
                    batch.base_offset()
                );
                return self.access.model.violate(COMMITTED, text);
            };
            for record in records.iter().flatten() {
                let offset = record.offset.0;
                if offset < next {
                    continue;
                }
                if offset >= high_watermark {
                    let text = format!(
                        "partition {partition}: offset {offset} is given with high watermark {high_watermark}"
                    );
                    return self.access.model.violate(COMMITTED, text);
                }
                self.access.model.with(|state| {
                    state.skipped(partition, next, offset);
                    state.read(partition, offset, record.value.unwrap_or_default());
                });
                next = offset + 1;
            }
        }
        self.next[partition] = next;
    }
}
