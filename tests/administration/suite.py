"""Administration of three brokers by Kafka's own tools, by librdkafka, franz-go's kadm, sarama, and by `ringlog` itself.

RINGLOG_TEST_STORE=quorum names another store than etcd: most of what is tested here does not depend on it. What does, the voters of
a quorum, has a cluster of its own (quorum.py).
"""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))  # behind the harness, which has a suite.py, too

import quorum  # noqa: E402
import reassign_command  # noqa: E402
import tools  # noqa: E402
from broker import CACHE, RINGLOG, TARGET  # noqa: E402
from cluster import STEADY, Cluster  # noqa: E402

CONFLUENT = ["describe the cluster", "replication factor and assignments by hand", "elect leaders", "configs of one broker and of all"]
GO = [f"{library} {case}" for library in ["kadm", "sarama"] for case in ["create with assignments", "reassign, list, cancel", "elect leaders"]]


def run(t):
    store = (os.environ.get("RINGLOG_TEST_STORE") or "etcd").split(",")[0]
    cluster = Cluster(store, settings=STEADY)
    for node, rack in zip(cluster.nodes, "abc"):
        node.settings["broker.rack"] = rack
    t.keep(*cluster.nodes)
    try:
        cluster.start()
        if cluster.store is None:
            quorum.status(t, cluster, [1, 2, 3], [])
        tools.run(t, cluster)
        t.program([CACHE / "python/bin/python", "confluent.py", cluster.bootstrap], label="confluent:", expect=CONFLUENT)
        t.program([CACHE / "go/administration", cluster.bootstrap], label="go:", expect=GO)
        if RINGLOG.exists():
            reassign_command.run(t, cluster)
    finally:
        cluster.remove()
    if TARGET == "ringlog":  # the voters of Kafka's test clusters are in their properties, for good
        quorum.run(t)
