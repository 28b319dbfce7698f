//! Which type decodes the request of which API. One list, for the tests of the tables and for the fuzz target; the
//! broker itself names the type where it answers.

/// Calls the macro `$then` with the request type of API `$key` as kafka-protocol or [`crate::versions_beyond_crate`]
/// decodes it, and `$arguments` behind it; `$otherwise` if no API of [`crate::shape`] has that key.
#[macro_export]
macro_rules! with_request_type {
    ($key:expr, $then:ident ! ($($arguments:tt)*), $otherwise:expr) => {
        $crate::with_request_type!(@match $key, $then, ($($arguments)*), $otherwise;
            crate_types {
                0 => ProduceRequest, 1 => FetchRequest, 3 => MetadataRequest, 10 => FindCoordinatorRequest,
                11 => JoinGroupRequest, 12 => HeartbeatRequest, 13 => LeaveGroupRequest, 14 => SyncGroupRequest,
                15 => DescribeGroupsRequest, 16 => ListGroupsRequest, 19 => CreateTopicsRequest,
                20 => DeleteTopicsRequest, 21 => DeleteRecordsRequest, 22 => InitProducerIdRequest,
                23 => OffsetForLeaderEpochRequest, 32 => DescribeConfigsRequest, 33 => AlterConfigsRequest,
                34 => AlterReplicaLogDirsRequest, 37 => CreatePartitionsRequest, 43 => ElectLeadersRequest,
                44 => IncrementalAlterConfigsRequest, 45 => AlterPartitionReassignmentsRequest,
                46 => ListPartitionReassignmentsRequest, 47 => OffsetDeleteRequest, 52 => VoteRequest,
                53 => BeginQuorumEpochRequest, 54 => EndQuorumEpochRequest, 55 => DescribeQuorumRequest,
                57 => UpdateFeaturesRequest, 59 => FetchSnapshotRequest, 60 => DescribeClusterRequest,
                61 => DescribeProducersRequest, 64 => UnregisterBrokerRequest, 74 => ListConfigResourcesRequest,
                75 => DescribeTopicPartitionsRequest, 80 => AddRaftVoterRequest, 81 => RemoveRaftVoterRequest,
                82 => UpdateRaftVoterRequest,
            }
            beyond {
                2 => ListOffsetsRequest, 8 => OffsetCommitRequest, 9 => OffsetFetchRequest, 18 => ApiVersionsRequest,
                35 => DescribeLogDirsRequest, 42 => DeleteGroupsRequest,
            }
        )
    };
    (@match $key:expr, $then:ident, $arguments:tt, $otherwise:expr;
        crate_types { $($theirs:literal => $their_type:ident),* $(,)? }
        beyond { $($ours:literal => $our_type:ident),* $(,)? }
    ) => {
        match $key {
            $($theirs => $crate::with_request_type!(@call $then, (kafka_protocol::messages::$their_type), $arguments),)*
            $($ours => $crate::with_request_type!(@call $then, ($crate::versions_beyond_crate::$our_type), $arguments),)*
            _ => $otherwise,
        }
    };
    (@call $then:ident, ($request:ty), ($($arguments:tt)*)) => { $then!($request, $($arguments)*) };
}
