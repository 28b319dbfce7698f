"""The faults that a cluster must survive while clients work, each with the same judgement afterwards.

A drill is a function of (cluster, drill) that breaks something and repairs it. Around it: a new topic with three
replicas of which two must be in sync, an idempotent producer with acks=all and a reader of Java and of librdkafka. Then:
every record sent was acknowledged in the end, 0 acknowledged ones are lost, 0 are there twice, four readers saw one
order, and all replicas are in sync again. At the end of a cluster's drills the replicas' files are compared.
"""

import time

import history
from broker import TARGET
from load import Load
from suite import PATIENCE_SECONDS, wait_until

PARTITIONS = 6
INTERVALS_US = {"java": 5_000, "librdkafka": 20_000}
# Clients that wait their default 30 s for a broker that does not answer would only make the drills longer.
JAVA = {"producer.request.timeout.ms": 3000, "consumer.request.timeout.ms": 3000, "consumer.default.api.timeout.ms": 60_000,
        "producer.metadata.max.age.ms": 10_000, "consumer.metadata.max.age.ms": 10_000}
LIBRDKAFKA = {"producer.socket.timeout.ms": 3000, "consumer.socket.timeout.ms": 3000, "producer.reconnect.backoff.max.ms": 500,
              "consumer.reconnect.backoff.max.ms": 500, "producer.topic.metadata.refresh.interval.ms": 10_000,
              "consumer.topic.metadata.refresh.interval.ms": 10_000}
CONFIGS = {"java": JAVA, "librdkafka": LIBRDKAFKA}
# Who waits longer for an answer than the tests wait for anything: who is served then did not find out by waiting.
REQUEST_TIMEOUT_MS = 200_000
assert REQUEST_TIMEOUT_MS > 1000 * PATIENCE_SECONDS
PATIENT = {
    "java": {**JAVA, "producer.request.timeout.ms": REQUEST_TIMEOUT_MS, "producer.delivery.timeout.ms": 2 * REQUEST_TIMEOUT_MS,
             "consumer.request.timeout.ms": REQUEST_TIMEOUT_MS},
    "librdkafka": {**LIBRDKAFKA, "producer.socket.timeout.ms": REQUEST_TIMEOUT_MS, "consumer.socket.timeout.ms": REQUEST_TIMEOUT_MS},
}


class Drill:
    """One topic, its clients, and what became of them."""

    def __init__(self, t, cluster, loads, topic, configs):
        self.t, self.cluster, self.loads, self.topic, self.configs = t, cluster, loads, topic, configs
        self.faulted_us = None

    def begin(self):
        self.cluster.create_topic(self.topic, PARTITIONS, min_insync_replicas="2")
        for load in self.loads:
            load.start(self.cluster.bootstrap, self.topic, PARTITIONS, INTERVALS_US[load.kind], **self.configs[load.kind])
        for load in self.loads:
            wait_until(lambda: load.acks().exists() and load.acks().stat().st_size > 2000, f"the first acknowledgements of {load.kind}")
        self.faulted_us = now_us()

    def working(self, seconds, partitions=range(PARTITIONS)):
        """Lets the clients work until each of these partitions has had acknowledgements for that long."""
        from_us = now_us()
        for load in self.loads:
            def served():
                seen = {ack.partition for ack in self.acknowledged(load) if ack.acked_us >= from_us}
                return seen.issuperset(partitions)
            wait_until(served, f"new acknowledgements of {load.kind} on each of {list(partitions)}")
        left = seconds - (now_us() - from_us) / 1e6
        time.sleep(max(0.0, left))

    def acknowledged(self, load=None):
        """What is acknowledged so far."""
        found = []
        for one in [load] if load else self.loads:
            found += history.acks(one.acks(self.topic))
        return found

    def end(self):
        for word in ["stop", "drain"]:  # nobody's end is the end before everybody's producer has stopped
            for load in self.loads:
                load.ask(word)
            counts = [load.answered() for load in self.loads]
        failures = {load.kind: load.failures for load in self.loads if load.failures}
        seconds = self.cluster.await_in_sync(self.topic)
        readers = {f"{load.kind} during it": load.live(self.topic) for load in self.loads}
        for load in self.loads:
            load.read(self.cluster.bootstrap, self.topic, PARTITIONS)
            if load.failures:
                failures[f"{load.kind}, read again"] = load.failures
            readers[f"{load.kind} afterwards"] = load.again(self.topic)
        acknowledged = self.acknowledged()
        findings = history.check(acknowledged, {name: history.reads(path) for name, path in readers.items()})
        gap, _ = history.longest_gap(acknowledged, range(PARTITIONS), self.faulted_us, max(ack.acked_us for ack in acknowledged))
        self.t.note(f"{sum(count['acknowledged'] for count in counts)} acknowledged, longest gap {gap:.2f} s, "
                    f"in sync {seconds:.1f} s after the end")
        for partition in sorted({partition for partition, _ in findings.places})[:2]:
            offsets = [offset for of, offset in findings.places if of == partition][:6]
            for node in self.cluster.nodes:
                for line in history.around(node.data_dir / f"{self.topic}-{partition}", offsets):
                    self.t.note(f"partition {partition} of broker {node.id}: {line}")
        assert not findings, f"{findings}; clients: {failures or 'no failures'}"
        assert not failures, f"clients failed: {failures}"
        for load, count in zip(self.loads, counts):
            assert count["sent"] == count["acknowledged"] > 100, f"{load.kind}: {count}"


