"""Several log directories: where partitions go, how they move, and what happens when a directory is away."""

import subprocess
import threading
import time

from broker import TARGET, StartFailed
from storage import admin, consume, describe, metric, produce
from store import Etcd
from suite import PATIENCE_SECONDS, Skip, wait_until

COUNT = 6


def places(broker, topic):
    """Directory of each partition, by what lies on the disk."""
    found = {}
    for dir in broker.dirs:
        for path in dir.glob(f"{topic}-*"):
            if path.name.count(".") == 0:
                found[int(path.name.rsplit("-", 1)[1])] = dir
    return found


def content(partition):
    return [f"{partition} {i}" for i in range(200)]


def is_served(broker, topic, partitions):
    for partition in partitions:
        assert consume(broker, topic, partition)[:200] == content(partition), partition
        produce(broker, topic, partition, ["later"])


def is_refused(broker, topic, partitions):
    """Producers alone: librdkafka's consumers wait for ever for a partition whose disk is away."""
    for partition in partitions:
        code, _, err = produce(broker, topic, partition, ["lost"], check=False, timeout_ms=2000)
        assert code != 0, err


def is_offline(broker, away):
    dirs, replicas = describe(broker)
    for dir in broker.dirs:
        expected = "KafkaStorageException" if dir == away else "none"
        assert dirs[str(dir)].error == expected, dirs
    assert metric(broker, "offline_log_directories") == 1
    assert not [replica for replica in replicas if replica.dir == str(away)]


def goes_offline_alone(broker, away, end):
    """The directory is taken away from a running broker, and is there again after the broker's `end`."""
    before = places(broker, "spread")
    lost = [partition for partition, dir in before.items() if dir == away]
    aside = broker.home / "aside"
    away.rename(aside)
    wait_until(lambda: metric(broker, "offline_log_directories") == 1, "the directory to go offline")
    is_served(broker, "spread", set(before) - set(lost))
    is_refused(broker, "spread", lost)
    end()
    aside.rename(away)
    broker.start()
    is_served(broker, "spread", before)


def first_may_go(t, etcd):
    broker = t.broker({"num.partitions": str(COUNT), "ringlog.store": etcd.url}, start=False)
    broker.dirs = [broker.home / name for name in ["first", "second"]]
    broker.settings["log.dirs"] = ",".join(map(str, broker.dirs))
    broker.start()
    for partition in range(COUNT):
        produce(broker, "spread", partition, content(partition))
    goes_offline_alone(broker, broker.dirs[0], end=broker.kill)
    broker.stop()


