"""Three brokers on each store: faults under load, what they refuse, and the commands of docs/OPERATIONS.md.

RINGLOG_TEST_STORE=etcd,quorum names the stores, RINGLOG_TEST_DRILL=SIGSTOP the drills (words of their names).
`--quick` does not need root; the others cut brokers from each other in network namespaces, which do.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bad_input  # noqa: E402
import drills  # noqa: E402
import operations  # noqa: E402
from broker import TARGET  # noqa: E402
from cluster import Cluster  # noqa: E402

STORES = ["etcd", "quorum", "zookeeper"]


def chosen(name, default):
    return [word for word in os.environ.get(name, "").split(",") if word] or default


def run(t):
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
