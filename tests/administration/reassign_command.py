"""`ringlog` as the administrator's tool. It speaks Kafka's protocol, so it is tried against Kafka, too."""

import json
import tempfile
import time
from pathlib import Path

from broker import RINGLOG
from suite import command, wait_until

import tools


def ringlog(cluster, *arguments, check=True):
    return command([RINGLOG, *arguments, "--bootstrap", cluster.bootstrap], check=check)


def said(cluster, *arguments):
    """What --json prints; the last line, where there are several."""
    return json.loads(ringlog(cluster, *arguments, "--json")[1].strip().splitlines()[-1])


def lies_on(cluster, topic):
    [found] = said(cluster, "topic", "describe", topic)
    return {partition["partition"]: partition["replicas"] for partition in found["partitions"]}


def run(t, cluster):
    wait_until(lambda: len(cluster.brokers()) == 3, "three brokers")

    with t.case("ringlog topic: assignments by hand, partitions in trouble"):
        ringlog(cluster, "topic", "create", "rl-hand", "--replica-assignment", "1:2,1:3")
        ringlog(cluster, "topic", "add-partitions", "rl-hand", "3", "--replica-assignment", "2:1")
        assert lies_on(cluster, "rl-hand") == {0: [1, 2], 1: [1, 3], 2: [2, 1]}
        assert said(cluster, "topic", "describe", "rl-hand", "--under-replicated-partitions") == []

    with t.case("ringlog cluster quorum"):
        if cluster.store:
            code, _, err = ringlog(cluster, "cluster", "quorum", check=False)
            assert code == 1 and "not kept by a quorum" in err, err
        else:
            rows = said(cluster, "cluster", "quorum")
            assert sorted(row["node"] for row in rows) == [1, 2, 3], rows
            assert [row["node"] for row in rows if row["role"] == "leader"] == [cluster.controller()], rows

    with t.case("ringlog reassign: plans, shows, runs, follows"):
        ringlog(cluster, "topic", "create", "rl-skewed", "--replica-assignment", ",".join(["1:2"] * 6))
        tools.fill(cluster, "rl-skewed", count=12_000)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "plan.json"
            plan = said(cluster, "reassign", "--topic", "rl-skewed", "--sample", "0", "--write", file)
            assert plan["moves"] and lies_on(cluster, "rl-skewed")[0] == [1, 2], "a plan, and nothing run"
            _, out, _ = ringlog(cluster, "reassign", "--from", file)
            assert "rl-skewed" in out and "to copy" in out, out
            # Kafka's tool reads what ours has written, and ours runs it
            assert "is still in progress" not in tools.reassign(cluster, "--verify", "--reassignment-json-file", file)
            ringlog(cluster, "reassign", "--from", file, "--execute", "--throttle", "50000000")
            wanted = {one["partition"]: one["replicas"] for one in json.loads(file.read_text())["partitions"]}
            now = lies_on(cluster, "rl-skewed")
            assert all(now[at] == brokers for at, brokers in wanted.items()), f"{now}, wanted {wanted}"
            state = said(cluster, "reassign", "--verify", "--from", file)
            assert state["done"] and all(row["state"] == "done" for row in state["partitions"]), state
            assert "throttled" not in tools.configs(cluster, "topics", "rl-skewed", "--describe")
            ringlog(cluster, "reassign", "--from", f"{file}.rollback", "--execute")
            assert set(map(tuple, lies_on(cluster, "rl-skewed").values())) == {(1, 2)}
        after = said(cluster, "reassign", "--topic", "rl-skewed", "--sample", "0", "--execute", "--no-wait")
        assert after["state"] == "begun", after
        wait_until(lambda: said(cluster, "reassign", "--verify")["done"], "the moves to be done")

    with t.case("ringlog reassign: moves keep to a throttle"):
        ringlog(cluster, "topic", "create", "rl-slow", "--replica-assignment", "1")
        tools.fill(cluster, "rl-slow", count=16_000)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "plan.json"
            file.write_text(json.dumps(tools.as_json({"rl-slow": {0: [2]}})))
            began = time.monotonic()
            ringlog(cluster, "reassign", "--from", file, "--execute", "--throttle", "1000000")
            took = time.monotonic() - began
        # 16 MB; Kafka counts over ten seconds, so that the first 10 MB may pass at once
        assert took > 3, f"16 MB in {took:.1f} s at 1 MB/s"
        assert lies_on(cluster, "rl-slow") == {0: [2]}

    with t.case("ringlog reassign: drains a broker"):
        ringlog(cluster, "topic", "create", "rl-drained", "--replica-assignment", "3:1,1:3,2:3")
        ringlog(cluster, "reassign", "--topic", "rl-drained", "--drain", "3", "--sample", "0", "--execute")
        now = lies_on(cluster, "rl-drained")
        assert all(sorted(brokers) == [1, 2] for brokers in now.values()), now
        code, _, err = ringlog(cluster, "reassign", "--topic", "rl-drained", "--drain", "7", "--sample", "0", check=False)
        assert code == 1 and "broker 7 is not among" in err, err
        ringlog(cluster, "topic", "create", "rl-three", "--replication-factor", "3")
        code, _, err = ringlog(cluster, "reassign", "--topic", "rl-three", "--drain", "3", "--sample", "0", check=False)
        assert code == 1 and "only 2 brokers are left" in err, err

    with t.case("ringlog reassign: a move that cannot end is listed and cancelled, by Kafka's tool and by ours"):
        ringlog(cluster, "topic", "create", "rl-stuck", "--replica-assignment", "1,2")
        cluster.kill(3)
        wait_until(lambda: 3 not in cluster.metadata(of=cluster[1]).brokers, "broker 3 to be gone")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "plan.json"
            file.write_text(json.dumps(tools.as_json({"rl-stuck": {0: [1, 3], 1: [2, 3]}})))
            ringlog(cluster, "reassign", "--from", file, "--execute", "--no-wait")
            moving = said(cluster, "reassign", "--verify")
            assert not moving["done"] and [row["adding"] for row in moving["partitions"]] == [[3], [3]], moving
            out = tools.reassign(cluster, "--list")
            assert "rl-stuck-0: replicas: 1,3. adding: 3." in out, out
            assert [row["state"] for row in said(cluster, "reassign", "--verify", "--from", file)["partitions"]] == ["moving"] * 2
            out = tools.reassign(cluster, "--cancel", "--preserve-throttles", plan={"rl-stuck": {0: [1, 3]}})
            assert "Successfully cancelled partition reassignment for: rl-stuck-0" in out, out
            assert said(cluster, "reassign", "--cancel")["cancelled"] == 1
        assert lies_on(cluster, "rl-stuck") == {0: [1], 1: [2]}

    with t.case("ringlog cluster: fenced brokers, leaders, forgotten brokers"):
        rows = {row["broker"]: row for row in said(cluster, "cluster", "brokers")}
        assert [rows[id]["fenced"] for id in (1, 2, 3)] == [False, False, True], rows
        trouble = said(cluster, "topic", "describe", "--under-replicated-partitions")
        assert any(row["topic"] == "rl-three" and row["offline"] == [3] for row in trouble), trouble
        assert ringlog(cluster, "cluster", "unregister", "9", check=False)[0] == 1
        ringlog(cluster, "cluster", "unregister", "3")
        assert {row["broker"] for row in said(cluster, "cluster", "brokers")} == {1, 2}
        cluster[3].start()
        wait_until(lambda: len(cluster.brokers()) == 3, "broker 3 to be back")
        wait_until(lambda: not said(cluster, "topic", "describe", "--under-replicated-partitions"), "everything in sync")
        ringlog(cluster, "cluster", "elect-leaders")
        assert said(cluster, "cluster", "elect-leaders") == [], "the second time there is nothing to do"
        features = {row["feature"]: row for row in said(cluster, "cluster", "features")}
        level = features["metadata.version"]["finalized"]
        ringlog(cluster, "cluster", "features", "--set", f"metadata.version={level}", "--dry-run")
        code, _, err = ringlog(cluster, "cluster", "features", "--set", "metadata.version=1", "--downgrade", "unsafe", "--dry-run", check=False)
        assert code == 1 and "metadata.version" in err, err
