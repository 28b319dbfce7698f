"""The brokers' own quorum under Kafka's MetadataQuorumCommand: what it shows, and voters that come, go and get a new disk."""

import re
import tempfile
from pathlib import Path

import history
import reassign_command
import tools
from broker import RINGLOG
from cluster import STEADY, Cluster
from load import Load
from suite import wait_until

VOTERS = [1, 2, 3]  # that the cluster begins with
NEW = 4
TOPIC, PARTITIONS, INTERVAL_US = "voted", 4, 20_000
CONFIG = {"producer.reconnect.backoff.max.ms": 500, "consumer.reconnect.backoff.max.ms": 500}


def quorum_tool(cluster, *arguments, check=True):
    return tools.tool(cluster, "org.apache.kafka.tools.MetadataQuorumCommand", *arguments, check=check)


def rows(cluster):
    """`describe --replication`: broker -> (directory id, status)."""
    lines = [line.split() for line in quorum_tool(cluster, "describe", "--replication")[1].splitlines() if re.match(r"\d+\s", line)]
    return {int(line[0]): (line[1], line[-1]) for line in lines}


def voters(cluster):
    """`describe --status`: leader, ids of the voters, ids of the observers."""
    out = quorum_tool(cluster, "describe", "--status")[1]
    ids = {name: sorted(map(int, re.findall(r'"id": (\d+)', line))) for name, line in re.findall(r"(\w+):\s+(.*)", out)}
    return int(re.search(r"LeaderId:\s+(\d+)", out)[1]), ids["CurrentVoters"], ids["CurrentObservers"]


def status(t, cluster, expected, observers):
    with t.case("MetadataQuorumCommand: status and replication"):
        # they may still elect one, and a broker that is none of the voters is told of when it has asked for the log
        leader = wait_until(lambda: (now := cluster.controller()) and voters(cluster) == (now, expected, observers) and now, "the quorum to stand")
        out = quorum_tool(cluster, "describe", "--status")[1]
        assert re.search(r"LeaderEpoch:\s+[1-9]", out) and re.search(r"HighWatermark:\s+[1-9]", out), out
        found = {number: row[1] for number, row in rows(cluster).items()}
        roles = {number: "Follower" for number in expected} | {number: "Observer" for number in observers} | {leader: "Leader"}
        assert found == roles, found
        if RINGLOG.exists():
            mine = {row["node"]: row["role"] for row in reassign_command.said(cluster, "cluster", "quorum")}
            ours = {"Leader": "leader", "Follower": "voter", "Observer": "observer"}
            assert mine == {number: ours[role] for number, role in roles.items()}, mine


def add(cluster, number, check=True):
    """As docs/OPERATIONS.md has it: the tool reads who is to be added from a file like a Kafka controller's."""
    node = cluster[number]
    file = node.home / "voter.properties"
    file.write_text(f"process.roles=broker,controller\nnode.id={number}\nlog.dirs={node.data_dir}\n"
                    f"controller.listener.names=CONTROLLER\nlisteners=CONTROLLER://{node.host}:{cluster.quorum_ports[number]}\n")
    return quorum_tool(cluster, "--command-config", file, "add-controller", check=check)


def remove(cluster, number, directory, check=True):
    return quorum_tool(cluster, "remove-controller", "--controller-id", number, "--controller-directory-id", directory, check=check)


class Working:
    """An idempotent producer with acks=all and a reader, through all changes."""

    def __init__(self, cluster, folder):
        self.cluster, self.load = cluster, Load("librdkafka", folder)
        cluster.create_topic(TOPIC, PARTITIONS, min_insync_replicas="2")
        self.load.start(cluster.bootstrap, TOPIC, PARTITIONS, INTERVAL_US, **CONFIG)
        wait_until(lambda: self.load.acks().exists(), "the first acknowledgements")
        self.goes_on()

    def goes_on(self):
        """Every partition acknowledges records again."""
        known = len(history.acks(self.load.acks()))

        def served():
            return {ack.partition for ack in history.acks(self.load.acks())[known:]} == set(range(PARTITIONS))

        wait_until(served, "new acknowledgements of every partition")

    def end(self):
        for word in ["stop", "drain"]:
            self.load.ask(word)
            counts = self.load.answered()
        findings = history.check(history.acks(self.load.acks()), {"reader": history.reads(self.load.live())})
        assert not findings and not self.load.failures, f"{findings}; {self.load.failures}"
        assert counts["sent"] == counts["acknowledged"] > 100, counts


