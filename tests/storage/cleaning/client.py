"""One command of a foreign client per run. usage: client.py HOST:PORT COMMAND ...

confluent-kafka: create TOPIC [KEY=VALUE]..., alter TOPIC KEY=VALUE..., produce TOPIC (JSON lines `[key, value, timestamp]` on stdin;
prints the offset, or the error, of each), trim TOPIC OFFSET (DeleteRecords)
aiokafka: read TOPIC OFFSET RESET (JSON lines `[offset, key, value]`, to the end the partition has when it begins)
"""

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError as AioError
from confluent_kafka import KafkaException, Producer
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

BOOTSTRAP, COMMAND, TOPIC, *MORE = sys.argv[1:]
# Small batches: a segment has many, and some of them lose only some of their records.
BATCH_RECORDS = 10


def say(value):
    print(json.dumps(value))


def pairs():
    return dict(word.split("=", 1) for word in MORE)


def admin(method, *arguments):
    client = AdminClient({"bootstrap.servers": BOOTSTRAP})  # it must outlive its answers
    return [future.result(120) for future in getattr(client, method)(*arguments).values()]


def create():
    admin("create_topics", [NewTopic(TOPIC, 1, 1, config=pairs())])


def alter():
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in pairs().items()]
    admin("incremental_alter_configs", [ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=entries)])


def trim():
    [deleted] = admin("delete_records", [Partition(TOPIC, 0, int(MORE[0]))])
    say(deleted.low_watermark)


def produce():
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "batch.num.messages": BATCH_RECORDS, "enable.idempotence": True})
    found = []

    def acknowledged(error, message):
        found.append(error.name() if error else message.offset())

    for line in sys.stdin:
        key, value, timestamp = json.loads(line)
        producer.produce(TOPIC, key=key, value=value, partition=0, timestamp=timestamp or 0, on_delivery=acknowledged)
        producer.poll(0)
    assert producer.flush(120) == 0, "records are left after the flush"
    say(found)


async def read():
    partition, (offset, reset) = TopicPartition(TOPIC, 0), MORE
    consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset=reset, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, int(offset))
        while await consumer.position(partition) < end:
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                for message in messages:
                    say([message.offset, message.key and message.key.decode(), message.value and message.value.decode()])
    finally:
        await consumer.stop()


try:
    done = globals()[COMMAND]()
    if done is not None:
        asyncio.run(done)
except (AioError, KafkaException) as problem:
    error = problem.args[0].name() if isinstance(problem, KafkaException) else type(problem).__name__
    sys.exit(f"refused: {error} ({problem})")