def now_us():
    return time.time_ns() // 1000


# -- the faults -------------------------------------------------------------------------------------------------

def kill_leader(cluster, drill):
    dead = cluster.leader_of(drill.topic)
    cluster.kill(dead)

    def moved():
        seen = cluster.metadata(drill.topic)
        return seen if seen.partitions and all(found.leader not in (dead, -1) for found in seen.partitions.values()) else None

    # librdkafka forgets the new leaders of a broker's partitions if the answer that names them does not list that broker
    assert dead in wait_until(moved, "other leaders").brokers or TARGET == "kafka", "a dead broker is not listed with the new leaders"
    drill.working(1)
    cluster[dead].start()
    drill.working(1)


def kill_controller(cluster, drill):
    dead = cluster.controller()
    cluster.kill(dead)
    drill.working(1)
    assert cluster.controller() != dead
    cluster[dead].start()
    drill.working(1)


def kill_store_leader(cluster, drill):
    repair = cluster.kill_store_leader()
    drill.working(3)
    repair()
    wait_until(lambda: all(cluster.store.serves(member) for member in cluster.store.members), "the store's member to be back")
    drill.working(1)


def pause_leader(cluster, drill, seconds=10):
    """Its clients are served elsewhere while it stands still, however long they would wait for its answers."""
    paused = cluster.leader_of(drill.topic)
    cluster.pause(paused)
    if TARGET == "kafka":
        time.sleep(seconds)
    else:
        drill.working(seconds)
    cluster.resume(paused)
    drill.working(1)


def pause_leader_shortly(cluster, drill):
    pause_leader(cluster, drill, seconds=4)


def kill_all(cluster, drill):
    cluster.kill_all()
    time.sleep(0.5)
    cluster.start_all()
    drill.working(1)


def rolling_restart(cluster, drill):
    """SIGTERM: leaders move away first, so that nobody waits for an election."""
    for node in cluster.nodes:
        code = node.stop()
        assert code == (143 if TARGET == "kafka" else 0), f"broker {node.id} ended with {code}:\n{node.tail()}"
        drill.working(0.5)
        node.start()
        cluster.await_in_sync(drill.topic)


def follower_catches_up(cluster, drill):
    follower = next(number for number in cluster.others(cluster.leader_of(drill.topic)))
    cluster.kill(follower)
    drill.working(5)
    cluster[follower].start()
    cluster.await_in_sync(drill.topic)


def empty_disk(cluster, drill):
    lost = cluster.leader_of(drill.topic)
    cluster.kill(lost)
    drill.working(2)
    cluster[lost].empty_disk()
    cluster[lost].start()
    cluster.await_in_sync(drill.topic)
    drill.working(1)


def isolate_leader(cluster, drill):
    """Clients reach it all the time: it must neither acknowledge nor be taken for the leader."""
    alone = cluster.leader_of(drill.topic)
    cluster.isolate(alone)
    time.sleep(8)
    cluster.heal()
    drill.working(1)


def isolate_controller(cluster, drill):
    cluster.isolate(cluster.controller())
    time.sleep(8)
    cluster.heal()
    drill.working(1)


def leader_without_store(cluster, drill):
    """It reaches the other brokers, but not the store (in a quorum: the other controllers)."""
    cluster.isolate_from_store(cluster.leader_of(drill.topic))
    time.sleep(8)
    cluster.heal()
    drill.working(1)


def mute_leader(cluster, drill):
    """One way: the others do not hear it."""
    cluster.mute(cluster.leader_of(drill.topic))
    time.sleep(8)
    cluster.heal()
    drill.working(1)


def deaf_leader(cluster, drill):
    """The other way: it does not hear the others."""
    cluster.deafen(cluster.leader_of(drill.topic))
    time.sleep(8)
    cluster.heal()
    drill.working(1)


