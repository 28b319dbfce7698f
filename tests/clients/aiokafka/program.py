"""Everything an application does with aiokafka, at its defaults. usage: program.py HOST:PORT"""

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "harness"))

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # noqa: E402
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete  # noqa: E402
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # noqa: E402
from aiokafka.errors import MessageSizeTooLargeError, OffsetOutOfRangeError  # noqa: E402
from report import case, check, equal, finish  # noqa: E402

BOOTSTRAP = sys.argv[1]
# recent: retention would take older records away while the test runs
BASE = int(time.time() * 1000) - 3_600_000


async def wait_until(condition, what, seconds=150):
    for _ in range(seconds * 20):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


async def take(consumer, count, seconds=150):
    found = []

    async def read():
        while len(found) < count:
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                found.extend(messages)

    try:
        await asyncio.wait_for(read(), seconds)
    except asyncio.TimeoutError:
        pass
    equal(len(found), count, "number of messages read")
    return found


def consumer(*topics, group=None, **more):
    return AIOKafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, group_id=group, auto_offset_reset="earliest", **more)


async def admin_topics(admin):
    with case("admin: create and describe"):
        made = await admin.create_topics([NewTopic("aio-data", 3, 1, topic_configs={"retention.ms": "7200000"}),
                                          NewTopic("aio-group", 4, 1), NewTopic("aio-time", 1, 1)])
        equal([error for _, error, _ in made.topic_errors], [0, 0, 0], "creation errors")
        equal([error for _, error, _ in (await admin.create_topics([NewTopic("aio-data", 1, 1)])).topic_errors], [36], "created twice")
        await asyncio.sleep(0.2)
        described = await admin.describe_topics(["aio-data"])
        equal((described[0]["error_code"], len(described[0]["partitions"])), (0, 3), "describe")
        check("aio-group" in await admin.list_topics(), "list_topics")
        configs = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "aio-data")])
        entries = {entry[0]: entry[1] for entry in configs[0].resources[0][4]}
        equal(entries["retention.ms"], "7200000", "retention.ms")
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "aio-data", configs={"retention.ms": "3600001"})])
        await asyncio.sleep(0.2)
        configs = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "aio-data")])
        equal({entry[0]: entry[1] for entry in configs[0].resources[0][4]}["retention.ms"], "3600001", "retention.ms after alter")
        await admin.create_partitions({"aio-time": NewPartitions(2)})
        await asyncio.sleep(0.2)
        equal(len((await admin.describe_topics(["aio-time"]))[0]["partitions"]), 2, "partitions after create_partitions")


