"""Kafka's console tools, version 4.3.1, as its documentation shows them."""

import json
import re
import tempfile
from pathlib import Path

from broker import java
from suite import command, wait_until


def tool(cluster, name, *arguments, check=True):
    return command(java("tools-4.3.1", name, "--bootstrap-server", cluster.bootstrap, *arguments), check=check)


def cluster_tool(cluster, action, *arguments, check=True):
    """This one wants to know what to do first."""
    line = java("tools-4.3.1", "org.apache.kafka.tools.ClusterTool", action, "--bootstrap-server", cluster.bootstrap, *arguments)
    return command(line, check=check)


def topics(cluster, *arguments, check=True):
    return tool(cluster, "org.apache.kafka.tools.TopicCommand", *arguments, check=check)[1]


def described(cluster, *arguments):
    """topic-partition -> leader, replicas, ISR, ELR of `TopicCommand --describe`."""
    found = {}
    for line in topics(cluster, "--describe", *arguments).splitlines():
        fields = dict(re.findall(r"(\w+): ?([^\t]*)", line))
        if "Partition" in fields:
            def ids(name):
                return [int(id) for id in fields.get(name, "").split(",") if id.strip().isdigit()]
            leader = fields["Leader"].strip()
            found[f"{fields['Topic'].strip()}-{fields['Partition'].strip()}"] = (
                int(leader) if leader.lstrip("-").isdigit() else None, ids("Replicas"), ids("Isr"))
    return found


def replicas(cluster, topic):
    return {name.rsplit("-", 1)[1]: row[1] for name, row in described(cluster, "--topic", topic).items()}


def configs(cluster, kind, name, *arguments):
    entity = ["--entity-type", kind, *(["--entity-name", name] if name else ["--entity-default"])]
    return tool(cluster, "kafka.admin.ConfigCommand", *entity, *arguments)[1]


