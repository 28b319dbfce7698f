//! Messages of Kafka 4.4 that kafka-protocol 0.18 (generated from Kafka 4.1) lacks, at all their versions, so that a
//! handler sees one struct per API.
//!
//! | API | newest in the crate | newest here | what is new |
//! |---|---|---|---|
//! | ApiVersions | 4 | 5 | request says which cluster and node the client means (KIP-1242) |
//! | ListOffsets | 10 | 11 | one more special timestamp, the same bytes (KIP-1023) |
//! | OffsetCommit | 9 | 10 | topics by id (KIP-848) |
//! | OffsetFetch | 9 | 10 | topics by id (KIP-848) |
//! | DeleteGroups | 2 | 3 | error message |
//! | DescribeLogDirs | 4 | 5 | cordoned flag (KIP-1066) |
//!
//! All of them implement kafka-protocol's traits, so `net::message` and `net::client` take them like any other.

mod api_versions;
mod codec;
mod delete_groups;
mod describe_log_dirs;
mod list_offsets;
mod offset_commit;
mod offset_fetch;

pub use api_versions::{ApiVersionsRequest, ApiVersionsResponse};
pub use delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
pub use describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
pub use list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
pub use offset_commit::{
    OffsetCommitPartition, OffsetCommitPartitionResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetCommitTopic, OffsetCommitTopicResponse,
};
pub use offset_fetch::{
    OffsetFetchGroup, OffsetFetchGroupResponse, OffsetFetchPartitionResponse, OffsetFetchRequest,
    OffsetFetchResponse, OffsetFetchTopic, OffsetFetchTopicResponse,
};

#[cfg(test)]
mod golden;
