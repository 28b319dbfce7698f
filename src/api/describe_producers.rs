//! DescribeProducers: which producers a partition remembers (KIP-664).

use std::rc::Rc;

use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use net::error::ErrorCode;

use super::{Api, by_partition};
use crate::dispatch::{Call, Outcome};
use crate::shard::{PartitionKey, Shard};

pub static API: Api = Api::new(61, "DescribeProducers", (0, 0), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: DescribeProducersRequest = call.decode()?;
    let topics = request
        .topics
        .into_iter()
        .map(|topic| (topic.name, topic.partition_indexes))
        .collect();
    let results = by_partition::run(&shard, topics, |index: &i32| (*index, ()), producers).await?;
    let topics = results.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, result)| {
            let answer = PartitionResponse::default().with_partition_index(index);
            match result {
                Ok(producers) => answer.with_active_producers(producers),
                Err(code) => answer.with_error_code(code.code()),
            }
        });
        TopicResponse::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    call.reply(&DescribeProducersResponse::default().with_topics(topics.collect()))
}

async fn producers(shard: Rc<Shard>, key: PartitionKey, (): ()) -> Result<Vec<ProducerState>, ErrorCode> {
    let partition = shard.led_partition(&key).await?;
    let state = |producer: engine::log::ProducerInfo| {
        ProducerState::default()
            .with_producer_id(producer.producer_id.0.into())
            .with_producer_epoch(i32::from(producer.epoch.0))
            .with_last_sequence(producer.last_sequence.0)
            .with_last_timestamp(producer.last_timestamp.0)
            .with_coordinator_epoch(producer.coordinator_epoch)
            .with_current_txn_start_offset(producer.current_transaction_start.map_or(-1, |offset| offset.0))
    };
    Ok(partition.log.producers().into_iter().map(state).collect())
}