def decides(cluster, topic):
    """The quorum decides: a topic is made, and led by brokers that live."""
    tools.topics(cluster, "--create", "--topic", topic, "--partitions", "2", "--replication-factor", "3")
    wait_until(lambda: all(row[0] for row in tools.described(cluster, "--topic", topic).values()), f"leaders of {topic}")


def changes(t, cluster, folder):
    working = Working(cluster, folder)
    try:
        with t.case("add-controller: a fourth broker becomes a voter"):
            directory = rows(cluster)[NEW][0]
            _, out, _ = add(cluster, NEW)
            assert f"Added controller {NEW} with directory id {directory}" in out, out
            assert voters(cluster)[1:] == ([*VOTERS, NEW], []), voters(cluster)
            working.goes_on()

        with t.case("add-controller, remove-controller: a voter is not added twice, an unknown one not removed"):
            code, out, err = add(cluster, NEW, check=False)
            assert code != 0 and "DuplicateVoterException" in out + err, out + err
            code, out, err = remove(cluster, 1, directory, check=False)  # the directory is broker 4's
            assert code != 0 and "VoterNotFoundException" in out + err, out + err
            assert voters(cluster)[1:] == ([*VOTERS, NEW], []), voters(cluster)

        with t.case("remove-controller: the quorum's leader goes, another one leads, records are acknowledged"):
            if cluster.controller() == NEW:  # an election on a busy machine; but the new one is looked at below
                cluster[NEW].restart()
            gone = cluster.controller()
            _, out, _ = remove(cluster, gone, rows(cluster)[gone][0])
            assert re.search(rf"Removed\s+KRaft controller {gone} ", out), out
            left = [number for number in [*VOTERS, NEW] if number != gone]
            wait_until(lambda: (now := voters(cluster))[0] in left and now[1:] == (left, [gone]), "another leader")
            decides(cluster, "after-removal")
            working.goes_on()

        with t.case("the new voter is one: after a restart, and where nothing is decided without it"):
            cluster.kill(NEW)
            cluster[NEW].start()
            dead = next(number for number in left if number != NEW)
            cluster.await_in_sync(TOPIC, replicas=3)
            lost = rows(cluster)[dead][0]
            cluster.kill(dead)
            decides(cluster, "with-the-new-one")
            working.goes_on()

        with t.case("a voter whose disk is gone is removed and added again"):
            cluster[dead].empty_disk()
            remove(cluster, dead, lost)
            cluster[dead].start()
            cluster.await_in_sync(TOPIC, replicas=3)
            wait_until(lambda: dead in voters(cluster)[2], "it to be told of")
            add(cluster, dead)
            assert sorted(voters(cluster)[1]) == left and rows(cluster)[dead][0] != lost, rows(cluster)
            decides(cluster, "with-a-new-disk")
            working.goes_on()

        with t.case("a broker with an empty disk joins through the present voters, if it is told the cluster's id"):
            cluster.first_voters = [cluster[number] for number in left]
            node, id = cluster[gone], re.search(r"ClusterId:\s+(\S+)", quorum_tool(cluster, "describe", "--status")[1])[1]
            node.stop()
            node.empty_disk()
            node.data_dir.mkdir()
            (node.data_dir / "meta.properties").write_text(f"version=1\ncluster.id={id}\nnode.id={gone}\n")
            node.start()
            cluster.await_in_sync(TOPIC, replicas=3)
            wait_until(lambda: gone in voters(cluster)[2], "it to be told of")
            working.goes_on()

        with t.case("every record sent meanwhile was acknowledged, and is there once and in order"):
            working.end()
    finally:
        working.load.remove()


def run(t):
    cluster = Cluster("quorum", nodes=NEW, voters=len(VOTERS), settings=STEADY, name="quorum")
    # a voter's address is for good; the first ones' are in ringlog.store
    cluster[NEW].settings["ringlog.control.listener"] = f"{cluster[NEW].host}:{cluster.quorum_ports[NEW]}"
    t.keep(*cluster.nodes)
    try:
        with tempfile.TemporaryDirectory(prefix="ringlog-test-quorum-") as folder:
            cluster.start()
            status(t, cluster, VOTERS, [NEW])
            changes(t, cluster, Path(folder))
    finally:
        cluster.remove()
