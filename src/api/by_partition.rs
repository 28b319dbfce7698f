//! The shape of most requests about partitions: topics by name, partitions by index, one result each, in order.

use std::rc::Rc;

use kafka_protocol::messages::TopicName;
use net::error::ErrorCode;

use super::locate;
use crate::shard::{PartitionKey, Shard, ShardGone, scatter};

/// Per topic, in the order of the request: its name, and per partition the index and the result.
pub type Results<T> = Vec<(TopicName, Vec<(i32, Result<T, ErrorCode>)>)>;

/// Runs `work` for each partition on the shard that owns it. `ask` takes from a requested partition its index and what
/// `work` is to know. A partition that does not exist or is led elsewhere gets Kafka's error without any work.
pub async fn run<P, A, T, W, Fut>(
    shard: &Rc<Shard>,
    topics: Vec<(TopicName, Vec<P>)>,
    ask: impl Fn(&P) -> (i32, A),
    work: W,
) -> Result<Results<T>, ShardGone>
where
    A: Send + 'static,
    T: Send + 'static,
    W: Fn(Rc<Shard>, PartitionKey, A) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = Result<T, ErrorCode>> + 'static,
{
    let image = shard.image();
    let mut items = Vec::new();
    let mut slots = Vec::with_capacity(topics.len());
    for (name, partitions) in topics {
        let topic = locate::by_name(&image, &name);
        let mut of_topic = Vec::with_capacity(partitions.len());
        for (index, asked) in partitions.iter().map(&ask) {
            let slot = topic
                .and_then(|topic| locate::led_here(shard, topic, index))
                .map(|key| {
                    items.push((key, asked));
                    items.len() - 1
                });
            of_topic.push((index, slot));
        }
        slots.push((name, of_topic));
    }
    let mut done: Vec<Option<Result<T, ErrorCode>>> =
        scatter(shard, items, work).await?.into_iter().map(Some).collect();
    let mut fill = |slot: Result<usize, ErrorCode>| {
        slot.and_then(|position| {
            done[position]
                .take()
                .unwrap_or(Err(ErrorCode::UnknownServerError))
        })
    };
    let topics = slots.into_iter().map(|(name, slots)| {
        let results = slots
            .into_iter()
            .map(|(index, slot)| (index, fill(slot)))
            .collect();
        (name, results)
    });
    Ok(topics.collect())
}
