"""Fills a Kafka broker with everything a data directory can hold, writes down what a client sees of it, and compares.

usage: program.py HOST:PORT fill STATE.json       creates, produces, commits, deletes; then writes what is seen
       program.py HOST:PORT compare STATE.json    what is seen now against what was written down
       program.py HOST:PORT go-on STATE.json      new records, commits, topics; then writes what is seen

What is expected after the change of brokers is what Kafka itself showed before it: nothing is listed twice by hand.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness"))

from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, Producer,  # noqa: E402
                             TopicCollection, TopicPartition)
from confluent_kafka.admin import (AclBinding, AclOperation, AclPermissionType, AdminClient, AlterConfigOpType, ConfigEntry,  # noqa: E402
                                   ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourcePatternType, ResourceType,
                                   ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion)
from report import case, check, equal, finish  # noqa: E402

BOOTSTRAP, MODE, STATE = sys.argv[1], sys.argv[2], Path(sys.argv[3])
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
BASE = int(time.time() * 1000) - 3_600_000  # recent: retention would take older records away
admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def done(futures):
    return {name: future.result(120) for name, future in futures.items()}


def create(name, partitions=1, **config):
    config = {key.replace("_", "."): str(value) for key, value in config.items()}
    done(admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)]))


def producer(**config):
    return Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 20, **{key.replace("_", "."): value for key, value in config.items()}})


def send(own, topic, partition, numbers, *, value=lambda i: f"value {i}".encode(), key=lambda i: f"key {i}".encode()):
    refused = []
    for i in numbers:
        own.produce(topic, partition=partition, key=key(i), value=value(i), timestamp=BASE + 1000 * i,
                    headers=[("number", str(i).encode()), ("empty", b""), ("null", None)] if i % 3 == 0 else None,
                    on_delivery=lambda error, _: refused.append(error) if error else None)
    check(own.flush(120) == 0, f"records of {topic}-{partition} were not acknowledged within 120 s")
    check(not refused, f"{topic}-{partition}: {refused[:1]}")


def commit(group, *positions):
    member = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group})
    member.commit(offsets=[TopicPartition(topic, partition, offset, metadata) for topic, partition, offset, metadata in positions],
                  asynchronous=False)
    member.close()


def consume_as(group, topic, count, **config):
    """A real member: joins, reads, commits, leaves."""
    member = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest",
                       "enable.auto.commit": False, **config})
    member.subscribe([topic])
    got, end = [], time.monotonic() + 150
    while len(got) < count and time.monotonic() < end:
        got += [message for message in member.consume(min(count - len(got), 100), timeout=1) if not message.error()]
    check(len(got) == count, f"group {group} got {len(got)} of {count} records")
    member.commit(asynchronous=False)
    member.close()
    return [message.value() for message in got]


# -- what a directory can hold --------------------------------------------------------------------------------------

def fill_topics():
    for codec in CODECS:
        create(f"codec-{codec}", 3, compression_type="producer")
        own = producer(compression_type=codec)
        for partition in range(3):
            send(own, f"codec-{codec}", partition, range(200 * partition, 200 * partition + 200))
    create("nulls", 1)
    own = producer()
    send(own, "nulls", 0, range(0, 20), key=lambda i: None)
    send(own, "nulls", 0, range(20, 40), value=lambda i: None)
    create("configured", 2, retention_ms=864_000_000, max_message_bytes=123_456, message_timestamp_type="LogAppendTime")
    send(producer(), "configured", 1, range(30))
    create("compacted", 1, cleanup_policy="compact", segment_bytes=1 << 20, min_cleanable_dirty_ratio=0.01, segment_ms=1000)
    own = producer(linger_ms=0)
    for round_ in range(4):
        send(own, "compacted", 0, range(50), value=lambda i: f"round {round_} of {i} ".encode() * 100)
    create("segments", 1, segment_bytes=1 << 20)
    own = producer(compression_type="none", batch_size=65536)
    send(own, "segments", 0, range(4000), value=lambda i: (b"%d " % i) * 200)
    create("with.dots_and-dashes-7", 2)
    send(producer(), "with.dots_and-dashes-7", 1, range(10))
    create("empty", 4)


def fill_removed():
    create("trimmed", 1)
    send(producer(), "trimmed", 0, range(300))
    done(admin.delete_records([TopicPartition("trimmed", 0, 120)]))
    create("gone", 3)
    send(producer(), "gone", 0, range(50))
    create("again", 2)
    send(producer(), "again", 0, range(70))
    done(admin.delete_topics(["gone", "again"]))
    time.sleep(1)
    create("again", 1)
    send(producer(), "again", 0, range(1000, 1010))
    done(admin.create_partitions([NewPartitions("again", 2)]))


def fill_transactions():
    create("transactions", 2)
    own = producer(transactional_id="adopted-transaction")
    own.init_transactions(120)
    member = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "transactional-group"})
    for number, commits in enumerate([True, False, True, False]):
        own.begin_transaction()
        first = 100 * number
        send(own, "transactions", 0, range(first, first + 10))
        send(own, "transactions", 1, range(first + 10, first + 20))
        # codec-none is only something to have an offset for; one partition each time, so that an abort would show
        own.send_offsets_to_transaction([TopicPartition("codec-none", number % 3, first + 7)], member.consumer_group_metadata(), 120)
        own.commit_transaction(120) if commits else own.abort_transaction(120)
    member.close()
    send(producer(), "transactions", 0, range(900, 910))  # behind the last abort, so that it can be read


def fill_groups():
    commit("committed", ("codec-none", 0, 11, ""), ("codec-none", 1, 22, "with metadata"))
    consume_as("classic-group", "codec-gzip", 450)
    consume_as("consumer-protocol", "codec-lz4", 333, **{"group.protocol": "consumer"})
    create("left-behind", 1)
    commit("committed", ("left-behind", 0, 5, ""))
    done(admin.delete_topics(["left-behind"]))  # its committed offsets go with it
    commit("emptied", ("codec-none", 0, 3, ""))
    done(admin.delete_consumer_groups(["emptied"]))


def fill_cluster():
    """What ringlog does not act on and must not lose either."""
    changes = [ConfigEntry("retention.bytes", "123456789", incremental_operation=AlterConfigOpType.SET)]
    done(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, "segments", incremental_configs=changes)]))
    done(admin.alter_user_scram_credentials([UserScramCredentialUpsertion(
        "alice", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), b"secret", b"salt")]))
    done(admin.create_acls([AclBinding(ResourceType.TOPIC, "codec-none", ResourcePatternType.LITERAL, "User:alice", "*",
                                       AclOperation.READ, AclPermissionType.ALLOW)]))


# -- what a client sees ---------------------------------------------------------------------------------------------

def wait_for_leaders():
    """A broker that says it is ready may still elect, and describe_topics of librdkafka 2.16 crashes on a partition without a
    leader, or with a replica on no known broker. Settled means: twice in a row."""
    def is_settled():
        view = admin.list_topics(timeout=120)
        partitions = [partition for topic in view.topics.values() for partition in topic.partitions.values()]
        return all(partition.leader in view.brokers and partition.isrs and set(partition.replicas) <= set(view.brokers)
                   for partition in partitions)

    end, settled = time.monotonic() + 150, 0
    while settled < 2:
        settled = settled + 1 if is_settled() else 0
        check(time.monotonic() < end, "partitions without leader after 150 s")
        time.sleep(0.3)


def wait_for_markers():
    """The coordinator has answered before the markers of the last transaction are written. Before them nothing behind it is committed."""
    every = [TopicPartition("transactions", index) for index in range(2)]

    def ends(level):
        found = done(admin.list_offsets({at: OffsetSpec.latest() for at in every}, isolation_level=level))
        return [found[at].offset for at in every]

    end = time.monotonic() + 150
    while ends(IsolationLevel.READ_COMMITTED) != ends(IsolationLevel.READ_UNCOMMITTED):
        check(time.monotonic() < end, "a transaction without its markers after 150 s")
        time.sleep(0.1)


def seen():
    wait_for_leaders()
    topics = {}
    names = [name for name in admin.list_topics(timeout=120).topics if not name.startswith("__")]
    for name, described in done(admin.describe_topics(TopicCollection(names))).items():
        topics[name] = {"id": str(described.topic_id), "partitions": len(described.partitions)}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    for resource, configs in done(admin.describe_configs(resources)).items():
        # 1: set on the topic itself
        topics[resource.name]["configs"] = {name: entry.value for name, entry in sorted(configs.items()) if entry.source == 1}
    groups = {}
    for group in ["committed", "classic-group", "consumer-protocol", "transactional-group", "went-on"]:
        found = done(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))[group].topic_partitions
        groups[group] = {f"{at.topic}-{at.partition}": [at.offset, at.metadata or "", at.error is not None] for at in found}
    return {"topics": topics, "groups": groups,
            "offsets": offsets(topics), "uncommitted": records(topics, "read_uncommitted"), "committed": records(topics, "read_committed")}


def offsets(topics):
    """By name of the question; each answer is [offset, timestamp]."""
    every = [TopicPartition(name, index) for name, topic in sorted(topics.items()) for index in range(topic["partitions"])]
    questions = {"earliest": OffsetSpec.earliest(), "latest": OffsetSpec.latest(), "max timestamp": OffsetSpec.max_timestamp(),
                 **{f"at {second} s": OffsetSpec.for_timestamp(BASE_SEEN + 1000 * second) for second in [0, 5, 7.5, 30, 399, 3999]}}
    answers = {}
    for name, question in questions.items():
        for level in [IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED]:
            found = done(admin.list_offsets({at: question for at in every}, isolation_level=level))
            for at, answer in found.items():
                if at.topic == "compacted" and name != "latest":
                    continue  # moves with the cleaner
                answers[f"{at.topic}-{at.partition} {name} {level.name}"] = [answer.offset, answer.timestamp]
    return dict(sorted(answers.items()))


def records(topics, isolation):
    """Every record of every partition, up to where the isolation level lets a consumer come."""
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "looks-only", "enable.auto.commit": False,
                         "isolation.level": isolation, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    found = {f"{name}-{index}": [] for name, topic in sorted(topics.items()) for index in range(topic["partitions"])}
    consumer.assign([TopicPartition(name, index, 0) for name, topic in topics.items() for index in range(topic["partitions"])])
    ended, end = set(), time.monotonic() + 300
    while len(ended) < len(found) and time.monotonic() < end:
        for message in consumer.consume(2000, timeout=1):
            at = f"{message.topic()}-{message.partition()}"
            if message.error() is None:
                text = lambda raw: None if raw is None else raw.decode()  # noqa: E731
                headers = [[name, text(value)] for name, value in message.headers() or []]
                found[at].append([message.offset(), *message.timestamp(), text(message.key()), text(message.value()), headers])
            elif message.error().name() == "_PARTITION_EOF":
                ended.add(at)
            else:
                raise KafkaException(message.error())
    consumer.close()
    # the cleaner may come between two looks: what has to be there is the last record of each key
    found["compacted-0"] = list({record[3]: record for record in found["compacted-0"]}.values())
    check(len(ended) == len(found), f"{isolation}: no end within 300 s of {sorted(set(found) - ended)[:5]}")
    return found


def compare(before, now):
    for kind in ["topics", "groups", "offsets", "uncommitted", "committed"]:
        with case(f"{kind} are what they were"):
            equal(sorted(now[kind]), sorted(before[kind]), "names")
            for name, was in before[kind].items():
                if kind in ["uncommitted", "committed"] and was != now[kind][name]:
                    equal([record[0] for record in now[kind][name]], [record[0] for record in was], f"offsets of {name}")
                    different = next(pair for pair in zip(now[kind][name], was) if pair[0] != pair[1])
                    equal(*different, f"a record of {name}")
                equal(now[kind][name], was, name)


def written():
    return json.loads(STATE.read_text())


def write(base):
    STATE.write_text(json.dumps({"base": base, **seen()}))


BASE_SEEN = BASE if MODE == "fill" else written()["base"]

if MODE == "fill":
    for part in [fill_topics, fill_removed, fill_transactions, fill_groups, fill_cluster]:
        with case(part.__name__.replace("_", " ")):
            part()
    with case("what was written is seen"):
        wait_for_markers()
        time.sleep(2)  # the cleaner of `compacted`
        write(BASE)
elif MODE == "compare":
    compare(written(), seen())
elif MODE == "go-on":
    before = written()
    with case("new records in old partitions, new partitions and new topics"):
        for codec in CODECS:
            send(producer(compression_type=codec, enable_idempotence=True), f"codec-{codec}", 1, range(5000, 5100))
        create(f"made-later-{len(before['topics'])}", 2)
        send(producer(), f"made-later-{len(before['topics'])}", 1, range(20))
        send(producer(), "transactions", 0, range(2000, 2010))
        send(producer(), "trimmed", 0, range(300, 310))
    with case("groups resume where they were"):
        position = before["groups"]["classic-group"]
        read = sum(offset for offset, _, _ in position.values())
        left = 600 - read if read < 600 else 100
        consume_as("classic-group", "codec-gzip", left)
        resumed = consume_as("consumer-protocol", "codec-lz4", 10)
        check(len(resumed) == 10, "the consumer group of the newer protocol")
        commit("went-on", ("codec-none", 2, len(before["topics"]), "went on"))
    with case("what was written is seen"):
        write(before["base"])
finish()
