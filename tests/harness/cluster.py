"""Three broker processes of a test and the store they need: etcd, ZooKeeper, or the brokers' own quorum.

With RINGLOG_TEST_TARGET=kafka it is three Apache Kafka nodes, each broker and controller, whatever store is asked for:
what Kafka does not survive, nobody has to.

    with Cluster("etcd") as cluster:
        cluster.kill(cluster.leader_of("topic", 0))
"""

import re
import shutil
import signal
import struct
import subprocess
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import store as stores
from broker import COMMON_SETTINGS, PATIENCE_SECONDS, RINGLOG, TARGET, Broker, free_port, java
from network import Network
from suite import wait_until
from wire import METADATA, Closed, Wire, int8, int16, int32, metadata_body, string

# Kafka's id of a cluster, in its directories.
KAFKA_CLUSTER_ID = "cmluZ2xvZy10ZXN0LTAwMg"

Partition = namedtuple("Partition", "leader replicas isr error")
# A deleted topic's name is free again only after this; tests do not wait a minute for it.
SETTINGS = {**COMMON_SETTINGS, "num.partitions": "3", "default.replication.factor": "3"}
# For suites that are not about who is taken for dead, and say what they find of leaders that stay: on a busy machine a broker is silent for
# longer than the second, and a quorum's leader than the half of one, that a broker gives them by itself.
STEADY = {"broker.session.timeout.ms": "6000", "controller.quorum.fetch.timeout.ms": "3000"}


