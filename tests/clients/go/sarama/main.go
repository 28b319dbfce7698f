// Everything an application does with sarama: at its defaults, and at its newest protocol version. usage: sarama HOST:PORT
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"ringlog/tests/clients/go/kit"
)

var brokers = []string{os.Args[1]}

func config(version sarama.KafkaVersion) *sarama.Config {
	c := sarama.NewConfig()
	c.Version = version
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	return c
}

func numbered(topic, prefix string, count, partitions int) []*sarama.ProducerMessage {
	messages := make([]*sarama.ProducerMessage, count)
	for i := range messages {
		messages[i] = &sarama.ProducerMessage{
			Topic: topic, Partition: int32(i % partitions), Timestamp: kit.Base.Add(time.Duration(i) * time.Millisecond),
			Key: sarama.StringEncoder(fmt.Sprint("k", i)), Value: sarama.StringEncoder(fmt.Sprint(prefix, i)),
			Headers: []sarama.RecordHeader{{Key: []byte("n"), Value: fmt.Append(nil, i)}},
		}
	}
	return messages
}

func produce(c *sarama.Config, messages []*sarama.ProducerMessage) error {
	producer := kit.Must(sarama.NewSyncProducer(brokers, c))
	defer producer.Close()
	return producer.SendMessages(messages)
}

func consume(c *sarama.Config, topic string, partition int32, from int64, count int) []*sarama.ConsumerMessage {
	consumer := kit.Must(sarama.NewConsumer(brokers, c))
	defer consumer.Close()
	reader := kit.Must(consumer.ConsumePartition(topic, partition, from))
	defer reader.Close()
	var found []*sarama.ConsumerMessage
	limit := time.After(150 * time.Second)
	for len(found) < count {
		select {
		case message := <-reader.Messages():
			found = append(found, message)
		case <-limit:
			kit.Equal(len(found), count, "number of messages read")
		}
	}
	return found
}

// member is a running member of a group.
type member struct {
	group      sarama.ConsumerGroup
	cancel     context.CancelFunc
	done       chan struct{}
	lock       sync.Mutex
	partitions int
	values     map[string]int
	offsets    []int64
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.partitions = 0
	for _, partitions := range session.Claims() {
		m.partitions += len(partitions)
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		m.lock.Lock()
		m.values[string(message.Value)]++
		m.offsets = append(m.offsets, message.Offset)
		m.lock.Unlock()
		session.MarkMessage(message, "")
	}
	return nil
}

func join(c *sarama.Config, group, topic string) *member {
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{group: kit.Must(sarama.NewConsumerGroup(brokers, group, c)), cancel: cancel, done: make(chan struct{}), values: map[string]int{}}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			if err := m.group.Consume(ctx, []string{topic}, m); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "consume:", err)
				time.Sleep(100 * time.Millisecond)
			}
		}
	}()
	return m
}

func (m *member) owned() int {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.partitions
}

func (m *member) leave() {
	m.cancel()
	<-m.done
	m.group.Close()
}

func seen(members ...*member) int {
	all := map[string]bool{}
	for _, m := range members {
		m.lock.Lock()
		for value := range m.values {
			all[value] = true
		}
		m.lock.Unlock()
	}
	return len(all)
}

func topic(partitions int32) *sarama.TopicDetail {
	return &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}
}

