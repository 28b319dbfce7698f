import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Everything an application does with Java's kafka-clients, at their defaults: idempotent producer, classic consumer
 * groups, Admin. usage: Program HOST:PORT
 */
public final class Program {
    /** Recent: retention would take older records away while the test runs. */
    private static final long BASE = System.currentTimeMillis() - 3_600_000;

    private static String bootstrap;
    private static Admin admin;

    public static void main(String[] arguments) {
        bootstrap = arguments[0];
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        adminTopics();
        data();
        groups();
        cleanup();
        admin.close(Duration.ofSeconds(5));
        Case.finish();
    }

    // -- small words ------------------------------------------------------------------------------------------------

    private static void create(String name, int partitions) throws Exception {
        admin.createTopics(List.of(new NewTopic(name, Optional.of(partitions), Optional.empty()))).all().get();
    }

    private static void refused(Class<?> expected, org.apache.kafka.common.KafkaFuture<?> future) throws Exception {
        try {
            future.get();
        } catch (ExecutionException problem) {
            if (expected.isInstance(problem.getCause())) return;
            throw new AssertionError("expected " + expected.getSimpleName() + ", found " + problem.getCause());
        }
        throw new AssertionError("accepted, expected " + expected.getSimpleName());
    }

    private static KafkaProducer<String, String> producer(Map<String, String> more) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.putAll(more);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    private static KafkaConsumer<String, String> consumer(String group, Map<String, String> more) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("auto.offset.reset", "earliest");
        if (group != null) config.put("group.id", group);
        config.putAll(more);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    private static List<RecordMetadata> send(List<ProducerRecord<String, String>> records, Map<String, String> more) throws Exception {
        try (KafkaProducer<String, String> producer = producer(more)) {
            List<Future<RecordMetadata>> futures = new ArrayList<>();
            for (ProducerRecord<String, String> record : records) futures.add(producer.send(record));
            List<RecordMetadata> acked = new ArrayList<>();
            for (Future<RecordMetadata> future : futures) acked.add(future.get());
            return acked;
        }
    }

    private static List<ProducerRecord<String, String>> numbered(String topic, String prefix, int count, int partitions) {
        return IntStream.range(0, count)
            .mapToObj(i -> new ProducerRecord<>(topic, i % partitions, BASE + i, "k" + i, prefix + i)).toList();
    }