def run(t):
    if TARGET == "kafka":
        with t.case("several directories"):
            raise Skip("ringlog's own")
        return
    broker = t.broker({"num.partitions": str(COUNT)}, start=False)
    broker.dirs = [broker.home / name for name in ["first", "second", "third"]]
    broker.settings["log.dirs"] = ",".join(map(str, broker.dirs))
    broker.start()

    with t.case("new partitions go to the directory with the fewest"):
        for partition in range(COUNT):
            produce(broker, "spread", partition, content(partition))
        counts = [list(places(broker, "spread").values()).count(dir) for dir in broker.dirs]
        assert counts == [2, 2, 2], counts

    with t.case("Admin.describeLogDirs: sizes and space"):
        dirs, replicas = describe(broker)
        assert set(dirs) == set(map(str, broker.dirs)), dirs
        assert all(dir.error == "none" and dir.total > dir.usable > 0 for dir in dirs.values()), dirs
        spread = [replica for replica in replicas if replica.topic == "spread"]
        assert len(spread) == COUNT and not any(replica.is_future for replica in spread), replicas
        for replica in spread:
            assert replica.size > 200 * 3 and replica.lag == 0, replica
            assert str(places(broker, "spread")[replica.partition]) == replica.dir, replica

    with t.case("Admin.alterReplicaLogDirs: a partition moves under load"):
        source = places(broker, "spread")[0]
        target = next(dir for dir in broker.dirs if dir != source)
        sent, stop = [], threading.Event()
        producer = subprocess.Popen(["kcat", "-b", broker.bootstrap, "-P", "-t", "spread", "-p", "0", "-X", "enable.idempotence=true",
                                     "-X", "linger.ms=1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def send():
            while not stop.is_set():
                line = f"moving {len(sent)} " + "x" * 500
                producer.stdin.write(f"{line}\n".encode())
                producer.stdin.flush()
                sent.append(line)
                time.sleep(0.001)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        try:
            wait_until(lambda: len(sent) > 200, "some records to be sent")
            assert admin(broker, "move", "spread", "0", str(target)) == ["done"]
            wait_until(lambda: places(broker, "spread")[0] == target and not (source / "spread-0").exists(), "it to be moved")
            before = len(sent)
            wait_until(lambda: len(sent) > before + 200, "more records to be sent")
        finally:
            stop.set()
            sender.join()
            _, err = producer.communicate(timeout=PATIENCE_SECONDS)
        assert producer.returncode == 0, err.decode()
        assert consume(broker, "spread", 0) == content(0) + sent
        _, replicas = describe(broker)
        found = [replica for replica in replicas if (replica.topic, replica.partition) == ("spread", 0)]
        assert [(replica.dir, replica.is_future) for replica in found] == [(str(target), False)], found

    with t.case("Admin.alterReplicaLogDirs: an idle partition, and one that was never used"):
        admin(broker, "create", "unused", "1")
        for topic, partition in [("spread", 1), ("unused", 0)]:
            _, replicas = describe(broker)
            now = next(replica.dir for replica in replicas if (replica.topic, replica.partition) == (topic, partition))
            target = next(dir for dir in broker.dirs if str(dir) != now)
            assert admin(broker, "move", topic, str(partition), str(target)) == ["done"]

            def is_there():
                _, replicas = describe(broker)
                return [r.dir for r in replicas if (r.topic, r.partition) == (topic, partition)] == [str(target)]

            wait_until(is_there, f"{topic}-{partition} to be moved")
        assert consume(broker, "spread", 1) == content(1)
        assert admin(broker, "move", "spread", "1", "/no/such/dir") == ["refused LogDirNotFoundException"]

    with t.case("kill -9: everything is found where it was moved to"):
        before = places(broker, "spread")
        broker.kill()
        broker.start()
        assert places(broker, "spread") == before
        for partition in range(COUNT):
            assert consume(broker, "spread", partition)[:200] == content(partition)

    with t.case("kill -9 in the middle of a move: the partition is whole, in one of the two places"):
        lines = [f"{i} " + "y" * 1000 for i in range(20_000)]
        produce(broker, "heavy", 3, lines)
        for wait in [0, 0.05, 0.1, 0.2]:
            source = places(broker, "heavy")[3]
            target = next(dir for dir in broker.dirs if dir != source)
            assert admin(broker, "move", "heavy", "3", str(target)) == ["done"]
            time.sleep(wait)
            broker.kill()
            broker.start()
            assert not [path for dir in broker.dirs for path in dir.glob("*-future")]
            assert len([dir for dir in broker.dirs if (dir / "heavy-3").exists()]) == 1
            assert consume(broker, "heavy", 3) == lines, f"killed after {wait} s"

    with t.case("a directory that is missing at the start takes its own partitions with it, and nothing else"):
        broker.stop()
        away, before = broker.dirs[2], places(broker, "spread")
        aside = broker.home / "aside"
        away.rename(aside)
        broker.start()
        lost = [partition for partition, dir in before.items() if dir == away]
        assert lost, before
        is_offline(broker, away)
        is_served(broker, "spread", set(before) - set(lost))
        is_refused(broker, "spread", lost)
        assert not away.exists(), "it was begun anew in the place of a disk that is away"
        admin(broker, "create", "meanwhile", "4")
        for partition in range(4):
            produce(broker, "meanwhile", partition, content(partition))
        assert away not in places(broker, "meanwhile").values()
        broker.stop()
        aside.rename(away)
        broker.start()
        assert metric(broker, "offline_log_directories") == 0
        is_served(broker, "spread", before)

    with t.case("a directory that cannot be read at the start, too"):
        broker.stop()
        away, before = broker.dirs[1], places(broker, "spread")
        aside = broker.home / "aside"
        away.rename(aside)
        away.write_text("no directory")  # root may read everything else
        broker.start()
        lost = [partition for partition, dir in before.items() if dir == away]
        is_offline(broker, away)
        is_served(broker, "spread", set(before) - set(lost))
        is_refused(broker, "spread", lost)
        broker.stop()
        away.unlink()
        aside.rename(away)
        broker.start()
        is_served(broker, "spread", before)

    with t.case("a directory that fails while the broker runs goes offline alone"):
        goes_offline_alone(broker, broker.dirs[2], end=broker.stop)

    with t.case("without the first directory, which has the metadata, it does not start, and says why"):
        broker.stop()
        away, aside = broker.dirs[0], broker.home / "aside"
        away.rename(aside)
        away.write_text("no directory")
        try:
            broker.start()
        except StartFailed as failed:
            assert str(away) in str(failed) and "panicked" not in str(failed), failed
        else:
            raise AssertionError("it started")
        finally:
            away.unlink()
            aside.rename(away)
        broker.start()
        is_served(broker, "spread", range(COUNT))

    with t.case("with the metadata in etcd the first directory, too, goes offline alone"):
        broker.stop()
        etcd = Etcd(members=1)
        try:
            first_may_go(t, etcd.start())
        finally:
            etcd.remove()