async def data():
    with case("produce and consume"):
        async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP) as producer:
            sent = [await producer.send("aio-data", f"v{i}".encode(), key=f"k{i}".encode(), partition=i % 3,
                                        timestamp_ms=BASE + i, headers=[("n", str(i).encode())]) for i in range(1500)]
            acked = [await future for future in sent]
        equal(sorted((a.partition, a.offset) for a in acked), sorted((i % 3, i // 3) for i in range(1500)), "acknowledged")
        async with consumer("aio-data", group="aio-data-group") as reader:
            found = await take(reader, 1500)
        for partition in range(3):
            equal([(m.offset, m.key, m.value, m.timestamp, m.headers) for m in found if m.partition == partition],
                  [(i // 3, f"k{i}".encode(), f"v{i}".encode(), BASE + i, (("n", str(i).encode()),))
                   for i in range(partition, 1500, 3)], f"records of partition {partition}")

    with case("gzip and an idempotent producer"):
        async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type="gzip", enable_idempotence=True) as producer:
            sent = [await producer.send("aio-gzip", b"x" * (i % 200), partition=0) for i in range(1000)]
            equal([(await future).offset for future in sent], list(range(1000)), "offsets")
        async with consumer("aio-gzip") as reader:
            equal([len(m.value) for m in await take(reader, 1000)], [i % 200 for i in range(1000)], "sizes")

    with case("seek by time"):
        async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP) as producer:
            for i in range(100):
                await producer.send("aio-time", str(i).encode(), partition=0, timestamp_ms=BASE + i * 1000)
        partition = TopicPartition("aio-time", 0)
        async with consumer() as reader:
            reader.assign([partition])
            found = (await reader.offsets_for_times({partition: BASE + 49_500}))[partition]
            equal((found.offset, found.timestamp), (50, BASE + 50_000), "offset for a time")
            equal((await reader.offsets_for_times({partition: BASE + 900_000}))[partition], None, "after the end")
            reader.seek(partition, found.offset)
            equal((await take(reader, 50))[0].value, b"50", "first value after seek")
            equal(await reader.end_offsets([partition]), {partition: 100}, "end offsets")
            equal(await reader.beginning_offsets([partition]), {partition: 0}, "beginning offsets")


class Member:
    def __init__(self):
        self.values = []

    async def start(self):
        self.reader = consumer("aio-group", group="aio-members", metadata_max_age_ms=5000)
        await self.reader.start()
        self.task = asyncio.create_task(self.work())
        return self

    async def work(self):
        async for message in self.reader:
            self.values.append(message.value)

    def partitions(self):
        return {p.partition for p in self.reader.assignment()}

    async def leave(self):
        self.task.cancel()
        await self.reader.stop()


async def groups():
    async def produce(prefix):
        async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP) as producer:
            for i in range(100):
                await producer.send_and_wait("aio-group", f"{prefix}{i}".encode(), partition=i % 4)

    with case("group: join and leave"):
        first = await Member().start()
        await wait_until(lambda: first.partitions() == {0, 1, 2, 3}, "one member with four partitions")
        await produce("a")
        await wait_until(lambda: len(first.values) == 100, "100 records")
        second = await Member().start()
        await wait_until(lambda: len(first.partitions()) == 2 == len(second.partitions()), "two members with two each")
        await produce("b")
        await wait_until(lambda: len(set(first.values) | set(second.values)) == 200, "200 records at both")
        await first.leave()
        await wait_until(lambda: second.partitions() == {0, 1, 2, 3}, "four partitions at the one that stays")
        await produce("c")
        await wait_until(lambda: len(set(first.values) | set(second.values)) == 300, "300 records at both")
        await second.leave()

    with case("commit and resume"):
        async with consumer("aio-gzip", group="aio-resume", enable_auto_commit=False) as reader:
            await take(reader, 1000)
            await reader.commit({TopicPartition("aio-gzip", 0): 400})
        async with consumer("aio-gzip", group="aio-resume", enable_auto_commit=False) as reader:
            equal(await reader.committed(TopicPartition("aio-gzip", 0)), 400, "committed")
            equal((await take(reader, 600))[0].offset, 400, "first offset after resume")


async def errors_and_cleanup(admin):
    with case("errors"):
        async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, max_request_size=5_000_000) as producer:
            try:
                await producer.send_and_wait("aio-data", b"x" * 2_000_000, partition=0)
                raise AssertionError("a message of 2 MB was taken")
            except MessageSizeTooLargeError:
                pass
        async with consumer(enable_auto_commit=False) as reader:
            reader = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="none")
            await reader.start()
            try:
                reader.assign([TopicPartition("aio-data", 0)])
                reader.seek(TopicPartition("aio-data", 0), 100_000)
                try:
                    await asyncio.wait_for(reader.getone(), 120)
                    raise AssertionError("an offset beyond the end was read")
                except OffsetOutOfRangeError:
                    pass
            finally:
                await reader.stop()
        equal((await admin.describe_topics(["a bad name"]))[0]["error_code"], 17, "a name that no topic may have")

    with case("admin: groups and deletion"):
        check("aio-resume" in [g[0] for g in await admin.list_consumer_groups()], "list_consumer_groups")
        described = await admin.describe_consumer_groups(["aio-resume"])
        equal((described[0].groups[0][0], described[0].groups[0][2]), (0, "Empty"), "describe")
        offsets = await admin.list_consumer_group_offsets("aio-resume")
        equal(offsets[TopicPartition("aio-gzip", 0)].offset, 400, "group offsets")
        deleted = await admin.delete_records({TopicPartition("aio-time", 0): RecordsToDelete(30)})
        equal(deleted[TopicPartition("aio-time", 0)], 30, "low watermark")
        gone = await admin.delete_topics(["aio-gzip"])
        equal(gone.topic_error_codes, [("aio-gzip", 0)], "deletion")
        await asyncio.sleep(0.2)
        check("aio-gzip" not in await admin.list_topics(), "the deleted topic is still listed")


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    await admin_topics(admin)
    await data()
    await groups()
    await errors_and_cleanup(admin)
    await admin.close()


asyncio.run(main())
finish()