    private static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> found = new ArrayList<>();
        long end = System.nanoTime() + 150_000_000_000L;
        while (found.size() < count && System.nanoTime() < end) {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) found.add(record);
        }
        Case.equal(found.size(), count, "number of records read");
        return found;
    }

    private static long offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    // -- admin ------------------------------------------------------------------------------------------------------

    private static Config config(ConfigResource resource) throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get().get(resource);
    }

    private static void adminTopics() {
        Case.run("admin: create and describe topics", () -> {
            var created = admin.createTopics(List.of(new NewTopic("java-admin", 3, (short) 1).configs(Map.of("retention.ms", "7200000"))));
            created.all().get();
            Case.equal(created.numPartitions("java-admin").get(), 3, "partitions answered");
            Case.equal(created.config("java-admin").get().get("retention.ms").value(), "7200000", "config answered");
            Uuid id = created.topicId("java-admin").get();
            Case.check(!id.equals(Uuid.ZERO_UUID), "the topic has no id");
            TopicDescription topic = admin.describeTopics(List.of("java-admin")).allTopicNames().get().get("java-admin");
            Case.equal(topic.topicId(), id, "topic id");
            Case.equal(topic.partitions().size(), 3, "partitions");
            Case.equal(topic.partitions().get(0).isr().size(), 1, "in-sync replicas");
            Case.equal(admin.describeTopics(org.apache.kafka.common.TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get().get(id).name(),
                "java-admin", "described by id");
            Case.check(admin.listTopics().names().get().contains("java-admin"), "listTopics");
            var cluster = admin.describeCluster();
            Case.check(!cluster.clusterId().get().isEmpty(), "cluster id");
            var node = cluster.nodes().get().iterator().next();
            Case.equal(node.host() + ":" + node.port(), bootstrap, "the broker's own address");
            Case.check(cluster.controller().get() != null, "a controller");
        });

        Case.run("admin: features and log dirs", () -> {
            // which features there are is the broker's choice; what it finalized, it must support
            var features = admin.describeFeatures().featureMetadata().get();
            Case.check(features.supportedFeatures().keySet().containsAll(features.finalizedFeatures().keySet()), features.toString());
            int node = admin.describeCluster().nodes().get().iterator().next().id();
            var dirs = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node);
            Case.equal(dirs.size(), 1, "log directories");
            var dir = dirs.values().iterator().next();
            Case.check(dir.totalBytes().isPresent() && dir.totalBytes().getAsLong() > 0, "total bytes of the volume");
            Case.check(dir.replicaInfos().containsKey(new TopicPartition("java-admin", 2)), "replicas of the directory");
        });

        Case.run("admin: describe and alter configs", () -> {
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, "java-admin");
            Case.equal(config(resource).get("retention.ms").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "source of a set value");
            Case.equal(config(resource).get("segment.bytes").source(), ConfigEntry.ConfigSource.DEFAULT_CONFIG, "source of a default");
            Case.equal(config(resource).get("segment.bytes").type(), ConfigEntry.ConfigType.INT, "type");
            admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("max.message.bytes", "100000"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND),
                new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE)))).all().get();
            Case.waitUntil(() -> {
                try {
                    return "100000".equals(config(resource).get("max.message.bytes").value());
                } catch (Exception problem) {
                    throw new IllegalStateException(problem);
                }
            }, "max.message.bytes");
            Case.equal(config(resource).get("cleanup.policy").value(), "delete,compact", "cleanup.policy after append");
            Case.equal(config(resource).get("retention.ms").value(), "604800000", "retention.ms after delete");
            admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.SUBTRACT)))).all().get();

            String node = admin.describeCluster().nodes().get().iterator().next().idString();
            ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, node);
            Case.equal(config(broker).get("log.segment.bytes").value(), "1073741824", "log.segment.bytes");
            admin.incrementalAlterConfigs(Map.of(broker, List.of(
                new AlterConfigOp(new ConfigEntry("log.cleaner.threads", "2"), AlterConfigOp.OpType.SET)))).all().get();
            ConfigResource every = new ConfigResource(ConfigResource.Type.BROKER, "");
            admin.incrementalAlterConfigs(Map.of(every, List.of(
                new AlterConfigOp(new ConfigEntry("message.max.bytes", "1048000"), AlterConfigOp.OpType.SET)))).all().get();
            Case.waitUntil(() -> {
                try {
                    return config(broker).get("message.max.bytes").value().equals("1048000")
                        && config(broker).get("message.max.bytes").source() == ConfigEntry.ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
                        && config(broker).get("log.cleaner.threads").source() == ConfigEntry.ConfigSource.DYNAMIC_BROKER_CONFIG;
                } catch (Exception problem) {
                    throw new IllegalStateException(problem);
                }
            }, "dynamic broker configs");
            admin.incrementalAlterConfigs(Map.of(every, List.of(
                new AlterConfigOp(new ConfigEntry("message.max.bytes", ""), AlterConfigOp.OpType.DELETE)))).all().get();
            Case.check(admin.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new org.apache.kafka.clients.admin.ListConfigResourcesOptions())
                .all().get().contains(resource), "listConfigResources");
        });

        Case.run("admin: create partitions", () -> {
            create("java-grow", 1);
            admin.createPartitions(Map.of("java-grow", NewPartitions.increaseTo(5))).all().get();
            Case.waitUntil(() -> {
                try {
                    return admin.describeTopics(List.of("java-grow")).allTopicNames().get().get("java-grow").partitions().size() == 5;
                } catch (Exception problem) {
                    throw new IllegalStateException(problem);
                }
            }, "five partitions");
            refused(InvalidPartitionsException.class, admin.createPartitions(Map.of("java-grow", NewPartitions.increaseTo(2))).all());
            refused(InvalidPartitionsException.class, admin.createPartitions(Map.of("java-grow", NewPartitions.increaseTo(5))).all());
        });

        Case.run("admin: list and delete records", () -> {
            create("java-records", 1);
            send(numbered("java-records", "v", 100, 1), Map.of());
            TopicPartition partition = new TopicPartition("java-records", 0);
            Case.equal(offset(partition, OffsetSpec.earliest()), 0L, "earliest");
            Case.equal(offset(partition, OffsetSpec.latest()), 100L, "latest");
            Case.equal(offset(partition, OffsetSpec.forTimestamp(BASE + 50)), 50L, "for a time");
            Case.equal(offset(partition, OffsetSpec.forTimestamp(BASE + 500)), -1L, "for a time after the end");
            ListOffsetsResult.ListOffsetsResultInfo newest =
                admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).partitionResult(partition).get();
            Case.equal(newest.offset() + " " + newest.timestamp(), "99 " + (BASE + 99), "max timestamp");
            Case.equal(offset(partition, OffsetSpec.earliestLocal()), 0L, "earliest local");
            Case.equal(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(40))).lowWatermarks().get(partition).get().lowWatermark(),
                40L, "low watermark");
            Case.equal(offset(partition, OffsetSpec.earliest()), 40L, "earliest after delete");
            refused(org.apache.kafka.common.errors.OffsetOutOfRangeException.class,
                admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(1000))).all());
            Case.equal(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(partition).get().lowWatermark(),
                100L, "low watermark after deleting all");
        });

        Case.run("errors: topics and configs", () -> {
            refused(TopicExistsException.class, admin.createTopics(List.of(new NewTopic("java-admin", 1, (short) 1))).all());
            refused(InvalidTopicException.class, admin.createTopics(List.of(new NewTopic("bad name!", 1, (short) 1))).all());
            refused(InvalidTopicException.class, admin.createTopics(List.of(new NewTopic("x".repeat(250), 1, (short) 1))).all());
            create("java.dotted", 1); // its metrics would be those of java_dotted
            refused(InvalidTopicException.class, admin.createTopics(List.of(new NewTopic("java_dotted", 1, (short) 1))).all());
            refused(InvalidReplicationFactorException.class, admin.createTopics(List.of(new NewTopic("java-bad", 1, (short) 3))).all());
            refused(InvalidPartitionsException.class, admin.createTopics(List.of(new NewTopic("java-bad", 0, (short) 1))).all());
            refused(InvalidConfigurationException.class,
                admin.createTopics(List.of(new NewTopic("java-bad", 1, (short) 1).configs(Map.of("retention.ms", "soon")))).all());
            refused(InvalidConfigurationException.class,
                admin.createTopics(List.of(new NewTopic("java-bad", 1, (short) 1).configs(Map.of("no.such.config", "1")))).all());
            refused(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of("java-absent")).all());
            refused(UnknownTopicOrPartitionException.class, admin.describeTopics(List.of("java-absent")).allTopicNames());
            refused(UnknownTopicOrPartitionException.class, admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.TOPIC, "java-absent"))).all());
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, "java-admin");
            refused(InvalidConfigurationException.class, admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "burn"), AlterConfigOp.OpType.SET)))).all());
            admin.createTopics(List.of(new NewTopic("java-dry", 1, (short) 1)), new CreateTopicsOptions().validateOnly(true)).all().get();
            Case.check(!admin.listTopics().names().get().contains("java-dry"), "validateOnly created the topic");
        });
    }

    // -- data -------------------------------------------------------------------------------------------------------

    private static void data() {
        Case.run("produce and consume", () -> {
            create("java-data", 3);
            List<ProducerRecord<String, String>> records = numbered("java-data", "v", 3000, 3);
            records.forEach(record -> record.headers().add("n", record.value().getBytes()).add("null", null));
            List<RecordMetadata> acked = send(records, Map.of());
            for (int i = 0; i < 3000; i++) {
                Case.equal(acked.get(i).partition() + "@" + acked.get(i).offset(), i % 3 + "@" + i / 3, "acknowledged position of " + i);
            }
            try (KafkaConsumer<String, String> consumer = consumer("java-data-group", Map.of())) {
                consumer.subscribe(List.of("java-data"));
                Map<Integer, Long> next = new TreeMap<>(Map.of(0, 0L, 1, 0L, 2, 0L));
                for (ConsumerRecord<String, String> record : take(consumer, 3000)) {
                    long offset = next.merge(record.partition(), 1L, Long::sum) - 1;
                    Case.equal(record.offset(), offset, "offset");
                    ProducerRecord<String, String> sent = records.get((int) offset * 3 + record.partition());
                    Case.equal(record.key() + record.value() + record.timestamp(), sent.key() + sent.value() + sent.timestamp(), "record");
                    Header[] headers = record.headers().toArray();
                    Case.check(headers.length == 2 && new String(headers[0].value()).equals(sent.value()) && headers[1].value() == null, "headers");
                }
            }
        });

        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            Case.run("codec " + codec, () -> {
                String topic = "java-" + codec;
                List<ProducerRecord<String, String>> records = IntStream.range(0, 2000)
                    .mapToObj(i -> new ProducerRecord<>(topic, 0, "key", codec + i + "z".repeat(i % 400))).toList();
                send(records, Map.of("compression.type", codec));
                try (KafkaConsumer<String, String> consumer = consumer(null, Map.of())) {
                    consumer.assign(List.of(new TopicPartition(topic, 0)));
                    Case.equal(take(consumer, 2000).stream().map(ConsumerRecord::value).toList(),
                        records.stream().map(ProducerRecord::value).toList(), "values");
                }
            });
        }

        Case.run("acks 0, 1, all and a topic that recompresses", () -> {
            admin.createTopics(List.of(new NewTopic("java-recompress", 1, (short) 1).configs(Map.of("compression.type", "zstd")))).all().get();
            for (String acks : List.of("0", "1", "all")) {
                send(numbered("java-recompress", acks + "-", 100, 1), Map.of("acks", acks, "compression.type", "gzip"));
            }
            try (KafkaConsumer<String, String> consumer = consumer(null, Map.of())) {
                consumer.assign(List.of(new TopicPartition("java-recompress", 0)));
                Case.equal(take(consumer, 300).get(299).value(), "all-99", "last value");
            }
        });

        Case.run("log append time", () -> {
            admin.createTopics(List.of(new NewTopic("java-append-time", 1, (short) 1).configs(Map.of("message.timestamp.type", "LogAppendTime")))).all().get();
            long before = System.currentTimeMillis();
            long acked = send(numbered("java-append-time", "v", 10, 1), Map.of()).get(9).timestamp();
            Case.check(acked >= before, "acknowledged timestamp " + acked + " is the producer's");
            try (KafkaConsumer<String, String> consumer = consumer(null, Map.of())) {
                consumer.assign(List.of(new TopicPartition("java-append-time", 0)));
                for (ConsumerRecord<String, String> record : take(consumer, 10)) {
                    Case.check(record.timestamp() >= before, "timestamp " + record.timestamp());
                    Case.equal(record.timestampType().toString(), "LogAppendTime", "type");
                }
            }
        });

        Case.run("seek by time", () -> {
            create("java-time", 1);
            send(IntStream.range(0, 500).mapToObj(i -> new ProducerRecord<String, String>("java-time", 0, BASE + i * 1000L, null, "" + i)).toList(), Map.of());
            TopicPartition partition = new TopicPartition("java-time", 0);
            try (KafkaConsumer<String, String> consumer = consumer(null, Map.of())) {
                consumer.assign(List.of(partition));
                Case.equal(consumer.offsetsForTimes(Map.of(partition, BASE + 250_000)).get(partition).offset(), 250L, "at a time");
                Case.equal(consumer.offsetsForTimes(Map.of(partition, BASE + 250_001)).get(partition).offset(), 251L, "between two");
                Case.equal(consumer.offsetsForTimes(Map.of(partition, BASE + 9_000_000)).get(partition), null, "after the end");
                consumer.seek(partition, 250);
                Case.equal(take(consumer, 250).get(0).value(), "250", "first value after seek");
                consumer.seekToEnd(List.of(partition));
                Case.equal(consumer.position(partition), 500L, "position at the end");
                consumer.seekToBeginning(List.of(partition));
                Case.equal(take(consumer, 500).get(0).value(), "0", "first value from the beginning");
            }
        });

        Case.run("large records and small fetches", () -> {
            create("java-large", 1);
            List<ProducerRecord<String, String>> records =
                IntStream.range(0, 20).mapToObj(i -> new ProducerRecord<String, String>("java-large", 0, null, i + "L".repeat(900_000))).toList();
            send(records, Map.of());
            // smaller than one record: at least one batch must come all the same
            try (KafkaConsumer<String, String> consumer = consumer(null, Map.of("max.partition.fetch.bytes", "1000", "fetch.max.bytes", "1000"))) {
                consumer.assign(List.of(new TopicPartition("java-large", 0)));
                Case.equal(take(consumer, 20).stream().map(ConsumerRecord::value).toList(),
                    records.stream().map(ProducerRecord::value).toList(), "values");
            }
        });

        Case.run("errors: large record, unknown topic, offset out of range", () -> {
            try {
                send(List.of(new ProducerRecord<>("java-admin", 0, null, "x".repeat(200_000))), Map.of()); // limit 100000 since the alter above
                throw new AssertionError("a record over max.message.bytes was taken");
            } catch (ExecutionException problem) {
                Case.check(problem.getCause() instanceof RecordTooLargeException, "expected RecordTooLargeException, found " + problem.getCause());
            }
            try (KafkaConsumer<String, String> consumer = consumer(null, Map.of("allow.auto.create.topics", "false"))) {
                Case.equal(consumer.partitionsFor("java-absent"), List.of(), "partitions of an unknown topic");
            }
            try (KafkaConsumer<String, String> consumer = consumer(null, Map.of("auto.offset.reset", "none"))) {
                TopicPartition partition = new TopicPartition("java-time", 0);
                consumer.assign(List.of(partition));
                consumer.seek(partition, 100_000);
                try {
                    take(consumer, 1);
                    throw new AssertionError("an offset beyond the end was read");
                } catch (OffsetOutOfRangeException expected) {
                    Case.equal(expected.partitions(), Set.of(partition), "partitions named");
                }
            }
        });
    }

    // -- groups -----------------------------------------------------------------------------------------------------

    /** A running member of a group. */
    private static final class Member extends Thread {
        private final KafkaConsumer<String, String> consumer;
        final Set<Integer> partitions = ConcurrentHashMap.newKeySet();
        final ConcurrentLinkedQueue<String> values = new ConcurrentLinkedQueue<>();
        private volatile boolean stop;

        Member(String group, String topic, Map<String, String> more) {
            consumer = consumer(group, more);
            consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> given) {
                    given.forEach(partition -> partitions.add(partition.partition()));
                }

                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> taken) {
                    taken.forEach(partition -> partitions.remove(partition.partition()));
                }
            });
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            try (consumer) {
                while (!stop) {
                    ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
                    records.forEach(record -> values.add(record.value()));
                }
            }
        }

        void leave() throws InterruptedException {
            stop = true;
            join(30_000);
        }
    }

    private static void groupStory(String name, Map<String, String> more) throws Exception {
        create(name + "-topic", 4);
        Member first = new Member(name, name + "-topic", more);
        Case.waitUntil(() -> first.partitions.size() == 4, "one member with four partitions");
        send(numbered(name + "-topic", "a", 100, 4), Map.of());
        Case.waitUntil(() -> first.values.size() == 100, "100 records");
        Member second = new Member(name, name + "-topic", more);
        Case.waitUntil(() -> first.partitions.size() == 2 && second.partitions.size() == 2, "two members with two each");
        send(numbered(name + "-topic", "b", 100, 4), Map.of());
        Case.waitUntil(() -> first.values.size() + second.values.size() == 200, "200 records, each once");
        first.leave();
        Case.waitUntil(() -> second.partitions.size() == 4, "four partitions at the one that stays");
        send(numbered(name + "-topic", "c", 100, 4), Map.of());
        Case.waitUntil(() -> first.values.size() + second.values.size() == 300, "300 records, each once");
        second.leave();
    }

    private static void groups() {
        Case.run("group: join and leave", () -> groupStory("java-group", Map.of()));
        Case.run("group: cooperative", () -> groupStory("java-cooperative",
            Map.of("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor")));
        Case.run("group: session expiry", () -> {
            create("java-expiry", 2);
            KafkaConsumer<String, String> silent = consumer("java-expiry-group", Map.of("session.timeout.ms", "6000", "max.poll.interval.ms", "3000000"));
            silent.subscribe(List.of("java-expiry"));
            Case.waitUntil(() -> {
                silent.poll(Duration.ofMillis(100));
                return silent.assignment().size() == 2;
            }, "the assignment");
            Case.equal(admin.removeMembersFromConsumerGroup("java-expiry-group", new RemoveMembersFromConsumerGroupOptions()).all().get(), null, "removed by the admin");
            Case.waitUntil(() -> {
                try {
                    return admin.describeConsumerGroups(List.of("java-expiry-group")).all().get().get("java-expiry-group").members().isEmpty();
                } catch (Exception problem) {
                    throw new IllegalStateException(problem);
                }
            }, "the group to be empty");
            silent.close();
        });

        Case.run("group: static member", () -> {
            create("java-static-topic", 2);
            for (int round = 0; round < 2; round++) {
                Member member = new Member("java-static", "java-static-topic", Map.of("group.instance.id", "one"));
                Case.waitUntil(() -> member.partitions.size() == 2, "the assignment");
                member.leave();
            }
            var members = admin.describeConsumerGroups(List.of("java-static")).all().get().get("java-static").members();
            Case.equal(members.size(), 1, "members after close");
            Case.equal(members.iterator().next().groupInstanceId(), Optional.of("one"), "instance id");
            admin.removeMembersFromConsumerGroup("java-static",
                new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("one")))).all().get();
        });

        Case.run("commit and resume", () -> {
            create("java-resume", 1);
            send(numbered("java-resume", "", 100, 1), Map.of());
            TopicPartition partition = new TopicPartition("java-resume", 0);
            Map<String, String> manual = Map.of("enable.auto.commit", "false");
            try (KafkaConsumer<String, String> consumer = consumer("java-resume-group", manual)) {
                consumer.subscribe(List.of("java-resume"));
                take(consumer, 100);
                consumer.commitSync(Map.of(partition, new OffsetAndMetadata(42, "a note")));
            }
            try (KafkaConsumer<String, String> consumer = consumer("java-resume-group", manual)) {
                OffsetAndMetadata committed = consumer.committed(Set.of(partition)).get(partition);
                Case.equal(committed.offset() + committed.metadata(), "42a note", "committed");
                consumer.subscribe(List.of("java-resume"));
                Case.equal(take(consumer, 58).get(0).offset(), 42L, "first offset after resume");
            }
            try (KafkaConsumer<String, String> consumer = consumer("java-fresh-group", Map.of("auto.offset.reset", "none"))) {
                consumer.assign(List.of(partition));
                try {
                    take(consumer, 1);
                    throw new AssertionError("read without an offset");
                } catch (NoOffsetForPartitionException expected) {
                    // that is the contract of auto.offset.reset=none
                }
            }
        });

        Case.run("admin: groups", () -> {
            TopicPartition partition = new TopicPartition("java-resume", 0);
            var listed = admin.listGroups().all().get().stream().map(group -> group.groupId()).collect(Collectors.toSet());
            Case.check(listed.contains("java-resume-group"), "listed: " + listed);
            Case.equal(admin.listConsumerGroupOffsets("java-resume-group").partitionsToOffsetAndMetadata().get().get(partition).offset(), 42L, "offset");
            admin.alterConsumerGroupOffsets("java-resume-group", Map.of(partition, new OffsetAndMetadata(7))).all().get();
            Case.equal(admin.listConsumerGroupOffsets("java-resume-group").partitionsToOffsetAndMetadata().get().get(partition).offset(), 7L, "altered");
            admin.deleteConsumerGroupOffsets("java-resume-group", Set.of(partition)).all().get();
            Case.equal(admin.listConsumerGroupOffsets("java-resume-group").partitionsToOffsetAndMetadata().get().get(partition), null, "deleted offset");
            var described = admin.describeConsumerGroups(List.of("java-group")).all().get().get("java-group");
            Case.equal(described.groupState().toString(), "Empty", "state");
            var producers = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
            Case.equal(producers.size(), 1, "producers of the partition");
            admin.deleteConsumerGroups(List.of("java-group")).all().get();
            refused(GroupIdNotFoundException.class, admin.deleteConsumerGroups(List.of("java-group")).all());
            refused(GroupIdNotFoundException.class, admin.describeConsumerGroups(List.of("java-group")).all());
        });

        Case.run("errors: non-empty group", () -> {
            Member member = new Member("java-busy", "java-data", Map.of());
            Case.waitUntil(() -> member.partitions.size() == 3, "the assignment");
            var described = admin.describeConsumerGroups(List.of("java-busy")).all().get().get("java-busy");
            Case.equal(described.groupState().toString(), "Stable", "state");
            Case.equal(described.partitionAssignor(), "range", "assignor");
            Case.equal(described.members().iterator().next().assignment().topicPartitions().size(), 3, "partitions described");
            refused(GroupNotEmptyException.class, admin.deleteConsumerGroups(List.of("java-busy")).all());
            refused(GroupSubscribedToTopicException.class, admin.deleteConsumerGroupOffsets("java-busy", Set.of(new TopicPartition("java-data", 0))).all());
            refused(UnknownMemberIdException.class,
                admin.alterConsumerGroupOffsets("java-busy", Map.of(new TopicPartition("java-data", 0), new OffsetAndMetadata(0))).all());
            member.leave();
        });
    }

    private static void cleanup() {
        Case.run("admin: delete topics", () -> {
            Uuid former = admin.describeTopics(List.of("java-data")).allTopicNames().get().get("java-data").topicId();
            admin.deleteTopics(List.of("java-data")).all().get();
            Case.waitUntil(() -> {
                try {
                    return !admin.listTopics().names().get().contains("java-data");
                } catch (Exception problem) {
                    throw new IllegalStateException(problem);
                }
            }, "the topic to be gone");
            create("java-data", 1);
            Case.waitUntil(() -> {
                try {
                    return offset(new TopicPartition("java-data", 0), OffsetSpec.latest()) == 0;
                } catch (Exception notThereYet) {
                    return false;
                }
            }, "an empty topic of the same name");
            Case.check(!admin.describeTopics(List.of("java-data")).allTopicNames().get().get("java-data").topicId().equals(former), "the former id again");
        });
    }
}