def reassign(cluster, *arguments, plan=None, check=True):
    """ReassignPartitionsCommand; `plan`: topic -> partition -> brokers."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        if plan is not None:
            path = Path(folder) / "plan.json"
            path.write_text(json.dumps(as_json(plan)))
            files = ["--reassignment-json-file", path]
        code, out, err = tool(cluster, "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", *files, *arguments, check=check)
        return (code, out + err) if not check else out


def as_json(plan):
    return {"version": 1, "partitions": [{"topic": topic, "partition": partition, "replicas": brokers}
                                         for topic, partitions in plan.items() for partition, brokers in partitions.items()]}


def elect(cluster, *arguments, check=True):
    return tool(cluster, "org.apache.kafka.tools.LeaderElectionCommand", *arguments, check=check)


def fill(cluster, topic, bytes_per_record=1000, count=2000):
    """Something to copy."""
    lines = b"".join(b"%08d %s\n" % (at, b"x" * bytes_per_record) for at in range(count))
    command(java("tools-4.3.1", "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", cluster.bootstrap, "--topic", topic),
            input=lines)


def run(t, cluster):
    with t.case("TopicCommand: assignments by hand, more partitions by hand"):
        topics(cluster, "--create", "--topic", "by-hand", "--replica-assignment", "1:2,2:3,3:1")
        assert replicas(cluster, "by-hand") == {"0": [1, 2], "1": [2, 3], "2": [3, 1]}, replicas(cluster, "by-hand")
        topics(cluster, "--alter", "--topic", "by-hand", "--partitions", "4", "--replica-assignment", "1:2,2:3,3:1,2:1")
        assert replicas(cluster, "by-hand")["3"] == [2, 1]
        code, out, err = tool(cluster, "org.apache.kafka.tools.TopicCommand", "--create", "--topic", "four", "--replication-factor", "4",
                              check=False)
        assert code != 0 and "replication" in (out + err).lower(), out + err

    with t.case("TopicCommand: copies of every partition lie in three racks, leaders on all brokers"):
        topics(cluster, "--create", "--topic", "spread", "--partitions", "6", "--replication-factor", "3")
        rows = described(cluster, "--topic", "spread")
        assert len(rows) == 6 and all(sorted(row[1]) == [1, 2, 3] for row in rows.values()), rows
        assert sorted(row[0] for row in rows.values()) == [1, 1, 2, 2, 3, 3], rows

    with t.case("ReassignPartitionsCommand: generate, execute, verify"):
        topics(cluster, "--create", "--topic", "moving", "--replica-assignment", "1:2,1:2")
        fill(cluster, "moving")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "topics.json"
            path.write_text(json.dumps({"version": 1, "topics": [{"topic": "moving"}]}))
            out = reassign(cluster, "--topics-to-move-json-file", path, "--broker-list", "2,3", "--generate")
        proposed = json.loads(out.strip().splitlines()[-1])
        assert all(sorted(one["replicas"]) == [2, 3] for one in proposed["partitions"]), out
        plan = {"moving": {one["partition"]: one["replicas"] for one in proposed["partitions"]}}
        out = reassign(cluster, "--execute", plan=plan)
        assert "Successfully started partition reassignments for moving-0,moving-1" in out, out
        out = wait_until(lambda: completed(cluster, plan), "the moves to be done")
        assert "moving-0 is completed" in out and "moving-1 is completed" in out, out
        assert replicas(cluster, "moving") == {str(at): brokers for at, brokers in plan["moving"].items()}
        assert "No partition reassignments found" in reassign(cluster, "--list")
        rows = described(cluster, "--topic", "moving")
        assert all(sorted(row[2]) == [2, 3] for row in rows.values()), rows

    with t.case("ReassignPartitionsCommand: a throttle is set, and verify takes it away"):
        plan = {"moving": {0: [1, 2], 1: [1, 3]}}
        out = reassign(cluster, "--execute", "--throttle", "50000000", plan=plan)
        assert "The inter-broker throttle limit was set to 50000000 B/s" in out, out
        out = configs(cluster, "brokers", "1", "--describe")
        assert "follower.replication.throttled.rate=50000000" in out and "leader.replication.throttled.rate=50000000" in out, out
        out = configs(cluster, "topics", "moving", "--describe")
        assert "follower.replication.throttled.replicas=0:1,1:1" in out or "throttled.replicas=1:1,0:1" in out, out
        wait_until(lambda: completed(cluster, plan), "the moves to be done")
        assert "throttled" not in configs(cluster, "brokers", "1", "--describe"), "the rate is left"
        assert "throttled" not in configs(cluster, "topics", "moving", "--describe"), "the replicas are left"

    with t.case("ReassignPartitionsCommand: brokers that do not exist are refused"):
        code, out = reassign(cluster, "--execute", plan={"moving": {0: [1, 9]}}, check=False)
        assert code != 0 and "9" in out, out

    with t.case("ConfigCommand: one broker and all brokers"):
        configs(cluster, "brokers", "2", "--alter", "--add-config", "log.cleaner.backoff.ms=14000")
        assert "log.cleaner.backoff.ms=14000" in configs(cluster, "brokers", "2", "--describe")
        assert "log.cleaner.backoff.ms=14000" not in configs(cluster, "brokers", "1", "--describe")
        configs(cluster, "brokers", None, "--alter", "--add-config", "log.retention.ms=360000000")
        for number in "123":
            out = configs(cluster, "brokers", number, "--describe", "--all")
            assert re.search(r"log\.retention\.ms=360000000.*DYNAMIC_DEFAULT_BROKER_CONFIG", out), out[:500]
        configs(cluster, "brokers", None, "--alter", "--delete-config", "log.retention.ms")
        configs(cluster, "brokers", "2", "--alter", "--delete-config", "log.cleaner.backoff.ms")

    with t.case("FeatureCommand: describe"):
        out = tool(cluster, "org.apache.kafka.tools.FeatureCommand", "describe")[1]
        assert re.search(r"Feature: metadata\.version\s+SupportedMinVersion: 3\.3-IV3\s+SupportedMaxVersion: \S+\s+FinalizedVersionLevel: \S+", out), out

    with t.case("ClusterTool: cluster-id, list-endpoints"):
        out = cluster_tool(cluster, "cluster-id")[1]
        assert re.search(r"Cluster ID: \S{22}", out), out
        assert endpoints(cluster) == {1: "unfenced", 2: "unfenced", 3: "unfenced"}, endpoints(cluster)

    with_one_down(t, cluster)


def completed(cluster, plan):
    out = reassign(cluster, "--verify", plan=plan)
    return None if "still in progress" in out else out


def endpoints(cluster, *more):
    out = cluster_tool(cluster, "list-endpoints", *more)[1]
    found = {}
    for line in out.splitlines():
        fields = line.split()
        if fields and fields[0].isdigit():
            found[int(fields[0])] = next((field for field in fields if field in ("fenced", "unfenced")), None)
    return found


def with_one_down(t, cluster):
    """What tools say of a cluster with a broker that is gone, and of its return."""
    topics(cluster, "--create", "--topic", "trouble", "--replica-assignment", "3:1:2,1:2:3", "--config", "min.insync.replicas=2")
    topics(cluster, "--create", "--topic", "alone", "--replica-assignment", "3")
    topics(cluster, "--create", "--topic", "pair", "--replica-assignment", "2:3", "--config", "unclean.leader.election.enable=false")
    fill(cluster, "trouble", count=100)
    cluster.kill(3)
    wait_until(lambda: 3 not in described(cluster, "--topic", "trouble")["trouble-1"][2], "broker 3 to leave the ISR")

    with t.case("TopicCommand: under-replicated, at and under min ISR, unavailable"):
        mine = ["trouble-0", "trouble-1"]

        def kinds(flag):
            return [name for name in sorted(described(cluster, flag)) if name in [*mine, "alone-0"]]
        assert kinds("--under-replicated-partitions") == (["alone-0", *mine] if described(cluster, "--topic", "alone")["alone-0"][2] == [] else mine)
        assert [name for name in kinds("--at-min-isr-partitions") if name in mine] == mine
        assert [name for name in kinds("--under-min-isr-partitions") if name in mine] == []
        assert kinds("--unavailable-partitions") == ["alone-0"], kinds("--unavailable-partitions")

    with t.case("ClusterTool: a broker that is gone is fenced"):
        assert set(endpoints(cluster)) == {1, 2}
        assert endpoints(cluster, "--include-fenced-brokers") == {1: "unfenced", 2: "unfenced", 3: "fenced"}

    with t.case("LeaderElectionCommand: without its preferred leader no partition changes hands"):
        code, out, err = elect(cluster, "--election-type", "preferred", "--topic", "trouble", "--partition", "0", check=False)
        assert code != 0 and "PreferredLeaderNotAvailable" in out + err, out + err

    cluster[3].start()
    with t.case("LeaderElectionCommand: preferred, one partition and all"):
        wait_until(lambda: described(cluster, "--topic", "trouble")["trouble-0"][2] == [1, 2, 3] or
                   sorted(described(cluster, "--topic", "trouble")["trouble-0"][2]) == [1, 2, 3], "broker 3 to be in sync again")
        if described(cluster, "--topic", "trouble")["trouble-0"][0] != 3:  # the controller may have balanced leaders by itself
            _, out, _ = elect(cluster, "--election-type", "preferred", "--topic", "trouble", "--partition", "0")
            assert "Successfully completed leader election (PREFERRED) for partitions trouble-0" in out, out
        assert described(cluster, "--topic", "trouble")["trouble-0"][0] == 3
        elect(cluster, "--election-type", "preferred", "--all-topic-partitions")
        _, out, _ = elect(cluster, "--election-type", "preferred", "--topic", "trouble", "--partition", "0")
        assert "Valid replica already elected for partitions trouble-0" in out, out

    with t.case("LeaderElectionCommand: unclean, where nobody in sync is left"):
        # broker 3 leaves the ISR of `pair`, more is written, then the only one in sync is gone
        wait_until(lambda: sorted(described(cluster, "--topic", "pair")["pair-0"][2]) == [2, 3], "both in sync")
        cluster.kill(3)
        wait_until(lambda: described(cluster, "--topic", "pair")["pair-0"][2] == [2], "broker 3 to leave the ISR")
        fill(cluster, "pair", count=10)
        cluster.kill(2)
        cluster[3].start()
        try:
            wait_until(lambda: described(cluster, "--topic", "pair")["pair-0"][0] in (None, -1), "no leader")
            code, out, err = elect(cluster, "--election-type", "preferred", "--topic", "pair", "--partition", "0", check=False)
            assert code != 0, out + err
            _, out, _ = elect(cluster, "--election-type", "unclean", "--topic", "pair", "--partition", "0")
            assert "Successfully completed leader election (UNCLEAN) for partitions pair-0" in out, out
            assert described(cluster, "--topic", "pair")["pair-0"][0] == 3
        finally:
            cluster[2].start()

    with t.case("ClusterTool: unregister forgets a broker until it comes back"):
        cluster.kill(3)
        wait_until(lambda: endpoints(cluster, "--include-fenced-brokers").get(3) == "fenced", "broker 3 to be fenced")
        _, out, _ = cluster_tool(cluster, "unregister", "--id", "3")
        assert "Broker 3 is no longer registered" in out, out
        assert set(endpoints(cluster, "--include-fenced-brokers")) == {1, 2}
        code, out, err = cluster_tool(cluster, "unregister", "--id", "9", check=False)
        assert "BrokerIdNotRegistered" in out + err, out + err
        cluster[3].start()
        wait_until(lambda: len(cluster.brokers()) == 3, "broker 3 to be back")
        wait_until(lambda: not described(cluster, "--under-replicated-partitions"), "everything in sync")
