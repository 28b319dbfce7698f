//! ElectLeaders: preferred and unclean elections on an operator's word (KIP-183, KIP-460).

use std::rc::Rc;

use control::controller::{
    ElectLeaders, ElectedPartition, ElectionType, ErrorCode as Refusal, Request, Response,
};
use control::record::PartitionId;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use net::error::ErrorCode;

use super::Api;
use super::by_topic::by_topic;
use super::control_error::{ControlError, parts};
use super::reply::topic_name;
use crate::dispatch::{Call, Hangup, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(43, "ElectLeaders", (0, 2), |shard, call| {
    Box::pin(answer(shard, call))
});

const TOP_LEVEL_ERROR_SINCE: i16 = 1;

type Asked = Vec<(String, Vec<PartitionId>)>;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: ElectLeadersRequest = call.decode()?;
    let partitions: Option<Asked> = request.topic_partitions.map(|topics| {
        let topics = topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(PartitionId);
            (topic.topic.to_string(), partitions.collect())
        });
        topics.collect()
    });
    let asked = partitions.clone();
    let elected = match election_type(request.election_type) {
        Ok(election_type) => {
            let elect = ElectLeaders {
                election_type,
                partitions,
            };
            match shard.control(Request::ElectLeaders(elect)).await {
                Ok(Response::ElectLeaders(elected)) => Ok(elected),
                Ok(other) => return Err(Hangup::confused(&other)),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    };
    let response = match elected {
        Ok(elected) => {
            ElectLeadersResponse::default().with_replica_election_results(results(elected, asked.is_none()))
        }
        Err(error) => {
            let code = if call.version() >= TOP_LEVEL_ERROR_SINCE {
                error.code
            } else {
                ErrorCode::None
            };
            ElectLeadersResponse::default()
                .with_error_code(code.code())
                .with_replica_election_results(refused(asked.unwrap_or_default(), &error))
        }
    };
    call.reply(&response)
}

/// Version 0 has no such field and means preferred leaders, which is 0.
fn election_type(code: i8) -> Result<ElectionType, ControlError> {
    match code {
        0 => Ok(ElectionType::Preferred),
        1 => Ok(ElectionType::Unclean),
        other => Err(ControlError::new(
            ErrorCode::InvalidRequest,
            format!("Unknown election type {other}"),
        )),
    }
}

/// Who asks for elections everywhere is told only where something happened or failed.
fn results(elected: Vec<ElectedPartition>, is_of_all: bool) -> Vec<ReplicaElectionResult> {
    let is_news = |elected: &ElectedPartition| !matches!(&elected.result, Err(error) if is_of_all && error.code == Refusal::ELECTION_NOT_NEEDED);
    let results = elected.into_iter().filter(is_news).map(|elected| {
        let result = elected.result.map_err(ControlError::from);
        (elected.topic, partition(elected.partition, result))
    });
    by_topic(results)
        .map(|(topic, partitions)| {
            ReplicaElectionResult::default()
                .with_topic(topic_name(&topic))
                .with_partition_result(partitions)
        })
        .collect()
}

fn refused(asked: Asked, error: &ControlError) -> Vec<ReplicaElectionResult> {
    let topic = |(topic, partitions): (String, Vec<PartitionId>)| {
        let partitions = partitions.into_iter();
        ReplicaElectionResult::default()
            .with_topic(topic_name(&topic))
            .with_partition_result(
                partitions
                    .map(|index| partition(index, Err(error.clone())))
                    .collect(),
            )
    };
    asked.into_iter().map(topic).collect()
}

fn partition(index: PartitionId, result: Result<(), ControlError>) -> PartitionResult {
    let (code, message) = parts(result);
    PartitionResult::default()
        .with_partition_id(index.0)
        .with_error_code(code)
        .with_error_message(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::controller::ApiError;

    fn elected(topic: &str, partition: i32, result: Result<(), Refusal>) -> ElectedPartition {
        ElectedPartition {
            topic: topic.to_owned(),
            partition: PartitionId(partition),
            result: result.map_err(ApiError::of),
        }
    }

    /// Breaks in production: kafka-leader-election on all partitions prints every partition of the cluster as an error.
    #[test]
    fn elections_everywhere_tell_only_what_happened() {
        let all = || {
            vec![
                elected("a", 0, Err(Refusal::ELECTION_NOT_NEEDED)),
                elected("a", 1, Ok(())),
                elected("b", 0, Err(Refusal::ELECTION_NOT_NEEDED)),
                elected("b", 1, Err(Refusal::PREFERRED_LEADER_NOT_AVAILABLE)),
            ]
        };
        let told = |is_of_all| {
            let results = results(all(), is_of_all).into_iter();
            let row = |topic: ReplicaElectionResult| {
                let partitions = topic.partition_result.iter();
                let partitions = partitions.map(|result| (result.partition_id, result.error_code));
                (topic.topic.to_string(), partitions.collect::<Vec<_>>())
            };
            results.map(row).collect::<Vec<_>>()
        };
        assert_eq!(
            told(true),
            [("a".to_owned(), vec![(1, 0)]), ("b".to_owned(), vec![(1, 80)])]
        );
        assert_eq!(
            told(false),
            [
                ("a".to_owned(), vec![(0, 84), (1, 0)]),
                ("b".to_owned(), vec![(0, 84), (1, 80)])
            ]
        );
    }

    /// Breaks in production: an election of an unknown kind is taken for an unclean one, which loses records.
    #[test]
    fn unknown_kinds_of_elections_are_refused() {
        assert_eq!(election_type(0).ok(), Some(ElectionType::Preferred));
        assert_eq!(election_type(1).ok(), Some(ElectionType::Unclean));
        for code in [-1, 2, i8::MAX] {
            assert_eq!(
                election_type(code).map_err(|error| error.code),
                Err(ErrorCode::InvalidRequest)
            );
        }
    }
}
