"""Consumers that read from the replica of their own rack (KIP-392): Java's and librdkafka's, on three brokers in three racks.

Who sent the records is seen on the brokers: `ringlog_topic_bytes_out_total` counts what fetches read of a topic, followers' too.
"""

import tempfile
from pathlib import Path

import history
from broker import TARGET
from cluster import STEADY, Cluster
from load import Load
from suite import wait_until

RACKS = {1: "a", 2: "b", 3: "c"}
PARTITIONS = 1  # so that one broker leads and two follow
INTERVAL_US = 2_000
# A consumer gives a dead broker up when its connection breaks; these bound only how long it asks for new leaders.
CONFIGS = {"java": {}, "librdkafka": {"consumer.reconnect.backoff.max.ms": 500}}
SETTINGS = {**STEADY, "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector"}


def bytes_out(cluster, topic):
    """broker -> bytes of the topic's batches that it has read for fetches since it started. Kafka tells it elsewhere: there
    the suite shows only that its clients read everything."""
    if TARGET == "kafka":
        return {}
    name = f'ringlog_topic_bytes_out_total{{topic="{topic}"}}'
    return {node.id: int(node.metrics().get(name, 0)) for node in cluster.nodes}


def size(cluster, number, topic):
    return sum(len(data) for _, _, data in history.batches(cluster[number].data_dir / f"{topic}-0"))


def produced(load, cluster, topic):
    """A topic with some hundred records, and nobody who works on it any more."""
    cluster.create_topic(topic, PARTITIONS)
    load.start(cluster.bootstrap, topic, PARTITIONS, INTERVAL_US, **CONFIGS[load.kind])
    wait_until(lambda: acknowledged(load) > 300, "acknowledgements")
    for word in ["stop", "drain"]:
        load.ask(word)
        counts = load.answered()
    assert not load.failures and counts["sent"] == counts["acknowledged"], f"{counts}; {load.failures}"
    cluster.await_in_sync(topic)


def acknowledged(load):
    return len(history.acks(load.acks())) if load.acks().exists() else 0


def judge(load, path):
    findings = history.check(history.acks(load.acks()), {load.kind: history.reads(path)})
    assert not findings and not load.failures, f"{findings}; {load.failures}"


def read_in(load, cluster, topic, rack):
    """Reads all of it as a client of that rack; broker -> what it has read for that."""
    before = bytes_out(cluster, topic)
    load.read(cluster.bootstrap, topic, PARTITIONS, **({"consumer.client.rack": rack} if rack else {}))
    judge(load, load.again())
    after = bytes_out(cluster, topic)
    return {number: after[number] - before[number] for number in after}


def from_one(load, cluster, topic, rack, number):
    """All of it comes from that broker, and nothing from another one."""
    served = read_in(load, cluster, topic, rack)
    if TARGET == "kafka":
        return
    others = {other: count for other, count in served.items() if other != number and count}
    assert not others and served[number] >= size(cluster, number, topic) > 0, f"rack {rack}, from broker {number} expected: {served}"


def closest(t, cluster, load):
    topic = f"near-{load.kind}"
    produced(load, cluster, topic)
    leader = cluster.leader_of(topic)
    for which, number in zip(["one", "other"], cluster.others(leader)):
        with t.case(f"{load.kind}: a consumer in the rack of the {which} follower reads from that follower"):
            from_one(load, cluster, topic, RACKS[number], number)
    for what, rack in [("without a rack", None), ("in the leader's rack", RACKS[leader]), ("in a rack without a broker", "z")]:
        with t.case(f"{load.kind}: a consumer {what} reads from the leader"):
            from_one(load, cluster, topic, rack, leader)


def dies(cluster, load, topic, role):
    """The leader, or the follower that a consumer reads from, is killed while records come in. The follower."""
    cluster.create_topic(topic, PARTITIONS)
    leader, controller = cluster.leader_of(topic), cluster.controller()
    # if it may be, not the controller: that would be another test
    near = next(number for number in cluster.others(leader) if number != controller)
    dead = {"leader": leader, "follower": near}[role]
    load.start(cluster.bootstrap, topic, PARTITIONS, INTERVAL_US, **CONFIGS[load.kind], **{"consumer.client.rack": RACKS[near]})
    wait_until(lambda: acknowledged(load) > 300 and read_live(load) > 300, "records to be read")
    assert TARGET == "kafka" or bytes_out(cluster, topic)[near] > 0, f"nothing was read from {near}: {bytes_out(cluster, topic)}"
    cluster.kill(dead)
    known = acknowledged(load)
    wait_until(lambda: acknowledged(load) > known + 300, "new acknowledgements")
    known = acknowledged(load)
    wait_until(lambda: read_live(load) > known, "the consumer to go on")
    cluster[dead].start()
    cluster.await_in_sync(topic)
    for word in ["stop", "drain"]:
        load.ask(word)
        counts = load.answered()
    judge(load, load.live())
    assert counts["sent"] == counts["acknowledged"], counts
    return near


def deaths(t, cluster, load):
    with t.case(f"{load.kind}: the follower that a consumer reads from dies: it goes on from the leader, misses nothing, and may return"):
        near = dies(cluster, load, f"follower-dies-{load.kind}", "follower")
        from_one(load, cluster, load.topic, RACKS[near], near)
    with t.case(f"{load.kind}: the leader dies under a consumer that reads from a follower: it goes on and misses nothing"):
        dies(cluster, load, f"leader-dies-{load.kind}", "leader")


def read_live(load):
    """How much the consumer beside the producer has read, as far as its file shows it."""
    return load.live().read_bytes().count(b"\n") if load.live().exists() else 0


def run(t):
    cluster = Cluster("quorum", settings=SETTINGS, name="racks")
    for node in cluster.nodes:
        node.settings["broker.rack"] = RACKS[node.id]
    t.keep(*cluster.nodes)
    loads = []
    with tempfile.TemporaryDirectory(prefix="ringlog-test-racks-") as folder:
        try:
            cluster.start()
            for kind in ["java", "librdkafka"]:
                loads.append(load := Load(kind, Path(folder) / kind))
                closest(t, cluster, load)
                deaths(t, cluster, load)
        finally:
            for load in loads:
                load.remove()
            cluster.remove()