func story(name string, version sarama.KafkaVersion) {
	c := config(version)
	admin := kit.Must(sarama.NewClusterAdmin(brokers, c))
	defer admin.Close()
	prefix := "sarama-" + name + "-"
	label := name + " "

	kit.Case(label+"admin: create, describe, alter", func() {
		retention := "7200000"
		detail := topic(3)
		detail.ConfigEntries = map[string]*string{"retention.ms": &retention}
		kit.OK(admin.CreateTopic(prefix+"data", detail, false))
		kit.WaitUntil(func() bool {
			return len(kit.Must(admin.DescribeTopics([]string{prefix + "data"}))[0].Partitions) == 3
		}, "three partitions")
		value := func(key string) string {
			for _, entry := range kit.Must(admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: prefix + "data"})) {
				if entry.Name == key {
					return entry.Value
				}
			}
			return "absent"
		}
		kit.Equal(value("retention.ms"), "7200000", "retention.ms")
		limit := "100000"
		kit.OK(admin.IncrementalAlterConfig(sarama.TopicResource, prefix+"data", map[string]sarama.IncrementalAlterConfigsEntry{
			"max.message.bytes": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &limit}}, false))
		kit.WaitUntil(func() bool { return value("max.message.bytes") == "100000" }, "max.message.bytes")
		kit.OK(admin.CreateTopic(prefix+"grow", topic(1), false))
		kit.OK(admin.CreatePartitions(prefix+"grow", 4, nil, false))
		kit.WaitUntil(func() bool {
			return len(kit.Must(admin.DescribeTopics([]string{prefix + "grow"}))[0].Partitions) == 4
		}, "four partitions")
		nodes, controller, err := admin.DescribeCluster()
		kit.OK(err)
		kit.Equal(nodes[0].Addr(), brokers[0], "the broker's own address")
		kit.Equal(controller, nodes[0].ID(), "controller")
		kit.Check(len(kit.Must(admin.DescribeLogDirs([]int32{controller}))[controller]) == 1, "one log directory")
	})

	kit.Case(label+"produce and consume", func() {
		sent := numbered(prefix+"data", "v", 3000, 3)
		kit.OK(produce(c, sent))
		for partition := range int32(3) {
			for i, message := range consume(c, prefix+"data", partition, sarama.OffsetOldest, 1000) {
				original := sent[i*3+int(partition)]
				kit.Equal(original.Offset, int64(i), "acknowledged offset")
				kit.Equal(message.Offset, int64(i), "offset")
				kit.Equal(sarama.StringEncoder(message.Value), original.Value, "value")
				kit.Equal(sarama.StringEncoder(message.Key), original.Key, "key")
				kit.Equal(message.Timestamp.UnixMilli(), original.Timestamp.UnixMilli(), "timestamp")
				kit.Equal(message.Headers[0].Value, original.Headers[0].Value, "header")
			}
		}
	})

	for codec, id := range map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD} {
		kit.Case(label+"codec "+codec, func() {
			compressing := config(version)
			compressing.Producer.Compression = id
			sent := numbered(prefix+codec, strings.Repeat("z", 100), 2000, 1)
			kit.OK(produce(compressing, sent))
			for i, message := range consume(c, prefix+codec, 0, sarama.OffsetOldest, 2000) {
				kit.Equal(sarama.StringEncoder(message.Value), sent[i].Value, "value")
			}
		})
	}

	kit.Case(label+"idempotent producer", func() {
		once := config(version)
		once.Producer.Idempotent = true
		once.Producer.RequiredAcks = sarama.WaitForAll
		once.Net.MaxOpenRequests = 1
		sent := numbered(prefix+"once", "v", 1000, 1)
		kit.OK(produce(once, sent))
		kit.Equal(sent[999].Offset, int64(999), "last acknowledged offset")
	})

	kit.Case(label+"seek by time", func() {
		kit.OK(admin.CreateTopic(prefix+"time", topic(1), false))
		kit.OK(produce(c, numbered(prefix+"time", "t", 500, 1)))
		client := kit.Must(sarama.NewClient(brokers, c))
		defer client.Close()
		offset := kit.Must(client.GetOffset(prefix+"time", 0, kit.Base.UnixMilli()+250))
		kit.Equal(offset, int64(250), "offset at a time")
		kit.Equal(string(consume(c, prefix+"time", 0, offset, 250)[0].Value), "t250", "first value")
		kit.Equal(kit.Must(client.GetOffset(prefix+"time", 0, sarama.OffsetNewest)), int64(500), "newest")
		kit.Equal(kit.Must(client.GetOffset(prefix+"time", 0, sarama.OffsetOldest)), int64(0), "oldest")
	})

	kit.Case(label+"group: join and leave", func() {
		kit.OK(admin.CreateTopic(prefix+"group", topic(4), false))
		first := join(c, prefix+"members", prefix+"group")
		kit.WaitUntil(func() bool { return first.owned() == 4 }, "one member with four partitions")
		kit.OK(produce(c, numbered(prefix+"group", "a", 100, 4)))
		kit.WaitUntil(func() bool { return seen(first) == 100 }, "100 messages")
		second := join(c, prefix+"members", prefix+"group")
		kit.WaitUntil(func() bool { return first.owned() == 2 && second.owned() == 2 }, "two members with two each")
		kit.OK(produce(c, numbered(prefix+"group", "b", 100, 4)))
		kit.WaitUntil(func() bool { return seen(first, second) == 200 }, "200 messages at both")
		first.leave()
		kit.WaitUntil(func() bool { return second.owned() == 4 }, "four partitions at the one that stays")
		kit.OK(produce(c, numbered(prefix+"group", "c", 100, 4)))
		kit.WaitUntil(func() bool { return seen(first, second) == 300 }, "300 messages at both")
		err := admin.DeleteConsumerGroup(prefix + "members")
		kit.Check(errors.Is(err, sarama.ErrNonEmptyGroup), "deleting a busy group: %v", err)
		second.leave()
	})

	kit.Case(label+"commit and resume", func() {
		kit.OK(produce(c, numbered(prefix+"resume", "", 100, 1)))
		client := kit.Must(sarama.NewClient(brokers, c))
		offsets := kit.Must(sarama.NewOffsetManagerFromClient(prefix+"resumers", client))
		partition := kit.Must(offsets.ManagePartition(prefix+"resume", 0))
		partition.MarkOffset(42, "a note")
		offsets.Commit()
		partition.Close()
		offsets.Close()
		client.Close()
		fetched := kit.Must(admin.ListConsumerGroupOffsets(prefix+"resumers", map[string][]int32{prefix + "resume": {0}}))
		block := fetched.GetBlock(prefix+"resume", 0)
		kit.Equal(fmt.Sprintf("%d %s", block.Offset, block.Metadata), "42 a note", "committed")
		resumed := join(c, prefix+"resumers", prefix+"resume")
		kit.WaitUntil(func() bool { return seen(resumed) == 58 }, "58 messages")
		resumed.leave()
		kit.Equal(resumed.offsets[0], int64(42), "first offset after resume")
	})

	kit.Case(label+"errors", func() {
		err := produce(c, []*sarama.ProducerMessage{{Topic: prefix + "data", Value: sarama.StringEncoder(strings.Repeat("x", 200_000))}})
		var all sarama.ProducerErrors
		kit.Check(errors.As(err, &all) && errors.Is(all[0].Err, sarama.ErrMessageSizeTooLarge), "large message: %v", err)
		kit.Check(errors.Is(admin.CreateTopic(prefix+"data", topic(1), false), sarama.ErrTopicAlreadyExists), "created twice")
		kit.Check(errors.Is(admin.CreateTopic("bad name!", topic(1), false), sarama.ErrInvalidTopic), "bad name")
		kit.Check(errors.Is(admin.DeleteTopic(prefix+"absent"), sarama.ErrUnknownTopicOrPartition), "unknown topic")
		consumer := kit.Must(sarama.NewConsumer(brokers, c))
		defer consumer.Close()
		_, err = consumer.ConsumePartition(prefix+"data", 0, 1_000_000)
		kit.Check(errors.Is(err, sarama.ErrOffsetOutOfRange), "offset out of range: %v", err)
	})

	kit.Case(label+"admin: groups, records, deletion", func() {
		listed := kit.Must(admin.ListConsumerGroups())
		kit.Check(listed[prefix+"members"] == "consumer", "groups listed: %v", listed)
		described := kit.Must(admin.DescribeConsumerGroups([]string{prefix + "members"}))
		kit.Equal(described[0].State, "Empty", "state")
		kit.OK(admin.DeleteConsumerGroup(prefix + "members"))
		kit.Check(errors.Is(admin.DeleteConsumerGroup(prefix+"members"), sarama.ErrGroupIDNotFound), "deleted twice")
		kit.OK(admin.DeleteRecords(prefix+"time", map[int32]int64{0: 30}))
		kit.OK(admin.DeleteTopic(prefix + "data"))
		kit.WaitUntil(func() bool { _, there := kit.Must(admin.ListTopics())[prefix+"data"]; return !there }, "the topic to be gone")
	})
}

func main() {
	story("default", sarama.NewConfig().Version)
	story("newest", sarama.MaxVersion)
	kit.Finish()
}
