// Administration of a cluster of three with franz-go's kadm and with sarama. usage: administration HOST:PORT,...
package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ringlog/tests/clients/go/kit"
)

var brokers = strings.Split(os.Args[1], ",")

func until(condition func() bool, what string) {
	for end := time.Now().Add(150 * time.Second); !condition(); time.Sleep(200 * time.Millisecond) {
		kit.Check(time.Now().Before(end), "waited 150 s for %s", what)
	}
}

func main() {
	franz()
	newest := sarama.NewConfig()
	newest.Version = sarama.MaxVersion
	ibm(newest)
	kit.Finish()
}

func franz() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	client := kit.Must(kgo.NewClient(kgo.SeedBrokers(brokers...)))
	defer client.Close()
	admin := kadm.NewClient(client)
	const topic = "kadm-moving"
	describe := func() kadm.PartitionDetail {
		found := kit.Must(admin.ListTopics(ctx, topic))
		kit.OK(found.Error())
		return found[topic].Partitions[0]
	}

	kit.Case("kadm create with assignments", func() {
		request := kmsg.NewPtrCreateTopicsRequest()
		asked := kmsg.NewCreateTopicsRequestTopic()
		asked.Topic, asked.NumPartitions, asked.ReplicationFactor = topic, -1, -1
		for partition, replicas := range [][]int32{{1, 2}, {2, 3}} {
			asked.ReplicaAssignment = append(asked.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(partition), Replicas: replicas})
		}
		request.Topics = append(request.Topics, asked)
		answer := kit.Must(request.RequestWith(ctx, client))
		kit.OK(kerr.ErrorForCode(answer.Topics[0].ErrorCode))
		until(func() bool { return slices.Equal(describe().Replicas, []int32{1, 2}) }, "the topic")
	})

	kit.Case("kadm reassign, list, cancel", func() {
		var request kadm.AlterPartitionAssignmentsReq
		request.Assign(topic, 0, []int32{2, 3})
		kit.OK(kit.Must(admin.AlterPartitionAssignments(ctx, request)).Error())
		until(func() bool {
			going := kit.Must(admin.ListPartitionReassignments(ctx, nil))
			return len(going[topic]) == 0
		}, "the move")
		until(func() bool { return slices.Equal(describe().Replicas, []int32{2, 3}) }, "replicas 2 and 3") // another broker may tell
		var nothing kadm.AlterPartitionAssignmentsReq
		nothing.CancelAssign(topic, 0)
		err := kit.Must(admin.AlterPartitionAssignments(ctx, nothing)).Error()
		kit.Check(errors.Is(err, kerr.NoReassignmentInProgress), "cancelling nothing: %v", err)
		var wrong kadm.AlterPartitionAssignmentsReq
		wrong.Assign(topic, 0, []int32{2, 9})
		err = kit.Must(admin.AlterPartitionAssignments(ctx, wrong)).Error()
		kit.Check(errors.Is(err, kerr.InvalidReplicaAssignment), "a broker that does not exist: %v", err)
	})

	kit.Case("kadm elect leaders", func() {
		until(func() bool { return len(describe().ISR) == 2 }, "both replicas in sync")
		results := kit.Must(admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, kadm.TopicsSet{topic: {0: {}}}))
		err := results[topic][0].Err
		kit.Check(err == nil || errors.Is(err, kerr.ElectionNotNeeded), "election: %v", err)
		until(func() bool { return describe().Leader == 2 }, "leader 2")
	})
}

func ibm(config *sarama.Config) {
	admin := kit.Must(sarama.NewClusterAdmin(brokers, config))
	defer admin.Close()
	const topic = "sarama-moving"
	describe := func() *sarama.PartitionMetadata {
		found := kit.Must(admin.DescribeTopics([]string{topic}))
		if len(found) == 0 || len(found[0].Partitions) == 0 {
			return &sarama.PartitionMetadata{} // not there yet
		}
		return found[0].Partitions[0]
	}

	kit.Case("sarama create with assignments", func() {
		kit.OK(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: -1, ReplicationFactor: -1, ReplicaAssignment: map[int32][]int32{0: {3, 1}}}, false))
		until(func() bool { return slices.Equal(describe().Replicas, []int32{3, 1}) }, "the topic")
	})

	kit.Case("sarama reassign, list, cancel", func() {
		kit.OK(admin.AlterPartitionReassignments(topic, [][]int32{{1, 2}}))
		until(func() bool {
			return len(kit.Must(admin.ListPartitionReassignments(topic, []int32{0}))[topic]) == 0
		}, "the move")
		until(func() bool { return slices.Equal(describe().Replicas, []int32{1, 2}) }, "replicas 1 and 2")
		kit.Check(admin.AlterPartitionReassignments(topic, [][]int32{{1, 9}}) != nil, "a broker that does not exist was accepted")
	})

	kit.Case("sarama elect leaders", func() {
		until(func() bool { return len(describe().Isr) == 2 }, "both replicas in sync")
		results := kit.Must(admin.ElectLeaders(sarama.PreferredElection, map[string][]int32{topic: {0}}))
		code := results[topic][0].ErrorCode
		kit.Check(code == sarama.ErrNoError || code == 84, "election: %v", code) // 84: ELECTION_NOT_NEEDED
		until(func() bool { return describe().Leader == 1 }, "leader 1")
	})
}
