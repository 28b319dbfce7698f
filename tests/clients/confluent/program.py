"""Everything an application does with confluent-kafka, at its defaults. usage: program.py HOST:PORT"""

import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "harness"))

from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException,  # noqa: E402
                             OFFSET_BEGINNING, Producer, TopicCollection, TopicPartition)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,  # noqa: E402
                                   OffsetSpec, ResourceType)
from report import case, check, equal, finish  # noqa: E402

BOOTSTRAP = sys.argv[1]
# recent: retention would take older records away while the test runs
BASE = int(time.time() * 1000) - 3_600_000
admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def done(futures):
    """The results of an admin call, by name; the first error is raised."""
    return {name: future.result(120) for name, future in futures.items()}


def refused(futures, code):
    """The admin call must fail with this Kafka error."""
    for name, future in futures.items():
        try:
            future.result(120)
        except KafkaException as problem:
            equal(problem.args[0].code(), code, f"error for {name} ({problem.args[0]})")
        else:
            raise AssertionError(f"{name} was accepted, expected error {code}")


def create(name, partitions=1, **config):
    done(admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)]))


class Deliveries:
    """Delivery reports: what was acknowledged, where."""

    def __init__(self):
        self.acked, self.errors = [], []

    def __call__(self, error, message):
        if error:
            self.errors.append(error)
        else:
            self.acked.append((message.partition(), message.offset(), message.key(), message.value()))


def produce(topic, records, **config):
    """records: (partition or None, key, value, headers, timestamp ms)."""
    producer, deliveries = Producer({"bootstrap.servers": BOOTSTRAP, **config}), Deliveries()
    for partition, key, value, headers, timestamp in records:
        extra = {} if partition is None else {"partition": partition}
        producer.produce(topic, key=key, value=value, headers=headers, timestamp=timestamp or 0, on_delivery=deliveries, **extra)
        producer.poll(0)
    equal(producer.flush(120), 0, "messages left after flush")
    return deliveries


def consumer(group, **config):
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest", **config})


def poll_until(reader, count, seconds=150):
    """`count` messages, in the order they came."""
    found, end = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        message = reader.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        found.append(message)
    equal(len(found), count, "number of messages read")
    return found