def store_stopped(cluster, drill, seconds=60):
    """Produce and consume on the existing leaders go on."""
    before = {key: found.leader for key, found in cluster.metadata(drill.topic).partitions.items()}
    from_us = now_us()
    cluster.store.pause()
    time.sleep(seconds)
    until_us = now_us()
    after = {key: found.leader for key, found in cluster.metadata(drill.topic).partitions.items()}
    cluster.store.resume()
    gap, partition = history.longest_gap(drill.acknowledged(), range(PARTITIONS), from_us, until_us)
    # half of the time, because the machine may stand still for some of it
    assert gap < seconds / 2, f"no acknowledgement on partition {partition} for {gap:.1f} s while the store was stopped"
    assert after == before, f"leaders moved without a store: {before} -> {after}"
    drill.working(1)


def store_stopped_shortly(cluster, drill):
    store_stopped(cluster, drill, seconds=15)


def store_restarted(cluster, drill):
    """kill -9 of all its members, and up again."""
    cluster.store.kill()
    drill.working(3)
    cluster.store.start()
    drill.working(2)


QUICK = {
    "kill -9 of a leader": kill_leader,
    "kill -9 of the controller": kill_controller,
    "kill -9 of the store's leader": kill_store_leader,
    "SIGSTOP of a leader for 4 s": pause_leader_shortly,
    "kill -9 of all at once": kill_all,
    "rolling restart with SIGTERM": rolling_restart,
}
NORMAL = {
    "kill -9 of a leader": kill_leader,
    "kill -9 of the controller": kill_controller,
    "kill -9 of the store's leader": kill_store_leader,
    "SIGSTOP of a leader for 10 s": pause_leader,
    "a leader apart from the others and the store": isolate_leader,
    "the controller apart from the others and the store": isolate_controller,
    "a leader that does not reach the store": leader_without_store,
    "one way: the others do not hear the leader": mute_leader,
    "one way: the leader does not hear the others": deaf_leader,
    "kill -9 of all at once": kill_all,
    "rolling restart with SIGTERM": rolling_restart,
    "a follower killed, catching up": follower_catches_up,
    "a broker comes back with an empty disk": empty_disk,
    "the store stopped for 15 s": store_stopped_shortly,
    "the store killed and started": store_restarted,
}
# What clients find out without their timeouts.
OF_PATIENT_CLIENTS = {pause_leader, pause_leader_shortly} if TARGET != "kafka" else set()
LONG = {**NORMAL, "the store stopped for 60 s": store_stopped}
# Where the store is the brokers' own controllers, the drills of the controller are these.
OF_EXTERNAL_STORES = {kill_store_leader, store_stopped, store_stopped_shortly, store_restarted}
DRILLS = {"quick": QUICK, "normal": NORMAL, "long": LONG}
LONG_ROUNDS = 3


def run(t, cluster, only=()):
    """All drills of this pace on this cluster."""
    loads = [Load("java", cluster[1].home / "load"), Load("librdkafka", cluster[1].home / "load")]
    topics = []
    try:
        for turn in range(LONG_ROUNDS if t.pace == "long" else 1):
            for number, (name, fault) in enumerate(DRILLS[t.pace].items()):
                if only and not any(word in name for word in only):
                    continue
                if fault in OF_EXTERNAL_STORES and not cluster.store:
                    continue
                with t.case(f"{cluster.name}: {name}"):
                    configs = PATIENT if fault in OF_PATIENT_CLIENTS else CONFIGS
                    drill = Drill(t, cluster, loads, f"drill{turn}x{number}", configs)
                    drill.begin()
                    topics.append(drill.topic)
                    try:
                        fault(cluster, drill)
                        drill.end()
                    except Exception:
                        loads = repaired(cluster, loads)
                        raise
    finally:
        for load in loads:
            load.remove()
    with t.case(f"{cluster.name}: the replicas' files agree"):
        assert topics, "no drill has begun"
        cluster.await_in_sync(*topics)
        codes = cluster.stop_all()
        assert TARGET == "kafka" or codes == [0] * len(codes), f"exit codes {codes}"
        for topic in topics:
            findings = history.compare_replicas(topic, [node.data_dir for node in cluster.nodes])
            assert not findings, f"{topic}: {findings}"
        for node in cluster.nodes:
            node.verify_logs()


def repaired(cluster, loads):
    """After a drill that failed: everything up again and new clients, so that the next one says something of its own."""
    for load in loads:
        load.remove()
    if cluster.network:
        cluster.heal()
    if cluster.store:
        for member in cluster.store.members:
            if member.alive:
                member.resume()
        cluster.store.start()
    for node in cluster.nodes:
        if node.alive:
            node.resume()
    cluster.start_all()
    return [Load(load.kind, load.folder) for load in loads]