class Node(Broker):
    """One broker of a cluster."""

    def __init__(self, cluster, number, settings):
        super().__init__({**SETTINGS, **settings}, name=f"{cluster.name}-{number}", target=cluster.target)
        self.cluster, self.id = cluster, number
        self.host = cluster.network.address(number) if cluster.network else "127.0.0.1"
        self.is_paused = False

    @property
    def inside(self):
        return self.cluster.network.inside(self.id) if self.cluster.network else []

    def ringlog_command(self, data_dir=None, port=None, admin_port=None, node_id=None, store=None, more=()):
        command = [*self.inside, str(RINGLOG), "serve", "--node-id", str(node_id or self.id), "--data-dir", str(data_dir or self.data_dir),
                   "--listen", f"{self.host}:{port or self.port}", "--admin", f"{self.host}:{admin_port or self.admin_port}",
                   "--store", store or self.cluster.store_url]
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        return [*command, *more]

    def _kafka_command(self):
        command = super()._kafka_command()
        if self.cluster.jvm:
            classes = command[command.index("-cp"):]
            command = ["java", *self.cluster.jvm, "-Dorg.slf4j.simpleLogger.defaultLogLevel=info", *classes]
        return [*self.inside, *command]

    def format(self, *arguments):
        properties = self.home / "server.properties"
        settings = {
            "process.roles": "broker,controller",
            "node.id": self.id,
            "controller.quorum.voters": ",".join(f"{node.id}@{node.host}:{node.controller_port}" for node in self.cluster.nodes),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.host}:{self.port},CONTROLLER://{self.host}:{self.controller_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.data_dir,
            "offsets.topic.num.partitions": "5",
            **{key: value for key, value in self.settings.items() if not key.startswith("ringlog.")},
        }
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        subprocess.run(java("tools-4.3.1", "kafka.tools.StorageTool", "format", "-t", KAFKA_CLUSTER_ID, "-c", properties, *arguments),
                       check=True, stdout=subprocess.DEVNULL)

    def pause(self):
        self.is_paused = True
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.is_paused = False
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.is_paused = False
        super().kill()

    def empty_disk(self):
        """What a new disk in an old broker's place holds. The broker must be down."""
        assert not self.alive
        shutil.rmtree(self.data_dir, ignore_errors=True)
        if self.target == "kafka":
            self.format()  # Kafka does not start on a directory without an id

    def verify_logs(self):
        """`ringlog log verify` of its directory; it must be down."""
        if self.target == "kafka":
            return
        done = subprocess.run([str(RINGLOG), "log", "verify", str(self.data_dir)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"log verify of broker {self.id}: {done.stdout.decode()[-800:]}"

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def metrics(self, timeout=60):
        """/metrics: name with labels -> value."""
        _, text = self.http("/metrics", timeout)
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


class Cluster:
    def __init__(self, store="etcd", nodes=3, members=3, voters=None, settings=None, network=False, name=None, target=None, jvm=None):
        """`network`: every broker in a network namespace of its own, so that they can be cut from each other.
        `members`: processes of an external store. `voters`: how many of the brokers a quorum begins with, if not all.
        `jvm`: how Kafka's is to be started, if not as for tests."""
        self.kind, self.target, self.jvm = store, target or TARGET, jvm
        self.name = name or ("kafka" if self.target == "kafka" else store)
        self.network = Network(range(1, nodes + 1)) if network else None
        self.outside = self.network.outside if network else "127.0.0.1"
        self.store = None
        if self.target != "kafka" and store != "quorum":
            self.store = stores.make(store, members, self.outside)
        self.nodes = [Node(self, number, settings or {}) for number in range(1, nodes + 1)]
        self.first_voters = self.nodes[:voters]
        self.quorum_ports = {node.id: free_port() for node in self.nodes}

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()  # half a cluster must not run on
            raise

    def __exit__(self, *_):
        self.remove()

    def __getitem__(self, number):
        return self.nodes[number - 1]

    @property
    def store_url(self):
        if self.store:
            return self.store.url
        return "quorum://" + ",".join(f"{node.id}@{node.host}:{self.quorum_ports[node.id]}" for node in self.first_voters)

    @property
    def bootstrap(self):
        return ",".join(node.bootstrap for node in self.nodes)

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self):
        if self.store:
            self.store.start()
        if self.target == "kafka":
            self._format_all()
        self.start_all()
        wait_until(lambda: len(self.brokers()) == len(self.nodes), "every broker to be known to every other")
        return self

    def _format_all(self):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda node: (node.home / "server.properties").exists() or node.format(), self.nodes))

    def start_all(self):
        down = [node for node in self.nodes if not node.alive]
        for node in down:
            node.spawn()
        for node in down:
            node.await_ready()

    def kill_all(self):
        for node in self.nodes:
            if node.alive:
                node.process.kill()  # all at once: nobody is to notice that another one is gone
        for node in self.nodes:
            node.kill()

    def stop_all(self):
        """SIGTERM, one after the other as a rolling end would; the exit codes."""
        if self.target == "kafka":  # its last nodes would wait for a controller quorum for minutes; all is in its files
            self.kill_all()
        return [node.stop() for node in self.nodes]

    def remove(self):
        for node in self.nodes:
            node.remove()
        if self.store:
            self.store.remove()
        if self.network:
            self.network.remove()

    # -- faults -------------------------------------------------------------------------------------------------

    def kill(self, number):
        self[number].kill()

    def pause(self, number):
        self[number].pause()

    def resume(self, number):
        self[number].resume()

    def others(self, *numbers):
        return [node.id for node in self.nodes if node.id not in numbers]

    def isolate(self, *numbers):
        """These brokers hear neither the others nor the store, and are not heard. Clients still reach all."""
        for number in numbers:
            for other in self.others(*numbers):
                self.network.apart(number, other)
            self.isolate_from_store(number)

    def isolate_from_store(self, number):
        if self.store:
            self.network.from_ports(number, self.store.ports)
            return
        for other in self.nodes:  # the store is the brokers' own controllers
            if other.id != number:
                self._cut_controller(number, other.id)

    def _cut_controller(self, one, other):
        for here, there in [(one, other), (other, one)]:
            for side in ["sport", "dport"]:
                ports = {self._controller_port(here), self._controller_port(there)}
                of = "{ " + ", ".join(map(str, ports)) + " }"
                self.network._nft(there, f"add rule inet {self.network.name} in ip saddr {self[here].host} tcp {side} {of} drop")

    def _controller_port(self, number):
        return self[number].controller_port if self.target == "kafka" else self.quorum_ports[number]

    def deafen(self, number):
        """The other brokers hear it, but it does not hear them."""
        for other in self.others(number):
            self.network.one_way(other, number)

    def mute(self, number):
        """It hears the other brokers, but they do not hear it."""
        for other in self.others(number):
            self.network.one_way(number, other)

    def heal(self):
        self.network.heal()

    def kill_store_leader(self):
        """What can be done to the store depends on it: in a quorum its leader is the active controller. The undoing."""
        if self.store:
            member = self.store.kill_leader()
            return member.spawn
        number = self.controller()
        self.kill(number)
        return lambda: self[number].start()

    # -- looking at it ------------------------------------------------------------------------------------------

    def _ask(self, node, topics, timeout):
        with Wire(node.address, timeout=timeout) as wire:
            return Metadata.of(wire, *topics)

    def metadata(self, *topics, timeout=3, of=None):
        """What the first broker that answers says."""
        for node in [of] if of else self.nodes:
            if not node.alive or node.is_paused:
                continue
            try:
                return self._ask(node, topics, timeout)
            except (OSError, Closed):
                continue
        return Metadata(None)

    def create_topic(self, topic, partitions=6, replicas=3, **configs):
        """Until it is led and in sync everywhere."""
        node = next(node for node in self.nodes if node.alive and not node.is_paused)
        with Wire(node.address) as wire:
            error = wire.create_topic(topic, partitions, replicas, **configs)
        assert error == 0, f"CreateTopics of {topic}: error {error}"
        self.await_in_sync(topic, replicas=replicas)

    def brokers(self):
        """The brokers that all brokers agree on."""
        known = None
        for node in self.nodes:
            if node.alive and not node.is_paused:
                mine = set(self.metadata(of=node).brokers)
                known = mine if known is None else known & mine
        return known or set()

    def leader_of(self, topic, partition=0):
        """A broker that leads it, as far as anybody who answers knows."""
        def leader():
            found = self.metadata(topic).partitions.get((topic, partition))
            return found.leader if found and found.leader > 0 else None

        return wait_until(leader, f"a leader of {topic}-{partition}")

    def controller(self):
        """The active controller's id."""
        return wait_until(self._controller, "an active controller")

    def _controller(self):
        if self.target == "kafka":
            return kafka_controller(self.nodes)
        # every broker tells in its log whom the store names; the greatest epoch is the latest
        told = [pair for node in self.nodes for pair in CONTROLLER.findall(node.output())]
        if not told:
            return None
        number = int(max(told, key=lambda pair: int(pair[1]))[0])
        return number if self[number].alive and not self[number].is_paused else None

    def in_sync(self, *topics, replicas=None):
        """Whether every broker says that all replicas of these topics are in sync."""
        expected = replicas or len(self.nodes)
        for node in self.nodes:
            if not node.alive or node.is_paused:
                return False
            partitions = self.metadata(*topics, of=node).partitions
            if not partitions or any(found.leader < 0 or len(found.isr) != expected for found in partitions.values()):
                return False
        return True

    def await_in_sync(self, *topics, seconds=PATIENCE_SECONDS, replicas=None):
        """How long it took."""
        began = time.monotonic()
        try:
            wait_until(lambda: self.in_sync(*topics, replicas=replicas), "", seconds)
        except AssertionError:
            told = []
            for node in self.nodes:
                if not node.alive or node.is_paused:
                    told.append(f"broker {node.id} is {'paused' if node.alive else 'down'}")
                    continue
                partitions = self.metadata(*topics, of=node).partitions
                behind = [f"{topic}-{number} leader {found.leader} ISR {found.isr}" for (topic, number), found in sorted(partitions.items())
                          if found.leader < 0 or len(found.isr) != (replicas or len(self.nodes))]
                if behind or not partitions:
                    told.append(f"broker {node.id} says {len(behind)} of {len(partitions)} partitions: {', '.join(behind[:3])}")
            raise AssertionError(f"not in sync after {seconds} s: {'; '.join(told)}") from None
        return time.monotonic() - began