def admin_topics():
    with case("admin: create and describe topics"):
        create("cf-topic", 3, **{"retention.ms": "3600000"})
        described = done(admin.describe_topics(TopicCollection(["cf-topic"])))["cf-topic"]
        equal(len(described.partitions), 3, "partitions")
        check(str(described.topic_id) not in ("", "AAAAAAAAAAAAAAAAAAAAAA"), f"topic id {described.topic_id}")
        equal([len(p.isr) for p in described.partitions], [1, 1, 1], "in-sync replicas")
        cluster = admin.describe_cluster().result(120)
        check(cluster.cluster_id, "cluster id")
        equal(f"{cluster.nodes[0].host}:{cluster.nodes[0].port}", BOOTSTRAP, "the broker's own address")

    with case("admin: describe and alter configs"):
        resource = ConfigResource(ResourceType.TOPIC, "cf-topic")
        config = done(admin.describe_configs([resource]))[resource]
        equal(config["retention.ms"].value, "3600000", "retention.ms")
        check(not config["retention.ms"].is_default, "retention.ms was set, yet is called a default")
        check(config["segment.bytes"].is_default, "segment.bytes was not set")
        equal(config["segment.bytes"].value, "1073741824", "segment.bytes")
        resource = ConfigResource(ResourceType.TOPIC, "cf-topic", incremental_configs=[
            ConfigEntry("max.message.bytes", "500000", incremental_operation=AlterConfigOpType.SET),
            ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.DELETE)])
        done(admin.incremental_alter_configs([resource]))
        time.sleep(0.2)
        config = done(admin.describe_configs([ConfigResource(ResourceType.TOPIC, "cf-topic")]))[resource]
        equal(config["max.message.bytes"].value, "500000", "max.message.bytes")
        equal(config["retention.ms"].value, "604800000", "retention.ms after delete")
        broker = ConfigResource(ResourceType.BROKER, str(admin.describe_cluster().result(120).nodes[0].id))
        check("log.retention.ms" in done(admin.describe_configs([broker]))[broker], "broker configs name log.retention.ms")

    with case("admin: create partitions"):
        create("cf-grow", 1)
        done(admin.create_partitions([NewPartitions("cf-grow", 4)]))
        time.sleep(0.2)
        equal(len(done(admin.describe_topics(TopicCollection(["cf-grow"])))["cf-grow"].partitions), 4, "partitions")
        refused(admin.create_partitions([NewPartitions("cf-grow", 2)]), KafkaError.INVALID_PARTITIONS)

    with case("admin: list and delete records"):
        create("cf-records", 1)
        produce("cf-records", [(0, None, f"{i}".encode(), None, BASE + i) for i in range(100)])
        partition = TopicPartition("cf-records", 0)
        equal(done(admin.list_offsets({partition: OffsetSpec.earliest()}))[partition].offset, 0, "earliest")
        equal(done(admin.list_offsets({partition: OffsetSpec.latest()}))[partition].offset, 100, "latest")
        newest = done(admin.list_offsets({partition: OffsetSpec.max_timestamp()}))[partition]
        equal((newest.offset, newest.timestamp), (99, BASE + 99), "max timestamp")
        equal(done(admin.list_offsets({partition: OffsetSpec.latest()}, isolation_level=IsolationLevel.READ_COMMITTED))[partition].offset,
              100, "last stable")
        low = done(admin.delete_records([TopicPartition("cf-records", 0, 40)]))[partition]
        equal(low.low_watermark, 40, "low watermark")
        equal(done(admin.list_offsets({partition: OffsetSpec.earliest()}))[partition].offset, 40, "earliest after delete")
        refused(admin.delete_records([TopicPartition("cf-records", 0, 1000)]), KafkaError.OFFSET_OUT_OF_RANGE)

    with case("errors: topics and configs"):
        refused(admin.create_topics([NewTopic("cf-topic", 1, 1)]), KafkaError.TOPIC_ALREADY_EXISTS)
        refused(admin.create_topics([NewTopic("bad name!", 1, 1)]), KafkaError.TOPIC_EXCEPTION)
        refused(admin.create_topics([NewTopic("cf-bad", 1, 3)]), KafkaError.INVALID_REPLICATION_FACTOR)
        refused(admin.create_topics([NewTopic("cf-bad", 1, 1, config={"retention.ms": "soon"})]), KafkaError.INVALID_CONFIG)
        refused(admin.create_topics([NewTopic("cf-bad", 1, 1, config={"no.such.config": "1"})]), KafkaError.INVALID_CONFIG)
        refused(admin.delete_topics(["cf-absent"]), KafkaError.UNKNOWN_TOPIC_OR_PART)
        refused(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, "cf-topic", incremental_configs=[
            ConfigEntry("cleanup.policy", "burn", incremental_operation=AlterConfigOpType.SET)])]), KafkaError.INVALID_CONFIG)
        done(admin.create_topics([NewTopic("cf-dry", 1, 1)], validate_only=True))
        check("cf-dry" not in admin.list_topics(timeout=60).topics, "validate_only created the topic")


def data():
    with case("produce and consume"):
        create("cf-data", 3)
        records = [(i % 3, f"k{i}".encode(), f"value {i}".encode(), [("n", str(i).encode()), ("null", None)], BASE + i)
                   for i in range(3000)]
        deliveries = produce("cf-data", records)
        equal(deliveries.errors, [], "delivery errors")
        equal(len({(p, o) for p, o, _, _ in deliveries.acked}), 3000, "distinct offsets acknowledged")
        reader = consumer("cf-data-group")
        reader.subscribe(["cf-data"])
        found = poll_until(reader, 3000)
        for partition in range(3):
            mine = [m for m in found if m.partition() == partition]
            equal([m.offset() for m in mine], list(range(1000)), f"offsets of partition {partition}")
            equal([(m.key(), m.value(), m.headers(), m.timestamp()[1]) for m in mine],
                  [(k, v, h, ts) for p, k, v, h, ts in records if p == partition], f"records of partition {partition}")
        equal(reader.get_watermark_offsets(TopicPartition("cf-data", 0), timeout=60), (0, 1000), "watermarks")
        reader.close()

    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        with case(f"codec {codec}"):
            values = [(f"{codec} {i} " + "z" * (i % 500)).encode() for i in range(2000)]
            deliveries = produce(f"cf-{codec}", [(0, None, v, None, 0) for v in values], **{"compression.type": codec, "linger.ms": 20})
            equal(deliveries.errors, [], "delivery errors")
            reader = consumer("cf-codec")
            reader.assign([TopicPartition(f"cf-{codec}", 0, OFFSET_BEGINNING)])
            equal([m.value() for m in poll_until(reader, 2000)], values, "values")
            reader.close()

    with case("idempotent producer"):
        deliveries = produce("cf-once", [(0, None, str(i).encode(), None, 0) for i in range(5000)], **{"enable.idempotence": True})
        equal(deliveries.errors, [], "delivery errors")
        equal([o for _, o, _, _ in deliveries.acked], list(range(5000)), "offsets acknowledged")

    with case("seek by time"):
        create("cf-time", 1)
        produce("cf-time", [(0, None, str(i).encode(), None, BASE + i * 1000) for i in range(500)])
        reader = consumer("cf-time-group")
        offsets = reader.offsets_for_times([TopicPartition("cf-time", 0, BASE + 250_000)], timeout=60)
        equal(offsets[0].offset, 250, "offset at an exact time")
        equal(reader.offsets_for_times([TopicPartition("cf-time", 0, BASE + 250_001)], timeout=60)[0].offset, 251, "offset between two")
        equal(reader.offsets_for_times([TopicPartition("cf-time", 0, BASE + 9_000_000)], timeout=60)[0].offset, -1, "offset after the end")
        reader.assign([TopicPartition("cf-time", 0, 0)])
        poll_until(reader, 1)
        reader.seek(offsets[0])
        equal(poll_until(reader, 1)[0].value(), b"250", "value after seek")
        reader.close()

    with case("errors: unknown topic, large message"):
        reader = consumer("cf-unknown")  # allow.auto.create.topics is false by default
        reader.subscribe(["cf-not-there"])
        message, end = None, time.monotonic() + 120
        while message is None and time.monotonic() < end:
            message = reader.poll(0.5)
        check(message is not None and message.error(), f"no error for an unknown topic: {message}")
        equal(message.error().code(), KafkaError.UNKNOWN_TOPIC_OR_PART, "error of an unknown topic")
        reader.close()
        check("cf-not-there" not in admin.list_topics(timeout=60).topics, "a consumer created the topic")
        deliveries = produce("cf-topic", [(0, None, b"x" * 600_000, None, 0)])  # max.message.bytes was set to 500000 above
        equal([e.code() for e in deliveries.errors], [KafkaError.MSG_SIZE_TOO_LARGE], "error of a large message")


