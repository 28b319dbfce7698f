"""Compaction, retention and the scrubber at work in a broker, as its clients see them."""

import json
import re
import time
from collections import namedtuple
from pathlib import Path

from broker import CACHE, TARGET, java
from storage import delete_records, kcat, metric
from suite import Skip, command, wait_until

Record = namedtuple("Record", "offset key value")

KEYS = 8
VALUE_BYTES = 5000
SEGMENT = {"segment.bytes": 1 << 20}
COMPACT = {**SEGMENT, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": 0, "min.compaction.lag.ms": 0}
NEVER_DIRTY = {"min.cleanable.dirty.ratio": 1}  # nothing but dirty records is not more than this
CLEANER = {"log.cleaner.backoff.ms": "100", "log.retention.check.interval.ms": "500", "log.flush.start.offset.checkpoint.interval.ms": "500"}
# Logs are closed as soon as nobody uses them.
IDLE = {**CLEANER, "ringlog.log.idle.ms": "1000"}
SCRUBBER = {**IDLE, "ringlog.scrub.interval.ms": "1000"}


# -- clients ------------------------------------------------------------------------------------------------------------

def client(broker, *arguments, **more):
    """One command of client.py (confluent-kafka, aiokafka)."""
    program = Path(__file__).with_name("client.py")
    return command([CACHE / "python/bin/python", program, broker.bootstrap, *arguments], **more)


def create(broker, topic, config):
    client(broker, "create", topic, *(f"{key}={value}" for key, value in config.items()))


def alter(broker, topic, config):
    client(broker, "alter", topic, *(f"{key}={value}" for key, value in config.items()))


def produce(broker, topic, records, timestamp=None):
    """[(key, value)]; what was written, with its offsets."""
    lines = "".join(json.dumps([key, value, timestamp]) + "\n" for key, value in records)
    offsets = json.loads(client(broker, "produce", topic, input=lines.encode())[1])
    assert all(isinstance(offset, int) for offset in offsets), offsets
    return [Record(offset, key, value) for offset, (key, value) in zip(offsets, records)]


def parsed(out):
    records = [json.loads(line) for line in out.splitlines()]
    return [Record(*(record if isinstance(record, list) else (record["offset"], record["key"], record["payload"]))) for record in records]


def kcat_read(broker, topic, start, *arguments, **more):
    # no waiting for more at the end, where it is told that there is no more
    return kcat(broker, "-C", "-t", topic, "-p", "0", "-o", start, "-e", "-q", "-J", "-X", "fetch.wait.max.ms=10", *arguments, **more)


def read(broker, topic, start="beginning", *arguments):
    """By kcat (librdkafka), to the end."""
    return parsed(kcat_read(broker, topic, start, *arguments)[1])


def read_aiokafka(broker, topic, start=0, reset="earliest"):
    return parsed(client(broker, "read", topic, start, reset)[1])


def read_java(broker, topic, count, start="earliest", check=True):
    """Kafka's console consumer."""
    shown = ["print.offset", "print.key", "print.partition"]
    line = java("tools-4.3.1", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", broker.bootstrap, "--topic", topic,
                "--partition", "0", "--offset", start, "--max-messages", count, "--timeout-ms", "30000",
                *(word for name in shown for word in ["--formatter-property", f"{name}=true"]))
    code, out, err = command(line, check=check)
    found = re.findall(r"^Partition:0\tOffset:(\d+)\t(\S+)\t(.*)$", out, re.M)
    records = [Record(int(offset), key, None if value == "null" else value) for offset, key, value in found]
    return records if check else (code, records, err)


def bounds(broker, topic):
    """ListOffsets: the earliest and the latest."""
    found = [re.search(r"offset (\d+)", kcat(broker, "-Q", "-t", f"{topic}:0:{time}")[1]) for time in [-2, -1]]
    return tuple(int(match.group(1)) for match in found)


# -- what is written, and what must be left of it -----------------------------------------------------------------------

def updates(count, keys=KEYS, word="v"):
    """`count` values, of one key after the other."""
    return [(f"key-{i % keys}", f"{word}{i} ".ljust(VALUE_BYTES, "x")) for i in range(count)]


def segments(broker, topic):
    """Closed ones and the active one."""
    return sorted(files(broker, topic, "*.log"))


def base_offset(path):
    return int(path.name.split(".")[0])


def compacted(written, active):
    """Of the closed segments the last record of every key; all of the active one."""
    last = {record.key: record.offset for record in written if record.offset < active}
    return [record for record in written if record.offset >= active or last[record.key] == record.offset]


def is_compacted(broker, topic, written):
    return read(broker, topic) == compacted(written, base_offset(segments(broker, topic)[-1]))


def latest(records):
    """What a table made of these records holds."""
    table = {}
    for record in records:
        table[record.key] = record.value
    return {key: value for key, value in table.items() if value is not None}


def await_compaction(broker, topic, written):
    assert len(segments(broker, topic)) > 1, "nothing is closed"
    wait_until(lambda: is_compacted(broker, topic, written), f"{topic} to be compacted")


def sizes(broker, topic):
    """Bytes of the segments, from the first; one that goes at this moment may be missing."""
    found = []
    for path in segments(broker, topic):
        try:
            found.append(path.stat().st_size)
        except FileNotFoundError:
            pass
    return found


def size_bytes(broker, topic):
    return sum(sizes(broker, topic))


def files(broker, topic, pattern):
    return list((broker.data_dir / f"{topic}-0").glob(pattern))


def await_closed(broker):
    wait_until(lambda: metric(broker, "partitions_open") == 0, "the logs to be closed")


# -- compaction ---------------------------------------------------------------------------------------------------------

def compaction(t, broker):
    # All at once: a segment is compacted when it is synced, which is done every few seconds.
    config = {"table": {}, "kept": {"delete.retention.ms": 3_600_000}, "gone": {"delete.retention.ms": 100}}
    tombstones = [*updates(100), ("key-1", None), ("key-2", None), *updates(300, keys=1, word="more")]
    written = {}
    for topic, more in config.items():
        create(broker, topic, {**COMPACT, **more})
        written[topic] = produce(broker, topic, updates(700) if topic == "table" else tombstones)

    with t.case("a record without a key is refused, and nothing of it is kept"):
        code, _, err = kcat(broker, "-P", "-t", "table", "-p", "0", input=b"no key\n", check=False)
        assert code != 0 and "failed to validate record" in err, (code, err)
        line = java("tools-4.3.1", "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", broker.bootstrap, "--topic", "table")
        _, out, err = command(line, input=b"no key\n", check=False)
        assert "InvalidRecordException" in out + err, out + err
        assert bounds(broker, "table") == (0, 700)
        written["table"] += produce(broker, "table", [("key-0", "with one")])
        assert read(broker, "table")[-1] == written["table"][-1]

    with t.case("compaction leaves the last value of each key, where it was"):
        await_compaction(broker, "table", written["table"])
        assert bounds(broker, "table") == (0, 701)
        left = read(broker, "table")
        t.note(f"{len(left)} of 701 records are left")
        assert latest(left) == latest(written["table"])
        assert read_aiokafka(broker, "table") == left
        assert read_java(broker, "table", len(left)) == left
        # a reader in a gap goes on behind it
        assert left[0].offset > 10
        assert read(broker, "table", "10") == left and read_aiokafka(broker, "table", 10) == left

    with t.case("a tombstone takes its key's values, and stays for delete.retention.ms"):
        await_compaction(broker, "kept", written["kept"])
        left = read(broker, "kept")
        assert [record.offset for record in left if record.key in ("key-1", "key-2")] == [100, 101], "not the tombstones alone"
        assert read_aiokafka(broker, "kept") == left

    with t.case("what is written afterwards is compacted, too; tombstones older than delete.retention.ms go, and their keys do not come back"):
        await_compaction(broker, "gone", written["gone"])
        written["table"] += produce(broker, "table", updates(300, keys=KEYS // 2, word="later"))

        def is_gone():
            # the next compaction takes them, and there is none unless something was written
            written["gone"] += produce(broker, "gone", updates(210, keys=1, word="still more"))
            return not {"key-1", "key-2"} & {record.key for record in read(broker, "gone")}

        wait_until(is_gone, "the tombstones to go")
        await_compaction(broker, "table", written["table"])
        for topic in ["table", "gone"]:
            assert latest(read(broker, topic)) == latest(written[topic])


def killed(t):
    with t.case("kill -9 in the middle of compactions: the last values are what they were"):
        # Slow enough to be met at work.
        broker = t.broker({**CLEANER, "log.cleaner.io.max.bytes.per.second": str(4 << 20)})
        create(broker, "table", {**COMPACT, **NEVER_DIRTY})
        written = produce(broker, "table", updates(1100))
        alter(broker, "table", {"min.cleanable.dirty.ratio": 0})
        met = set()
        for pattern in ["*.cleaned", "*.swap", "*.deleted"]:
            # a `.swap` may pass between two looks: then the end of the work is as good
            compacted_bytes = 2 << 20
            wait_until(lambda: files(broker, "table", pattern) or size_bytes(broker, "table") < compacted_bytes, "a compaction", every=0.001)
            broker.kill()
            if size_bytes(broker, "table") > compacted_bytes:
                met |= {path.suffix for path in files(broker, "table", "*") if path.suffix in (".cleaned", ".swap", ".deleted")}
            broker.start()
            found = read(broker, "table")
            assert latest(found) == latest(written), "values are lost, or older ones are back"
            offsets = [record.offset for record in found]
            assert set(found) <= set(written) and offsets == sorted(set(offsets)), "others than were written, or in another order"
            assert bounds(broker, "table") == (0, 1100)
        t.note(f"met with {' '.join(sorted(met))}")
        assert met, "no compaction was met at work"
        await_compaction(broker, "table", written)
        wait_until(lambda: not files(broker, "table", "*.cleaned") and not files(broker, "table", "*.swap"), "the leftovers to go")
        broker.stop()


def idle(t):
    if TARGET == "kafka":
        with t.case("closed logs"):
            raise Skip("Kafka closes no logs")
        return
    broker = t.broker(IDLE)

    def is_compacted_unseen(topic, written):
        """Nobody reads it before it was compacted: a reader would open it."""
        before = size_bytes(broker, topic)
        compactions = metric(broker, "compactions_total")
        alter(broker, topic, {"min.cleanable.dirty.ratio": 0})
        wait_until(lambda: metric(broker, "compactions_total") > compactions, "a compaction")
        await_closed(broker)
        assert size_bytes(broker, topic) < before * 2 / 3, (before, size_bytes(broker, topic))
        assert is_compacted(broker, topic, written)

    with t.case("a log that was closed because nobody uses it is compacted"):
        create(broker, "idle", {**COMPACT, **NEVER_DIRTY})
        create(broker, "unused", {**COMPACT, **NEVER_DIRTY})
        written = produce(broker, "idle", updates(700))
        unused = produce(broker, "unused", updates(700))
        await_closed(broker)
        is_compacted_unseen("idle", written)

    with t.case("so is one that nobody has used since the start"):
        assert broker.restart().starts == 2
        is_compacted_unseen("unused", unused)
        broker.stop()


# -- retention ----------------------------------------------------------------------------------------------------------

def moved(broker, topic):
    """Log start, when it has moved."""
    return wait_until(lambda: bounds(broker, topic)[0], f"the log start of {topic} to move")


def resets(broker, topic, written):
    """Readers that come for what is gone."""
    start = bounds(broker, topic)[0]
    left = [record for record in written if record.offset >= start]
    assert read(broker, topic) == left
    assert read(broker, topic, "0", "-X", "topic.auto.offset.reset=earliest") == left
    assert read(broker, topic, "0", "-X", "topic.auto.offset.reset=latest") == []
    code, _, err = kcat_read(broker, topic, "0", "-X", "topic.auto.offset.reset=error", check=False)
    assert code != 0 and "out of range" in err.lower(), (code, err)
    assert read_aiokafka(broker, topic, 0, "earliest") == left
    assert read_aiokafka(broker, topic, 0, "latest") == []
    code, _, err = client(broker, "read", topic, 0, "none", check=False)
    assert code != 0 and "OffsetOutOfRange" in err, (code, err)


def retention(t, broker):
    # Ahead of its case: see compaction().
    create(broker, "both", {**COMPACT, "cleanup.policy": "compact,delete", "retention.ms": 3_600_000})
    now = int(time.time() * 1000)
    ancient = produce(broker, "both", [(f"old-{i}", value) for i, (_, value) in enumerate(updates(400))], now - 2 * 3_600_000)
    recent = produce(broker, "both", updates(700), now)

    with t.case("retention.bytes moves the log start; readers below it are reset as they asked"):
        create(broker, "large", {**SEGMENT, "cleanup.policy": "delete", "retention.bytes": 2 << 20, "file.delete.delay.ms": 3_600_000})
        written = produce(broker, "large", updates(700))
        # whole segments go, as long as what is left is as much as was asked for
        wait_until(lambda: sum(sizes(broker, "large")[1:]) < 2 << 20, "the log to be small enough")
        assert bounds(broker, "large") == (base_offset(segments(broker, "large")[0]), 700)
        assert size_bytes(broker, "large") >= 2 << 20
        resets(broker, "large", written)
        # what was removed is still there, under another name
        assert {base_offset(path) for path in files(broker, "large", "*.log.deleted")} >= {0}

    with t.case("file.delete.delay.ms: removed files go after it"):
        create(broker, "brief", {**SEGMENT, "retention.bytes": 1 << 20, "file.delete.delay.ms": 100})
        produce(broker, "brief", updates(600))
        moved(broker, "brief")
        wait_until(lambda: not files(broker, "brief", "*.deleted") and len(segments(broker, "brief")) <= 2, "the removed files to go")
        assert files(broker, "large", "*.deleted"), "those of another topic went, too"

    with t.case("retention.ms takes what is old, and keeps what is young"):
        create(broker, "old", {**SEGMENT, "cleanup.policy": "delete", "retention.ms": 3_600_000, "file.delete.delay.ms": 100})
        old = produce(broker, "old", updates(300), now - 2 * 3_600_000)
        young = produce(broker, "old", updates(300), now)

        def old_are_gone():
            start, _ = bounds(broker, "old")
            assert start <= len(old), "young records are gone"
            return start > 150 and read(broker, "old") == (old + young)[start:]

        wait_until(old_are_gone, "the old records to go")
        alter(broker, "old", {"retention.ms": 1000})
        wait_until(lambda: bounds(broker, "old") == (600, 600), "all records to go")
        assert read(broker, "old") == []
        written = produce(broker, "old", updates(3))
        assert [record.offset for record in written] == [600, 601, 602], "offsets were given out again"

    with t.case("compact,delete: old keys go with their last values, the others are compacted"):
        def is_cleaned():
            start, found = bounds(broker, "both")[0], read(broker, "both")
            left = [record for record in compacted(ancient + recent, base_offset(segments(broker, "both")[-1])) if record.offset >= start]
            return start > 190 and found == left and len(found) < 600

        wait_until(is_cleaned, "the topic to be compacted and its old records to go")
        assert latest(read(broker, "both")).items() >= latest(recent).items()

    with t.case("DeleteRecords by librdkafka and by Kafka's tool"):
        create(broker, "trimmed", {**SEGMENT, "cleanup.policy": "delete", "file.delete.delay.ms": 100})
        written = produce(broker, "trimmed", updates(850))
        assert json.loads(client(broker, "trim", "trimmed", 300)[1]) == 300
        assert bounds(broker, "trimmed") == (300, 850)
        assert read(broker, "trimmed") == read_aiokafka(broker, "trimmed") == written[300:]
        # whole segments below it go
        wait_until(lambda: base_offset(segments(broker, "trimmed")[0]) > 0 and not files(broker, "trimmed", "*.deleted"), "segments to go")
        assert base_offset(segments(broker, "trimmed")[0]) <= 300
        assert delete_records(broker, "trimmed", 777) == 777
        assert bounds(broker, "trimmed") == (777, 850)
        # as with Kafka it outlives a crash once it is in the checkpoint
        checkpoint, ids = (broker.data_dir / name for name in ["log-start-offset-checkpoint", "ringlog-checkpoint-topic-ids"])
        wait_until(lambda: checkpoint.exists() and "trimmed 0 777" in checkpoint.read_text().splitlines(), "the checkpoint")
        # which counts when the file that is written last says of which topic of that name it tells
        wait_until(lambda: TARGET == "kafka" or ids.exists() and "trimmed" in ids.read_text(), "the checkpoint to count")
        broker.kill()
        broker.start()
        assert bounds(broker, "trimmed") == (777, 850), ("the log start went back", bounds(broker, "trimmed"))
        assert read(broker, "trimmed") == read(broker, "trimmed", "0", "-X", "topic.auto.offset.reset=earliest") == written[777:]
        # what the stop kept from being removed
        wait_until(lambda: read(broker, "large") and not files(broker, "large", "*.deleted"), "the files that were removed to go")
        code, _, err = client(broker, "trim", "table", 10, check=False)
        assert code != 0 and "POLICY_VIOLATION" in err, (code, err)

    with t.case("a stop while all this goes on is a clean one"):
        code = broker.stop()
        assert code == (143 if TARGET == "kafka" else 0), f"exit code {code}:\n{broker.tail()}"
        assert TARGET == "kafka" or " ERROR " not in broker.output(), broker.tail()


# -- the scrubber -------------------------------------------------------------------------------------------------------

def flip(path, position):
    """One bit of a file, in place."""
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x10]))


