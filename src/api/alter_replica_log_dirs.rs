//! AlterReplicaLogDirs: partitions move to other directories of this broker (KIP-113). Answered when the moves have begun;
//! DescribeLogDirs shows how far they are.

use std::path::Path;
use std::rc::Rc;

use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, TopicName};
use net::error::ErrorCode;

use super::{Api, by_partition};
use crate::dispatch::{Call, Outcome};
use crate::log_dirs::DirIndex;
use crate::shard::{PartitionKey, Shard, alter_directory};

pub static API: Api = Api::new(34, "AlterReplicaLogDirs", (1, 2), |shard, call| {
    Box::pin(answer(shard, call))
});

/// A partition, and where to; `None`: to a directory that this broker has not.
type Asked = (i32, Option<DirIndex>);

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: AlterReplicaLogDirsRequest = call.decode()?;
    let mut topics: Vec<(TopicName, Vec<Asked>)> = Vec::new();
    for dir in request.dirs {
        let to = shard.node.log_dirs.by_path(Path::new(&*dir.path));
        for topic in dir.topics {
            let asked = topic.partitions.into_iter().map(|index| (index, to));
            topics.push((topic.name, asked.collect()));
        }
    }
    let results = by_partition::run(&shard, topics, |asked| *asked, begin).await?;
    let mut answers: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    for (name, partitions) in results {
        let partitions = partitions.into_iter().map(|(index, result)| {
            let code = result.err().unwrap_or(ErrorCode::None);
            AlterReplicaLogDirPartitionResult::default()
                .with_partition_index(index)
                .with_error_code(code.code())
        });
        // A topic may be asked for once per directory, and is answered once.
        match answers.iter_mut().find(|answer| answer.topic_name == name) {
            Some(answer) => answer.partitions.extend(partitions),
            None => answers.push(
                AlterReplicaLogDirTopicResult::default()
                    .with_topic_name(name)
                    .with_partitions(partitions.collect()),
            ),
        }
    }
    call.reply(&AlterReplicaLogDirsResponse::default().with_results(answers))
}

async fn begin(shard: Rc<Shard>, key: PartitionKey, to: Option<DirIndex>) -> Result<(), ErrorCode> {
    let to = to.ok_or(ErrorCode::LogDirNotFound)?;
    alter_directory(shard, key, to).await
}
