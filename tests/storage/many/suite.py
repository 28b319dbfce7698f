"""Very many partitions: what nobody uses costs next to nothing, and what nobody uses any more goes back to costing that."""

import subprocess

from broker import TARGET
from storage import admin, consume, metric, produce
from suite import PATIENCE_SECONDS, Skip, wait_until

COUNT = 10_000
# The target is 4 KiB in a release build; here stands what no build and no allocator should need.
BYTES_EACH_MAX = 8 << 10
DESCRIPTORS_MAX = 24
# Long, because kcat reads its input in large pieces and would hold short lines back.
SLOW = [f"slow {i} " + "x" * 9000 for i in range(4)]


def partition_dirs(broker, topic):
    return sorted(path.name for path in broker.data_dir.glob(f"{topic}-*") if path.name.count(".") == 0)


def run(t):
    if TARGET == "kafka":
        with t.case("many partitions"):
            raise Skip("ringlog's own bounds")
        return
    broker = t.broker({"ringlog.log.idle.ms": "2000"})
    rss, descriptors = broker.rss_bytes(), broker.descriptors()

    def is_cheap(what):
        grown = broker.rss_bytes() - rss
        t.note(f"{what}: {grown / COUNT:.0f} bytes a partition, {broker.descriptors() - descriptors} more descriptors")
        assert grown < COUNT * BYTES_EACH_MAX, f"{grown} bytes"
        assert broker.descriptors() - descriptors < DESCRIPTORS_MAX, broker.descriptors()

    with t.case("10,000 partitions are made without a file, a descriptor, or much memory"):
        assert admin(broker, "create", "many", str(COUNT)) == ["done"]
        is_cheap("created")
        assert partition_dirs(broker, "many") == []
        assert metric(broker, "partitions") >= COUNT

    with t.case("they are there after the restart, and as cheap"):
        broker.restart()
        t.note(f"ready again after {broker.ready_seconds * 1000:.0f} ms")
        is_cheap("restarted")
        assert metric(broker, "partitions_open") == 0
        assert partition_dirs(broker, "many") == []

    with t.case("those that are used get a log, the others do not"):
        for partition in [0, 17, COUNT - 1]:
            produce(broker, "many", partition, [f"{partition} {i}" for i in range(100)])
        assert partition_dirs(broker, "many") == ["many-0", "many-17", f"many-{COUNT - 1}"]
        assert consume(broker, "many", 17) == [f"17 {i}" for i in range(100)]

    with t.case("a log that nobody uses is closed, and opened again when somebody does"):
        wait_until(lambda: metric(broker, "partitions_open") == 0, "all logs to be closed")
        is_cheap("idle again")
        produce(broker, "many", 17, ["one more"])
        assert consume(broker, "many", 17) == [f"17 {i}" for i in range(100)] + ["one more"]

    with t.case("a producer that pauses finds its sequence when the log is opened again"):
        producer = subprocess.Popen(["kcat", "-b", broker.bootstrap, "-P", "-t", "many", "-p", "5", "-X", "enable.idempotence=true",
                                     "-X", "linger.ms=1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            before = metric(broker, "topic_messages_in_total")
            for number, line in enumerate(SLOW):
                producer.stdin.write(f"{line}\n".encode())
                producer.stdin.flush()
                # the line before it, for kcat keeps the last one; and not that the log is open, which it may be no more when somebody looks
                wait_until(lambda: metric(broker, "topic_messages_in_total") >= before + number, "the records to be appended")
                wait_until(lambda: metric(broker, "partitions_open") == 0, "the log to be closed")
            _, err = producer.communicate(timeout=PATIENCE_SECONDS)
        finally:
            producer.kill()
            producer.wait()
        assert producer.returncode == 0, err.decode()
        assert consume(broker, "many", 5) == SLOW

    with t.case("kill -9 while most were never opened: nothing is lost"):
        produce(broker, "many", 42, [f"42 {i}" for i in range(50)])
        broker.kill()
        broker.start()
        t.note(f"ready again after {broker.ready_seconds * 1000:.0f} ms")
        assert consume(broker, "many", 42) == [f"42 {i}" for i in range(50)]
        assert consume(broker, "many", 5) == SLOW
        # what the crash left is looked after without anybody asking, and closed again
        wait_until(lambda: metric(broker, "partitions_open") == 0, "all logs to be closed")
        assert broker.stop() == 0
        assert (broker.data_dir / ".kafka_cleanshutdown").exists(), "the stop was not a clean one"
        broker.start()

    with t.case("retention goes on for a log that nobody opens"):
        settings = {"ringlog.log.idle.ms": "1000", "log.retention.check.interval.ms": "1000", "log.retention.ms": "15000",
                    "log.segment.delete.delay.ms": "100"}
        brief = t.broker(settings)
        produce(brief, "brief", 0, [f"gone {i}" for i in range(10)])
        wait_until(lambda: metric(brief, "partitions_open") == 0, "the log to be closed")
        log = brief.data_dir / "brief-0"
        wait_until(lambda: sum(path.stat().st_size for path in log.glob("*.log")) == 0, "the records to be deleted")
        assert consume(brief, "brief", 0) == []
        produce(brief, "brief", 0, ["new"])
        assert consume(brief, "brief", 0) == ["new"]

    with t.case("a topic of 10,000 partitions is deleted"):
        assert admin(broker, "delete", "many") == ["done"]
        wait_until(lambda: partition_dirs(broker, "many") == [], "the directories to be gone")
        wait_until(lambda: metric(broker, "partitions") < COUNT, "the partitions to be gone")
