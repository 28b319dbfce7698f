"""Three brokers on each store: faults under load, what they refuse, and the commands of docs/OPERATIONS.md.

RINGLOG_TEST_STORE=etcd,quorum names the stores, RINGLOG_TEST_DRILL=SIGSTOP the drills (words of their names).
`--quick` does not need root; the others cut brokers from each other in network namespaces, which do.
"""

import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))  # behind the harness, which has a suite.py, too

import bad_input  # noqa: E402
import drills  # noqa: E402
import epochs  # noqa: E402
import history  # noqa: E402
import operations  # noqa: E402
import wire  # noqa: E402
from broker import TARGET  # noqa: E402
from cluster import Cluster  # noqa: E402

STORES = ["etcd", "quorum", "zookeeper"]


def chosen(name, default):
    return [word for word in os.environ.get(name, "").split(",") if word] or default


def judgement(t):
    """If it did not see what it is there to see, every drill would pass."""
    def ack(offset, sequence):
        return history.Ack(0, offset, "p", sequence, 0, offset * 1_000_000)

    log = [(0, "p", 0), (1, "p", 1), (2, "p", 2)]
    acknowledged = [ack(*pair) for pair in enumerate(range(3))]

    def found(acknowledged, *logs):
        return set(history.check(acknowledged, {str(name): defaultdict(list, {0: one}) for name, one in enumerate(logs)}).counts)

    with t.case("the judgement sees loss, duplicates, another order and a gap"):
        assert found(acknowledged, log, log) == set()
        assert found([*acknowledged, ack(3, 3)], log) == {"acknowledged records lost"}
        assert found(acknowledged, [*log, (3, "p", 1)]) == {"duplicates"}
        assert found(acknowledged, log, log[:2]) == {"partitions in another order"}
        assert found([], [(0, "p", 1), (1, "p", 0)]) == {"records out of order"}
        assert found([ack(7, 1)], log) == {"records at another offset than acknowledged"}
        assert found(acknowledged, [*log, (2, "q", 0)]) == {"offsets read twice"}
        assert history.longest_gap(acknowledged, [0], 0, 5_000_000) == (3.0, 0)
        with tempfile.TemporaryDirectory() as folder:
            dirs = [Path(folder) / name for name in "abc"]
            for number, data in enumerate(dirs):
                (data / "t-0").mkdir(parents=True)
                batches = b"".join(wire.batch([wire.record(b"x")], base_offset=at, timestamp=at) for at in range(3 - number // 2))
                (data / "t-0" / f"{0:020}.log").write_bytes(batches)
            assert not history.compare_replicas("t", dirs[:2])
            assert history.compare_replicas("t", dirs).counts["replicas differ"] == 1


def run(t):
    judgement(t)
    only = chosen("RINGLOG_TEST_DRILL", [])
    for kind in ["kafka"] if TARGET == "kafka" else chosen("RINGLOG_TEST_STORE", STORES):
        cluster = Cluster(kind, network=t.pace != "quick")
        t.keep(*cluster.nodes)
        try:
            with t.case(f"{kind}: three brokers start"):
                cluster.start()
            if len(cluster.brokers()) == 3:
                drills.run(t, cluster, only)
        finally:
            cluster.remove()
        if TARGET == "kafka" or only:
            continue
        with t.case(f"{kind}: bad input"):
            bad_input.run(t, kind)
        operations.run(t, kind)
    if not only:
        epochs.run(t)  # whatever the store