CONTROLLER = re.compile(r"the controller controller=(\d+) epoch=(\d+)")


def kafka_controller(nodes):
    """DescribeQuorum v0 of __cluster_metadata-0: its leader."""
    for node in nodes:
        if not node.alive or node.is_paused:
            continue
        try:
            with Wire(node.address, timeout=3) as wire:
                topic = b"__cluster_metadata"
                body = bytes([2, len(topic) + 1]) + topic + bytes([2]) + int32(0) + bytes([0, 0, 0])
                # request header v2: client id, no tagged fields
                head = int16(55) + int16(0) + int32(7) + string("cluster") + int8(0)
                wire.send(int32(len(head) + len(body)) + head + body)
                size = struct.unpack(">i", wire.read(4))[0]
                answer = wire.read(size)
        except (OSError, Closed):
            continue
        # correlation id, tags, error, topics, name, partitions, index, error, leader
        at = 4 + 1 + 2 + 1 + 1 + len(topic) + 1
        index, error, leader = struct.unpack(">ihi", answer[at:at + 10])
        if error == 0 and leader > 0:
            return leader
    return None


class Metadata:
    """An answer to Metadata v4, the first that does not create what it is asked for."""

    @classmethod
    def of(cls, wire, *topics):
        return cls(wire.call(METADATA, 4, metadata_body(*topics) + int8(0)))

    def __init__(self, answer):
        self.brokers, self.partitions, self.controller = {}, {}, -1
        if answer is None:
            return
        reader = Reader(answer)
        reader.number(4)  # throttle time
        for _ in range(reader.number(4)):
            number, host, port = reader.number(4), reader.string(), reader.number(4)
            reader.string()  # rack
            self.brokers[number] = (host, port)
        reader.string()  # cluster id
        self.controller = reader.number(4)
        for _ in range(reader.number(4)):
            reader.number(2)
            topic = reader.string()
            reader.number(1)
            for _ in range(reader.number(4)):
                error, index, leader = reader.number(2), reader.number(4), reader.number(4)
                replicas = [reader.number(4) for _ in range(reader.number(4))]
                isr = [reader.number(4) for _ in range(reader.number(4))]
                self.partitions[(topic, index)] = Partition(leader, replicas, isr, error)


class Reader:
    """Kafka's plain types, one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, size):
        value = int.from_bytes(self.data[self.at:self.at + size], "big", signed=True)
        self.at += size
        return value

    def string(self):
        size = self.number(2)
        if size < 0:
            return None
        text = self.data[self.at:self.at + size].decode()
        self.at += size
        return text
