"""A disk that fills up: producers are refused before the edge, everybody else is served, and it passes by itself."""

import os

from broker import TARGET
from storage import SmallDisk, admin, consume, delete_records, metric, produce, tool
from suite import Skip, wait_until

DISK_MIB = 160
# Small journals: the disk is small too.
SETTINGS = {"ringlog.journal.file.bytes": str(4 << 20), "ringlog.journal.file.count": "2", "log.segment.bytes": str(1 << 20),
            "log.segment.delete.delay.ms": "0", "log.retention.check.interval.ms": "500"}
LINES = [f"{i} " + "x" * 1000 for i in range(1000)]


def free_bytes(path):
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize


def fill(path, leave):
    """A ballast that leaves so many bytes free."""
    ballast = path / "ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free_bytes(path) - leave, 1))
    return ballast


def is_refused(broker, topic):
    code, _, _ = produce(broker, topic, 0, ["no room"], check=False, timeout_ms=2000)
    return code != 0


def full(t, broker, small, topic):
    """Fills the disk, looks what goes on, makes room again."""
    produce(broker, topic, 0, LINES)
    ballast = fill(small.mount, 8 << 20)
    wait_until(lambda: is_refused(broker, topic), "producers to be refused")
    t.note(f"{free_bytes(small.mount) >> 20} MiB are left")
    assert consume(broker, topic, 0)[: len(LINES)] == LINES, "readers are not served"
    assert broker.alive
    ballast.unlink()
    wait_until(lambda: not is_refused(broker, topic), "producers to be served again")
    produce(broker, topic, 0, ["room again"])
    lines = consume(broker, topic, 0)
    assert lines[: len(LINES)] == LINES and lines[-1] == "room again", lines[-3:]


def run(t):
    if TARGET == "kafka":
        with t.case("full disk"):
            raise Skip("Kafka ends")
        return
    disks = []
    try:
        with t.case("one of two directories fills up: its partitions are refused, the others served"):
            broker = t.broker({**SETTINGS, "num.partitions": "1"}, start=False)
            small = SmallDisk(broker.home, DISK_MIB)
            disks.append((broker, small))
            large = broker.home / "large"
            broker.settings["log.dirs"] = f"{large},{small.mount / 'data'}"
            broker.start()
            admin(broker, "create", "a", "1")
            admin(broker, "create", "b", "1")
            produce(broker, "a", 0, ["a"])
            produce(broker, "b", 0, ["b"])
            there, elsewhere = ("a", "b") if (small.mount / "data" / "a-0").exists() else ("b", "a")
            assert (large / f"{elsewhere}-0").exists()
            admin(broker, "delete", there)
            admin(broker, "create", "tight", "1")
            produce(broker, "tight", 0, LINES[:1])
            assert (small.mount / "data" / "tight-0").exists()
            admin(broker, "delete", "tight")
            admin(broker, "create", "tight2", "1")
            full(t, broker, small, "tight2")
            assert metric(broker, "offline_log_directories") == 0
            produce(broker, elsewhere, 0, ["served"])
            broker.stop()

        with t.case("the only directory fills up, and the broker lives"):
            broker = t.broker({**SETTINGS, "num.partitions": "1"}, start=False)
            small = SmallDisk(broker.home, DISK_MIB)
            disks.append((broker, small))
            broker.data_dir = small.mount / "data"
            broker.start()
            full(t, broker, small, "only")

        def makes_room(topic, deed):
            """On a full disk something is done that frees what `topic` holds; producers are served again by that alone."""
            produce(broker, topic, 0, LINES * 40)
            ballast = fill(small.mount, 8 << 20)
            wait_until(lambda: is_refused(broker, "only"), "producers to be refused")
            deed()
            wait_until(lambda: not is_refused(broker, "only"), "producers to be served again")
            assert ballast.exists() and consume(broker, "only", 0)[: len(LINES)] == LINES
            return ballast

        with t.case("DeleteRecords makes room on a full disk"):
            ballast = makes_room("trimmed", lambda: delete_records(broker, "trimmed", len(LINES) * 40))
            produce(broker, "trimmed", 0, ["room again"])
            assert consume(broker, "trimmed", 0) == ["room again"]
            ballast.unlink()

        with t.case("so does retention that is made shorter then"):
            ballast = makes_room("aged", lambda: tool(broker, "kafka.admin.ConfigCommand", "--entity-type", "topics", "--entity-name", "aged",
                                                      "--alter", "--add-config", "retention.bytes=2097152"))
            # there may be room before all that is too much is gone; of segments of 1 MiB four are more than is left then
            wait_until(lambda: len(list((broker.data_dir / "aged-0").glob("*.log"))) <= 4, "the other segments to go")
            lines = consume(broker, "aged", 0)
            assert 2000 < len(lines) < 4000 and lines == (LINES * 40)[-len(lines):], len(lines)
            produce(broker, "aged", 0, ["room again"])
            assert consume(broker, "aged", 0)[-1] == "room again"
            ballast.unlink()

        with t.case("so does deleting a topic"):
            makes_room("doomed", lambda: admin(broker, "delete", "doomed")).unlink()

        with t.case("it starts on a full disk, and serves what is there"):
            ballast = fill(small.mount, 8 << 20)
            broker.restart()
            assert consume(broker, "only", 0)[: len(LINES)] == LINES
            broker.kill()
            broker.start()
            assert consume(broker, "only", 0)[: len(LINES)] == LINES
            ballast.unlink()
            wait_until(lambda: not is_refused(broker, "only"), "producers to be served again")
    finally:
        for broker, small in disks:
            broker.kill()
            small.remove()
