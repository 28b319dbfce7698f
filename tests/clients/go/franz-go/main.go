// Everything an application does with franz-go, at its defaults. usage: franz-go HOST:PORT
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ringlog/tests/clients/go/kit"
)

var (
	ctx       = context.Background()
	bootstrap = os.Args[1]
)

func client(more ...kgo.Opt) *kgo.Client {
	return kit.Must(kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap)}, more...)...))
}

func numbered(topic, prefix string, count, partitions int) []*kgo.Record {
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{
			Topic: topic, Partition: int32(i % partitions), Timestamp: kit.Base.Add(time.Duration(i) * time.Millisecond),
			Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "%s%d", prefix, i),
			Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Appendf(nil, "%d", i)}},
		}
	}
	return records
}

func produce(records []*kgo.Record, more ...kgo.Opt) {
	producer := client(append(more, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	defer producer.Close()
	kit.OK(producer.ProduceSync(ctx, records...).FirstErr())
}

func take(consumer *kgo.Client, count int) []*kgo.Record {
	var found []*kgo.Record
	limit, cancel := context.WithTimeout(ctx, 150*time.Second)
	defer cancel()
	for len(found) < count && limit.Err() == nil {
		fetches := consumer.PollFetches(limit)
		if limit.Err() == nil {
			kit.OK(fetches.Err())
		}
		found = append(found, fetches.Records()...)
	}
	kit.Equal(len(found), count, "number of records read")
	return found
}

// member is a running member of a group.
type member struct {
	client     *kgo.Client
	lock       sync.Mutex
	partitions map[int32]bool
	values     map[string]int
	done       chan struct{}
}

func join(group, topic string, more ...kgo.Opt) *member {
	m := &member{partitions: map[int32]bool{}, values: map[string]int{}, done: make(chan struct{})}
	take := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
		m.lock.Lock()
		defer m.lock.Unlock()
		for _, partition := range lost[topic] {
			delete(m.partitions, partition)
		}
	}
	m.client = client(append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, given map[string][]int32) {
			m.lock.Lock()
			defer m.lock.Unlock()
			for _, partition := range given[topic] {
				m.partitions[partition] = true
			}
		}),
		kgo.OnPartitionsRevoked(take), kgo.OnPartitionsLost(take),
	}, more...)...)
	go func() {
		defer close(m.done)
		for {
			fetches := m.client.PollFetches(ctx)
			if fetches.IsClientClosed() {
				return
			}
			m.lock.Lock()
			fetches.EachRecord(func(record *kgo.Record) { m.values[string(record.Value)]++ })
			m.lock.Unlock()
		}
	}()
	return m
}

func (m *member) owned() int {
	m.lock.Lock()
	defer m.lock.Unlock()
	return len(m.partitions)
}