def position_of(path, record):
    """Where the value of a record lies in its segment."""
    position = path.read_bytes().find(record.value[:20].encode())
    assert position > 0, record.offset
    return position + 100


def batches(path):
    """Position, first and last offset of each."""
    data, position = path.read_bytes(), 0
    while position < len(data):
        base, size, delta = (int.from_bytes(data[position + at:position + at + width], "big") for at, width in [(0, 8), (8, 4), (23, 4)])
        yield position, base, base + delta
        position += 12 + size


def batch_of(path, offset):
    return next((position, first, last) for position, first, last in batches(path) if first <= offset <= last)


def scrubbing(t):
    if TARGET == "kafka":
        with t.case("scrubber"):
            raise Skip("ringlog's own")
        return
    broker = t.broker(SCRUBBER)
    create(broker, "rotten", SEGMENT)
    written = produce(broker, "rotten", updates(800))
    logs, bad = [], None

    def serves_all_but(first, last):
        """What is before the bad batch and behind it is served; for it there is Kafka's error, and never its bytes."""
        before, behind = written[:first], written[last + 1:]
        # librdkafka trusts what it gets unless told otherwise: that it gets nothing is up to the broker
        code, out, err = kcat_read(broker, "rotten", "beginning", "-X", "check.crcs=false", check=False)
        assert parsed(out) == before, "not what lies before the bad batch"
        assert code != 0 and "Broker: Invalid message" in err, (code, err)
        for offset in range(first, last + 1, 3):
            code, out, err = kcat_read(broker, "rotten", str(offset), "-X", "check.crcs=false", check=False)
            assert code != 0 and not out, (offset, out[:200], err)
        assert read(broker, "rotten", str(last + 1)) == behind
        assert read_aiokafka(broker, "rotten", last + 1) == behind

    def found_and_lifted():
        return metric(broker, "scrub_bad_ranges_found_total"), metric(broker, "scrub_bad_ranges_lifted_total")

    with t.case("a bit that turned on the disk is found; its batch is refused, all others are served"):
        await_closed(broker)
        logs = segments(broker, "rotten")
        assert len(logs) > 3, logs
        victim = written[base_offset(logs[1]) + 55]
        place = position_of(logs[1], victim)
        flip(logs[1], place)
        wait_until(lambda: found_and_lifted() == (1, 0), "the scrubber to find it")
        code, out, err = command([broker.ringlog_command()[0], "log", "verify", logs[1]], check=False)
        told = re.search(rf"{logs[1].name}: position (\d+): CRC", out + err)
        assert code != 0 and told, out + err
        position, *bad = batch_of(logs[1], victim.offset)
        assert int(told.group(1)) == position, (told.group(), position)
        serves_all_but(*bad)
        code, found, err = read_java(broker, "rotten", 1000, start=bad[0], check=False)
        assert not found and str(bad[0]) in err and "corrupt" in err.lower(), (code, found[:3], err)

    with t.case("what was found is remembered over kill -9"):
        broker.kill()
        broker.start()
        serves_all_but(*bad)

    with t.case("the disk is well again: the batch is served again"):
        flip(logs[1], place)
        wait_until(lambda: found_and_lifted()[1] == 1, "the scrubber to lift it")
        assert read(broker, "rotten") == written

    with t.case("a bit that turned while the broker was stopped is found, without anybody reading"):
        assert broker.stop() == 0
        victim = written[base_offset(logs[2]) + 33]
        flip(logs[2], position_of(logs[2], victim))
        broker.start()
        wait_until(lambda: found_and_lifted() == (1, 0), "the scrubber to find it")
        serves_all_but(*batch_of(logs[2], victim.offset)[1:])
        broker.stop()


def run(t):
    broker = t.broker(CLEANER)
    compaction(t, broker)
    killed(t)
    idle(t)
    retention(t, broker)
    scrubbing(t)
