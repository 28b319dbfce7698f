"""A real data set: all of Debian's package indexes, over a million lines (`cargo xtask dataset` makes the file).

In through kcat with each codec, out identical and in order in two consumers of one group; again after SIGTERM and
restart; and after kill -9 in the middle of producing, nothing that was acknowledged is missing.
"""

import hashlib
import itertools
import subprocess
import time

from suite import CACHE, PATIENCE_SECONDS, Skip, command, wait_until

DATASET = CACHE / "dataset/packages.txt"
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PARTITIONS = 2
QUICK_LINES = 200_000
KILLS = 3


def run(t):
    with t.case("the data set is there"):
        assert DATASET.exists(), f"{DATASET} is missing: cargo xtask dataset"
    if not DATASET.exists():
        return
    # Both consumers start together and must be in the first generation: the default delay, not the short one of tests
    broker = t.broker({"group.initial.rebalance.delay.ms": "3000", "num.partitions": str(PARTITIONS)})
    halves = split(t, broker)
    for codec in CODECS:
        with t.case(f"{codec}: in through kcat, out in two consumers of one group"):
            topic = f"debian-{codec}"
            began = time.monotonic()
            produce(broker, topic, halves, codec)
            produced = time.monotonic()
            read_as_group(broker, topic, f"group-{codec}", halves)
            t.note(f"{codec}: produced in {produced - began:.1f} s, consumed in {time.monotonic() - produced:.1f} s")

    with t.case("SIGTERM, restart: all of it again"):
        broker.restart()
        t.note(f"ready again after {broker.ready_seconds * 1000:.0f} ms")
        for codec in CODECS:
            read_as_group(broker, f"debian-{codec}", f"again-{codec}", halves)

    kill_in_the_middle(t, broker, halves)


class Half:
    """The lines of one partition: a file, their number and their digest."""

    def __init__(self, path):
        self.path, self.lines, digest = path, 0, hashlib.sha256()
        with open(path, "rb") as file:
            for line in file:
                digest.update(line)
                self.lines += 1
        self.digest = digest.hexdigest()


def split(t, broker):
    """Line i goes to partition i mod 2, so that order within a partition can be checked."""
    limit = QUICK_LINES if t.pace == "quick" else None
    paths = [broker.home / f"half-{number}" for number in range(PARTITIONS)]
    files = [open(path, "wb") for path in paths]
    with open(DATASET, "rb") as lines:
        for number, line in enumerate(itertools.islice(lines, limit)):
            files[number % PARTITIONS].write(line)
    for file in files:
        file.close()
    halves = [Half(path) for path in paths]
    t.note(f"{sum(half.lines for half in halves):,} lines, {sum(half.path.stat().st_size for half in halves) >> 20} MiB")
    return halves