func (m *member) leave() {
	m.client.Close()
	<-m.done
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

func groupStory(name string, more ...kgo.Opt) {
	topic := name + "-topic"
	kit.Must(kadm.NewClient(client()).CreateTopic(ctx, 4, 1, nil, topic))
	first := join(name, topic, more...)
	kit.WaitUntil(func() bool { return first.owned() == 4 }, "one member with four partitions")
	produce(numbered(topic, "a", 100, 4))
	kit.WaitUntil(func() bool { return seen(first) == 100 }, "100 records")
	second := join(name, topic, more...)
	kit.WaitUntil(func() bool { return first.owned() == 2 && second.owned() == 2 }, "two members with two each")
	produce(numbered(topic, "b", 100, 4))
	kit.WaitUntil(func() bool { return seen(first, second) == 200 }, "200 records at both")
	first.leave()
	kit.WaitUntil(func() bool { return second.owned() == 4 }, "four partitions at the one that stays")
	produce(numbered(topic, "c", 100, 4))
	kit.WaitUntil(func() bool { return seen(first, second) == 300 }, "300 records at both")
	second.leave()
}

func adminTopics(admin *kadm.Client) {
	kit.Case("admin: create, describe, alter", func() {
		retention := "7200000"
		created := kit.Must(admin.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": &retention}, "franz-data"))
		kit.OK(created.Err)
		kit.Check(created.ID != kadm.TopicID{}, "the topic has no id")
		topics := kit.Must(admin.ListTopics(ctx, "franz-data"))
		kit.Equal(len(topics["franz-data"].Partitions), 3, "partitions")
		kit.Equal(topics["franz-data"].ID, created.ID, "topic id")
		value := func(name string) string {
			configs := kit.Must(admin.DescribeTopicConfigs(ctx, "franz-data"))
			for _, config := range kit.Must(configs.On("franz-data", nil)).Configs {
				if config.Key == name {
					return *config.Value
				}
			}
			return "absent"
		}
		kit.Equal(value("retention.ms"), "7200000", "retention.ms")
		limit := "100000"
		altered := kit.Must(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, "franz-data"))
		kit.OK(altered[0].Err)
		kit.WaitUntil(func() bool { return value("max.message.bytes") == "100000" }, "max.message.bytes")
		kit.OK(kit.Must(admin.CreateTopic(ctx, 1, 1, nil, "franz-grow")).Err)
		kit.OK(kit.Must(admin.UpdatePartitions(ctx, 4, "franz-grow")).Error())
		kit.WaitUntil(func() bool {
			return len(kit.Must(admin.ListTopics(ctx, "franz-grow"))["franz-grow"].Partitions) == 4
		}, "four partitions")
		brokers := kit.Must(admin.ListBrokers(ctx))
		kit.Equal(fmt.Sprintf("%s:%d", brokers[0].Host, brokers[0].Port), bootstrap, "the broker's own address")
		kit.Check(len(kit.Must(admin.DescribeAllLogDirs(ctx, nil)).Sorted()) == 1, "one log directory")
	})

	kit.Case("errors: topics and configs", func() {
		created := func(name string, partitions int32, replicas int16) error {
			_, err := admin.CreateTopic(ctx, partitions, replicas, nil, name)
			return err
		}
		kit.Check(errors.Is(created("franz-data", 1, 1), kerr.TopicAlreadyExists), "created twice")
		kit.Check(errors.Is(created("bad name!", 1, 1), kerr.InvalidTopicException), "bad name")
		kit.Check(errors.Is(created("franz-bad", 1, 7), kerr.InvalidReplicationFactor), "too many replicas")
		_, err := admin.DeleteTopic(ctx, "franz-absent")
		kit.Check(errors.Is(err, kerr.UnknownTopicOrPartition), "deleting an unknown topic: %v", err)
		burn := "burn"
		altered := kit.Must(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &burn}}, "franz-data"))
		kit.Check(errors.Is(altered[0].Err, kerr.InvalidConfig), "bad config: %v", altered[0].Err)
	})
}

func data(admin *kadm.Client) {
	kit.Case("produce and consume", func() {
		sent := numbered("franz-data", "v", 3000, 3)
		produce(sent)
		for i, record := range sent {
			kit.Equal(record.Offset, int64(i/3), "acknowledged offset")
		}
		consumer := client(kgo.ConsumeTopics("franz-data"))
		defer consumer.Close()
		next := map[int32]int64{}
		for _, record := range take(consumer, 3000) {
			kit.Equal(record.Offset, next[record.Partition], "offset")
			next[record.Partition]++
			original := sent[int(record.Offset)*3+int(record.Partition)]
			kit.Equal(string(record.Key)+string(record.Value)+string(record.Headers[0].Value),
				string(original.Key)+string(original.Value)+string(original.Headers[0].Value), "record")
			kit.Equal(record.Timestamp.UnixMilli(), original.Timestamp.UnixMilli(), "timestamp")
		}
	})

	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		kit.Case("codec "+name, func() {
			topic := "franz-" + name
			kit.Must(admin.CreateTopic(ctx, 1, 1, nil, topic))
			sent := numbered(topic, name+strings.Repeat("z", 200), 2000, 1)
			produce(sent, kgo.ProducerBatchCompression(codecs[name]))
			consumer := client(kgo.ConsumeTopics(topic))
			defer consumer.Close()
			for i, record := range take(consumer, 2000) {
				kit.Equal(string(record.Value), string(sent[i].Value), "value")
			}
		})
	}

	kit.Case("seek by time", func() {
		kit.Must(admin.CreateTopic(ctx, 1, 1, nil, "franz-time"))
		produce(numbered("franz-time", "t", 500, 1))
		offsets := kit.Must(admin.ListOffsetsAfterMilli(ctx, kit.Base.UnixMilli()+250, "franz-time"))
		kit.Equal(offsets["franz-time"][0].Offset, int64(250), "offset at a time")
		consumer := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
			"franz-time": {0: kgo.NewOffset().AfterMilli(kit.Base.UnixMilli() + 250)}}))
		kit.Equal(string(take(consumer, 250)[0].Value), "t250", "first value")
		consumer.Close()
		kit.Equal(kit.Must(admin.ListEndOffsets(ctx, "franz-time"))["franz-time"][0].Offset, int64(500), "end")
		kit.Equal(kit.Must(admin.ListMaxTimestampOffsets(ctx, "franz-time"))["franz-time"][0].Offset, int64(499), "max timestamp")
	})

	kit.Case("errors: large record, unknown topic", func() {
		producer := client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(1))
		defer producer.Close()
		err := producer.ProduceSync(ctx, &kgo.Record{Topic: "franz-data", Value: []byte(randomText(200_000))}).FirstErr()
		kit.Check(errors.Is(err, kerr.MessageTooLarge), "large record: %v", err)
		err = producer.ProduceSync(ctx, &kgo.Record{Topic: "franz-absent", Value: []byte("v")}).FirstErr()
		kit.Check(errors.Is(err, kerr.UnknownTopicOrPartition), "unknown topic: %v", err)
	})
}

