"""kcat 1.7 (librdkafka 2.0), as a person at a terminal uses it."""

import json
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from suite import PATIENCE_SECONDS, command, wait_until

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def kcat(broker, *arguments, **more):
    return command(["kcat", "-b", broker.bootstrap, *arguments], **more)


def produce(broker, topic, lines, *arguments):
    kcat(broker, "-P", "-t", topic, *arguments, input="".join(f"{line}\n" for line in lines).encode())


def consume(broker, topic, *arguments):
    _, out, _ = kcat(broker, "-C", "-t", topic, "-e", "-q", *arguments)
    return out.splitlines()


class GroupMember:
    """`kcat -G`: prints what it gets into a file, and its assignment on stderr."""

    def __init__(self, broker, group, topic, folder, name, *arguments):
        self.out, self.err = Path(folder, f"{name}.out"), Path(folder, f"{name}.err")
        self.process = subprocess.Popen(
            ["kcat", "-b", broker.bootstrap, "-u", "-X", "auto.offset.reset=earliest", *arguments,
             "-f", "%p:%o:%s\n", "-G", group, topic],
            stdin=subprocess.DEVNULL, stdout=open(self.out, "wb"), stderr=open(self.err, "wb"))

    def lines(self):
        return self.out.read_text().splitlines()

    def partitions(self):
        """The assignment of the last rebalance, for example {0, 1}."""
        seen = [line for line in self.err.read_text().splitlines() if "assigned:" in line or "revoked:" in line]
        if not seen or "revoked" in seen[-1]:
            return set()
        return {int(part.strip().split("[")[1].rstrip("]")) for part in seen[-1].split("assigned:")[1].split(",") if "[" in part}

    def leave(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def run(t):
    broker = t.broker()
    with t.case("a topic is created by the first message and comes back in the metadata"):
        produce(broker, "kcat-first", ["hello", "world"])
        assert consume(broker, "kcat-first") == ["hello", "world"]
        metadata = json.loads(kcat(broker, "-L", "-J")[1])
        assert [b["name"] for b in metadata["brokers"]] == [broker.bootstrap], metadata["brokers"]
        topic = next(topic for topic in metadata["topics"] if topic["topic"] == "kcat-first")
        assert [p["partition"] for p in topic["partitions"]] == [0], topic
        assert topic["partitions"][0]["isrs"] == topic["partitions"][0]["replicas"], topic

    with t.case("keys, headers and partitions survive"):
        produce(broker, "kcat-keyed", [f"k{i}:v{i}" for i in range(100)], "-K", ":", "-H", "origin=test", "-H", "empty=")
        lines = consume(broker, "kcat-keyed", "-f", "%k %s %h\n")
        assert lines == [f"k{i} v{i} origin=test,empty=" for i in range(100)], lines[:3]

    with t.case("null values and empty values are different"):
        kcat(broker, "-P", "-t", "kcat-null", "-Z", "-K", ":", input=b"a:\nb:1\n")
        found = [json.loads(line) for line in consume(broker, "kcat-null", "-J")]
        assert [(m["key"], m["payload"]) for m in found] == [("a", None), ("b", "1")], found

    for codec in CODECS:
        with t.case(f"{codec} in, the same out"):
            lines = [f"{codec} line {i} " + "x" * (i % 300) for i in range(5000)]
            produce(broker, f"kcat-{codec}", lines, "-z", codec)
            assert consume(broker, f"kcat-{codec}") == lines

    with t.case("acks 0, 1 and all are all taken"):
        for acks in ["0", "1", "-1"]:
            produce(broker, "kcat-acks", [f"acks {acks}"], "-X", f"acks={acks}")
            # acks=0 says nothing: wait until it is there before the next one, so that the order is known
            wait_until(lambda acks=acks: f"acks {acks}" in consume(broker, "kcat-acks"), f"the record with acks={acks}")
        assert consume(broker, "kcat-acks") == ["acks 0", "acks 1", "acks -1"]

    with t.case("an idempotent producer"):
        lines = [f"once {i}" for i in range(2000)]
        produce(broker, "kcat-once", lines, "-X", "enable.idempotence=true")
        assert consume(broker, "kcat-once") == lines

    with t.case("consume from an offset, from the end, a count"):
        produce(broker, "kcat-offsets", [f"n{i}" for i in range(100)])
        assert consume(broker, "kcat-offsets", "-o", "90") == [f"n{i}" for i in range(90, 100)]
        assert consume(broker, "kcat-offsets", "-o", "-5") == [f"n{i}" for i in range(95, 100)]
        assert consume(broker, "kcat-offsets", "-o", "10", "-c", "3") == ["n10", "n11", "n12"]

    with t.case("seek by time"):
        before = int(time.time() * 1000)
        time.sleep(0.05)
        produce(broker, "kcat-time", [f"early {i}" for i in range(10)])
        time.sleep(0.2)
        middle = int(time.time() * 1000)
        time.sleep(0.2)
        produce(broker, "kcat-time", [f"late {i}" for i in range(10)])
        assert consume(broker, "kcat-time", "-o", f"s@{middle}") == [f"late {i}" for i in range(10)]
        assert consume(broker, "kcat-time", "-o", f"s@{before}", "-o", f"e@{middle}") == [f"early {i}" for i in range(10)]
        _, out, _ = kcat(broker, "-Q", "-t", f"kcat-time:0:{middle}")
        assert out.strip() == "kcat-time [0] offset 10", out
        _, out, _ = kcat(broker, "-Q", "-t", "kcat-time:0:-1")
        assert out.strip() == "kcat-time [0] offset 20", out

    with t.case("an offset that does not exist is an error when asked for one"):
        code, _, err = kcat(broker, "-C", "-t", "kcat-time", "-e", "-o", "5000", "-X", "topic.auto.offset.reset=error",
                                check=False)
        assert code != 0 and "out of range" in err.lower(), (code, err)

    with t.case("a partition that does not exist"):
        code, _, err = kcat(broker, "-C", "-t", "kcat-time", "-p", "7", "-e", check=False)
        assert code != 0 and "partition 7 does not exist" in err, (code, err)

    with t.case("a message over max.message.bytes is refused, the next one is taken"):
        folder = tempfile.mkdtemp(dir=broker.home)
        big = Path(folder, "big")
        big.write_bytes(b"y" * 2_000_000)
        code, _, err = kcat(broker, "-P", "-t", "kcat-first", "-X", "message.max.bytes=4000000", str(big), check=False)
        assert "Message size too large" in err, (code, err)
        produce(broker, "kcat-first", ["still here"])
        assert consume(broker, "kcat-first")[-1] == "still here"

    group(t, broker)


def group(t, broker):
    folder = tempfile.mkdtemp(dir=broker.home)
    members = []

    def join(name):
        members.append(GroupMember(broker, "kcat-group", "kcat-group-topic", folder, name))
        return members[-1]

    try:
        with t.case("a group: one member has all, two share, the one that stays gets all back"):
            kcat(broker, "-P", "-t", "kcat-group-topic", "-p", "0", input=b"0-0\n")
            first = join("first")
            wait_until(lambda: first.partitions() == {0}, "the first member to have everything")
            wait_until(lambda: len(first.lines()) == 1, "the first record")
            second = join("second")
            wait_until(lambda: first.partitions() | second.partitions() == {0}
                       and not first.partitions() & second.partitions(), "two members to share one partition")
            kcat(broker, "-P", "-t", "kcat-group-topic", "-p", "0", input=b"0-1\n")
            wait_until(lambda: len(first.lines()) + len(second.lines()) == 2, "the second record, once")
            owner, other = (first, second) if first.partitions() else (second, first)
            owner.leave()
            wait_until(lambda: other.partitions() == {0}, "the other member to take over")
            kcat(broker, "-P", "-t", "kcat-group-topic", "-p", "0", input=b"0-2\n")
            wait_until(lambda: len(first.lines()) + len(second.lines()) == 3, "the third record, once")
            other.leave()

        with t.case("a group that comes back resumes where it was"):
            kcat(broker, "-P", "-t", "kcat-group-topic", "-p", "0", input=b"0-3\n0-4\n")
            third = join("third")
            wait_until(lambda: len(third.lines()) >= 2, "what came while nobody was there")
            time.sleep(0.3)
            assert third.lines() == ["0:3:0-3", "0:4:0-4"], third.lines()
            third.leave()
    finally:
        for member in members:
            member.end()