class Member(threading.Thread):
    """A group member in a thread; `values` is what it has seen."""

    def __init__(self, group, topic, **config):
        super().__init__(daemon=True)
        self.reader, self.stop, self.values, self.error = consumer(group, **config), threading.Event(), [], None
        self.assigned = set()
        # why not reader.assignment(): asked from another thread it can wait for the polling thread for ever
        self.reader.subscribe([topic], on_assign=lambda _, p: self.assigned.update(x.partition for x in p),
                              on_revoke=lambda _, p: self.assigned.difference_update(x.partition for x in p))
        self.start()

    def run(self):
        try:
            while not self.stop.is_set():
                message = self.reader.poll(0.1)
                if message is not None and not message.error():
                    self.values.append(message.value())
        except Exception as problem:  # noqa: BLE001
            self.error = problem
        finally:
            self.reader.close()

    def partitions(self):
        return set(self.assigned)

    def leave(self):
        self.stop.set()
        self.join(120)
        if self.error:
            raise self.error


def wait_until(condition, what, seconds=150):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def group_story(group, topic, **config):
    create(topic, 4)
    first = Member(group, topic, **config)
    wait_until(lambda: first.partitions() == {0, 1, 2, 3}, "one member with four partitions")
    produce(topic, [(i % 4, None, f"a{i}".encode(), None, 0) for i in range(100)])
    wait_until(lambda: len(first.values) == 100, "100 records at the first member")
    second = Member(group, topic, **config)
    wait_until(lambda: len(first.partitions()) == 2 and len(second.partitions()) == 2
               and not first.partitions() & second.partitions(), "two members with two each")
    produce(topic, [(i % 4, None, f"b{i}".encode(), None, 0) for i in range(100)])
    wait_until(lambda: len(set(first.values) | set(second.values)) == 200, "200 records at both members")
    check(any(v.startswith(b"b") for v in first.values) and any(v.startswith(b"b") for v in second.values), "both members work")
    first.leave()
    wait_until(lambda: second.partitions() == {0, 1, 2, 3}, "the one that stays with four partitions")
    produce(topic, [(i % 4, None, f"c{i}".encode(), None, 0) for i in range(100)])
    wait_until(lambda: sum(v.startswith(b"c") for v in second.values) == 100, "100 more at the one that stays")
    second.leave()
    equal(len(first.values) + len(second.values), 300, "records seen, each once")