// randomText does not compress, so that its size is what arrives.
func randomText(size int) string {
	state, text := uint32(1), make([]byte, size)
	for i := range text {
		state = state*1664525 + 1013904223
		text[i] = byte(state >> 24)
	}
	return string(text)
}

func groups(admin *kadm.Client) {
	kit.Case("group: join and leave", func() { groupStory("franz-group") })
	kit.Case("group: eager", func() { groupStory("franz-eager", kgo.Balancers(kgo.RangeBalancer())) })

	kit.Case("commit and resume", func() {
		kit.Must(admin.CreateTopic(ctx, 1, 1, nil, "franz-resume"))
		produce(numbered("franz-resume", "", 100, 1))
		options := []kgo.Opt{kgo.ConsumerGroup("franz-resume-group"), kgo.ConsumeTopics("franz-resume"),
			kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
		consumer := client(options...)
		found := take(consumer, 100)
		kit.OK(consumer.CommitRecords(ctx, found[41]))
		consumer.Close()
		consumer = client(options...)
		kit.Equal(take(consumer, 58)[0].Offset, int64(42), "first offset after resume")
		consumer.Close()
	})

	kit.Case("admin: groups, records, deletion", func() {
		kit.Check(len(kit.Must(admin.ListGroups(ctx))) >= 3, "groups listed")
		described := kit.Must(admin.DescribeGroups(ctx, "franz-resume-group"))
		kit.Equal(described["franz-resume-group"].State, "Empty", "state")
		offsets := kit.Must(admin.FetchOffsets(ctx, "franz-resume-group"))
		kit.Equal(offsets["franz-resume"][0].At, int64(42), "group offset")
		lag := kit.Must(admin.Lag(ctx, "franz-resume-group"))
		kit.Equal(lag["franz-resume-group"].Lag.Total(), int64(58), "lag")
		busy := join("franz-busy", "franz-data")
		kit.WaitUntil(func() bool { return busy.owned() == 3 }, "the assignment")
		deleted := kit.Must(admin.DeleteGroups(ctx, "franz-busy", "franz-resume-group"))
		kit.Check(errors.Is(deleted["franz-busy"].Err, kerr.NonEmptyGroup), "a busy group: %v", deleted["franz-busy"].Err)
		kit.OK(deleted["franz-resume-group"].Err)
		busy.leave()
		records := kit.Must(admin.DeleteRecords(ctx, kadm.Offsets{"franz-time": {0: {Topic: "franz-time", At: 30}}}))
		kit.Equal(records["franz-time"][0].LowWatermark, int64(30), "low watermark")
		kit.OK(kit.Must(admin.DeleteTopic(ctx, "franz-data")).Err)
		kit.WaitUntil(func() bool { return !kit.Must(admin.ListTopics(ctx)).Has("franz-data") }, "the topic to be gone")
	})
}

func main() {
	admin := kadm.NewClient(client())
	adminTopics(admin)
	data(admin)
	groups(admin)
	kit.Finish()
}