def produce(broker, topic, halves, codec):
    # the first message creates the topic with its partitions
    wait_until(lambda: f'"topic":"{topic}"' in command(["kcat", "-b", broker.bootstrap, "-L", "-J", "-t", topic])[1]
               and command(["kcat", "-b", broker.bootstrap, "-L", "-J", "-t", topic])[1].count('"partition":') == PARTITIONS, "the topic")
    producers = [subprocess.Popen(["kcat", "-b", broker.bootstrap, "-P", "-t", topic, "-p", str(number), "-z", codec],
                                  stdin=open(half.path, "rb"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                 for number, half in enumerate(halves)]
    for producer in producers:
        _, err = producer.communicate(timeout=600)
        assert producer.returncode == 0, err.decode()[-500:]


def read_as_group(broker, topic, group, halves):
    """Two members; each partition's lines must be its half, once, in order."""
    total = sum(half.lines for half in halves)
    outputs = [broker.home / f"out-{number}" for number in range(2)]
    members = [subprocess.Popen(["kcat", "-b", broker.bootstrap, "-q", "-u", "-X", "auto.offset.reset=earliest", "-f", "%p %s\n", "-G", group, topic],
                                stdin=subprocess.DEVNULL, stdout=open(path, "wb"), stderr=subprocess.DEVNULL) for path in outputs]
    size = sum(half.path.stat().st_size for half in halves) + 2 * total  # "p " before each line
    try:
        wait_until(lambda: sum(path.stat().st_size for path in outputs) >= size, f"{total} records in two consumers", 300)
        time.sleep(0.2)  # whatever comes too often comes now
    finally:
        for member in members:
            member.terminate()
        for member in members:
            member.wait(PATIENCE_SECONDS)
    digests, counts = {}, {}
    for path in outputs:
        with open(path, "rb") as lines:
            for line in lines:
                partition = line[:1]
                digests.setdefault(partition, hashlib.sha256()).update(line[2:])
                counts[partition] = counts.get(partition, 0) + 1
    assert all(path.stat().st_size for path in outputs), "one of the two consumers got nothing"
    for number, half in enumerate(halves):
        key = str(number).encode()
        assert counts.get(key) == half.lines, f"partition {number}: {counts.get(key)} lines of {half.lines}"
        assert digests[key].hexdigest() == half.digest, f"partition {number}: the lines differ, or their order does"


def kill_in_the_middle(t, broker, halves):
    for mode in ["idempotent", "plain"]:
        with t.case(f"kill -9 in the middle, {KILLS} times, {mode} producer: nothing acknowledged is missing"):
            topic, log = f"debian-killed-{mode}", broker.home / f"acked-{mode}"
            producer = subprocess.Popen([CACHE / "python/bin/python", t.folder / "producer.py", broker.bootstrap, topic, halves[0].path, log, mode],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(broker.home / "producer.err", "wb"))
            # kills spread over the work: each when that many records have been acknowledged
            points = [halves[0].lines * (index + 1) // (KILLS + 1) for index in range(KILLS)]
            try:
                for line in producer.stdout:
                    if points and int(line) >= points[0]:
                        points.pop(0)
                        broker.kill()
                        time.sleep(0.2)
                        broker.start()
                assert producer.wait(120) == 0, (broker.home / "producer.err").read_text()[-500:]
                if points:
                    raise Skip(f"the producer was done before kill {KILLS - len(points) + 1}")
            finally:
                if producer.poll() is None:
                    producer.kill()
                    producer.wait()
            broker.kill()  # and once more after the last acknowledgement
            broker.start()
            check_acknowledged(broker, topic, log, halves[0], mode)


def check_acknowledged(broker, topic, log, half, mode):
    sent = half.path.read_bytes().split(b"\n")
    found = broker.home / "found"
    with open(found, "wb") as out:
        code = subprocess.run(["kcat", "-b", broker.bootstrap, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%o %s\n"],
                              stdin=subprocess.DEVNULL, stdout=out, timeout=300).returncode
    assert code == 0, f"kcat ended with {code}"
    stored, last = {}, -1
    with open(found, "rb") as lines:
        for line in lines:
            offset, _, value = line.rstrip(b"\n").partition(b" ")
            assert int(offset) > last, f"offset {int(offset)} after {last}"
            last = int(offset)
            stored[last] = value
    acked, missing, wrong = 0, [], []
    with open(log) as lines:
        for line in lines:
            offset, number = map(int, line.split())
            acked += 1
            if offset not in stored:
                missing.append(offset)
            elif stored[offset] != sent[number]:
                wrong.append(offset)
    assert acked == half.lines, f"{acked} acknowledgements for {half.lines} lines"
    assert not missing, f"{len(missing)} of {acked} acknowledged records are missing, first offset {missing[0]}, log end {last + 1}"
    assert not wrong, f"{len(wrong)} acknowledged records have other values, first at offset {wrong[0]}"
    if mode == "idempotent":
        assert [stored[offset] for offset in sorted(stored)] == sent[:half.lines], "an idempotent producer's records are doubled or out of order"