def groups():
    with case("group: join and leave"):
        group_story("cf-group", "cf-group-topic")
    with case("group: cooperative-sticky"):
        group_story("cf-cooperative", "cf-cooperative-topic", **{"partition.assignment.strategy": "cooperative-sticky"})

    with case("group: a static member comes back without a rebalance"):
        create("cf-static-topic", 2)
        joins = []
        member = consumer("cf-static", **{"group.instance.id": "one"})
        member.subscribe(["cf-static-topic"], on_assign=lambda c, p: joins.append(len(p)))
        wait_until(lambda: member.poll(0.1) is None and joins, "the static member's assignment")
        before = done(admin.describe_consumer_groups(["cf-static"]))["cf-static"].members
        equal([m.group_instance_id for m in before], ["one"], "instance ids")
        member.close()  # a static member does not leave
        equal(len(done(admin.describe_consumer_groups(["cf-static"]))["cf-static"].members), 1, "members after close")
        again = consumer("cf-static", **{"group.instance.id": "one"})
        again.subscribe(["cf-static-topic"], on_assign=lambda c, p: joins.append(len(p)))
        wait_until(lambda: again.poll(0.1) is None and len(joins) == 2, "the assignment after the return")
        equal(joins, [2, 2], "assignments")
        again.close()

    with case("commit and resume"):
        create("cf-resume", 1)
        produce("cf-resume", [(0, None, str(i).encode(), None, 0) for i in range(100)])
        reader = consumer("cf-resume-group", **{"enable.auto.commit": False})
        reader.subscribe(["cf-resume"])
        found = poll_until(reader, 60)
        equal(reader.commit(message=found[41], asynchronous=False)[0].offset, 42, "committed")
        reader.close()
        reader = consumer("cf-resume-group", **{"enable.auto.commit": False})
        equal(reader.committed([TopicPartition("cf-resume", 0)], timeout=60)[0].offset, 42, "committed offset read back")
        reader.subscribe(["cf-resume"])
        equal([m.value() for m in poll_until(reader, 58)], [str(i).encode() for i in range(42, 100)], "values after resume")
        reader.commit(offsets=[TopicPartition("cf-resume", 0, 7, metadata="a note")], asynchronous=False)
        committed = reader.committed([TopicPartition("cf-resume", 0)], timeout=60)[0]
        equal((committed.offset, committed.metadata), (7, "a note"), "committed offset and metadata")
        reader.close()

    with case("admin: groups"):
        listed = {g.group_id: g for g in admin.list_consumer_groups().result(120).valid}
        check("cf-resume-group" in listed, f"groups listed: {sorted(listed)}")
        offsets = done(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("cf-resume-group")]))["cf-resume-group"]
        equal([(p.topic, p.partition, p.offset) for p in offsets.topic_partitions], [("cf-resume", 0, 7)], "group offsets")
        done(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("cf-resume-group", [TopicPartition("cf-resume", 0, 11)])]))
        offsets = done(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("cf-resume-group")]))["cf-resume-group"]
        equal(offsets.topic_partitions[0].offset, 11, "offset after alter")
        equal(done(admin.describe_consumer_groups(["cf-resume-group"]))["cf-resume-group"].state.name, "EMPTY", "state")
        equal(done(admin.delete_consumer_groups(["cf-resume-group"])), {"cf-resume-group": None}, "delete")
        check("cf-resume-group" not in {g.group_id for g in admin.list_consumer_groups().result(120).valid}, "the group is still listed")

    with case("errors: non-empty group"):
        member = Member("cf-busy", "cf-data")
        wait_until(lambda: member.partitions(), "the assignment")
        described = done(admin.describe_consumer_groups(["cf-busy"]))["cf-busy"]
        equal((described.state.name, len(described.members)), ("STABLE", 1), "state and members")
        equal({p.partition for p in described.members[0].assignment.topic_partitions}, {0, 1, 2}, "described assignment")
        refused(admin.delete_consumer_groups(["cf-busy"]), KafkaError.NON_EMPTY_GROUP)
        altered = done(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("cf-busy", [TopicPartition("cf-data", 0, 0)])]))
        equal([p.error.code() for p in altered["cf-busy"].topic_partitions], [KafkaError.UNKNOWN_MEMBER_ID], "altering a busy group")
        member.leave()
        refused(admin.delete_consumer_groups(["cf-never-was"]), KafkaError.GROUP_ID_NOT_FOUND)


def cleanup():
    with case("admin: delete topics"):
        done(admin.delete_topics(["cf-topic", "cf-data"]))
        wait_until(lambda: not {"cf-topic", "cf-data"} & set(admin.list_topics(timeout=60).topics), "the topics to be gone")
        create("cf-topic", 1)  # the name can be used again, with a new id and no old records
        wait_until(lambda: "cf-topic" in admin.list_topics(timeout=60).topics, "the new topic")
        reader = consumer("cf-recreated")
        reader.list_topics("cf-topic", timeout=60)
        equal(reader.get_watermark_offsets(TopicPartition("cf-topic", 0), timeout=60), (0, 0), "watermarks of the new topic")
        reader.close()


admin_topics()
data()
groups()
cleanup()
finish()
