"""The figures of `cargo xtask cluster`: ringlog on each store beside three-node Apache Kafka, one cluster at a time.

usage: measure.py [gaps | bandwidth | small | partitions]... [--rounds N] [--target LIST] [--quick] [--write]

Gaps are told by the acknowledgements of idempotent producers with acks=all that send to each partition all the time, with
their clients' default settings: what an application sees, client included.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "harness"))

import history  # noqa: E402
from broker import RINGLOG, ROOT  # noqa: E402
from cluster import Cluster  # noqa: E402
from load import Load  # noqa: E402
from suite import wait_until  # noqa: E402
from wire import CREATE_TOPICS, Wire, create_topic_body  # noqa: E402

DOCUMENT = ROOT / "docs/PERFORMANCE.md"
ROWS = ["gaps", "bandwidth", "small", "partitions"]
TARGETS = ["etcd", "quorum", "zookeeper", "kafka"]
# as Kafka's own start scripts
JVM = ["-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
       "-XX:+ExplicitGCInvokesConcurrent", "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true"]
PARTITIONS = 9
INTERVALS_US = {"java": 5_000, "librdkafka": 10_000}
LOADS = ["java", "librdkafka"]
SETTLE_S = 2
IMPATIENT = {"java": {"producer.request.timeout.ms": 500}, "librdkafka": {"producer.socket.timeout.ms": 500}}


class Figures:
    """what -> unit, goal, values by target."""

    def __init__(self):
        self.lines = {}

    def add(self, row, what, unit, target, value, goal=None):
        line = self.lines.setdefault((row, what, unit), (goal, defaultdict(list)))
        line[1][target].append(value)
        print(f"   {target}: {what}: {shown(value)} {unit}", file=sys.stderr, flush=True)

    def table(self, row, targets):
        out = [f"| what | | {' | '.join(title(target) for target in targets)} | target | verdict |",
               "|---|---" + "|---" * len(targets) + "|---|---|"]
        for (of, what, unit), (goal, values) in self.lines.items():
            if of != row:
                continue
            medians = {target: statistics.median(found) for target, found in values.items()}
            cells = [shown(medians[target]) if target in medians else "" for target in targets]
            out.append(f"| {what} | {unit} | {' | '.join(cells)} | {goal or ''} | {verdict(goal, medians)} |")
        return "\n".join(out)


def title(target):
    return "Kafka" if target == "kafka" else f"ringlog, {target}"


def shown(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def verdict(goal, medians):
    """Of a goal like `< 0.5`, `>= 2.5x Kafka`, `<= 0.333x Kafka`: the worst of the stores decides."""
    ours = [value for target, value in medians.items() if target != "kafka"]
    if not goal or not ours:
        return ""
    relation, figure, times = re.fullmatch(r"(<|<=|>=) ([0-9.]+)(x Kafka)?", goal).groups()
    worst = min(ours) if relation == ">=" else max(ours)
    if times:
        if not medians.get("kafka"):
            return ""
        worst /= medians["kafka"]
    reached = {"<": worst < float(figure), "<=": worst <= float(figure), ">=": worst >= float(figure)}[relation]
    return f"reached: {shown(worst)}" + ("x" if times else "") if reached else f"**missed: {shown(worst)}{'x' if times else ''}**"


class Session:
    def __init__(self, options):
        self.options, self.figures, self.notes = options, Figures(), []

    def cluster(self, target, settings=None):
        kind = "quorum" if target == "kafka" else target
        return Cluster(kind, members=3, settings=settings, name=target, jvm=JVM, target="kafka" if target == "kafka" else "ringlog")

    def run(self):
        for number in range(self.options.rounds):
            for row in self.options.rows:
                for target in self.options.targets:
                    print(f"== round {number + 1} of {self.options.rounds}: {row}, {target}", file=sys.stderr, flush=True)
                    try:
                        with self.cluster(target) as cluster:
                            MEASURES[row](self, target, cluster)
                    except Exception as problem:  # noqa: BLE001 - an hour of figures is not lost for one
                        note = f"{row}, {target}: {type(problem).__name__}: {' '.join(str(problem).split())[:600]}"
                        print(f"   failed: {note}", file=sys.stderr, flush=True)
                        self.notes.append(note)
            print(self.report(), flush=True)
        if self.options.write:
            self.write()
        return 1 if self.notes else 0

    def head(self):
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE).stdout.decode().strip()
        return (f"`cargo xtask cluster {' '.join(sys.argv[1:])}`: median of {self.options.rounds} rounds; ringlog {commit}, Kafka 4.3.1, "
                f"etcd 3.4, ZooKeeper 3.8; all on one machine. {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC.")

    def report(self):
        tables = [f"### {row}\n\n{self.figures.table(row, self.options.targets)}" for row in self.options.rows]
        return "\n\n".join([self.head(), *tables, *(f"- {note}" for note in self.notes)])

    def write(self):
        text = DOCUMENT.read_text()
        for row in self.options.rows:
            begin = f"<!-- cluster {row} -->\n"
            assert begin in text, f"{DOCUMENT} has no marks for {row}"
            before, rest = text.split(begin, 1)
            _, after = rest.split("<!-- end -->", 1)
            text = f"{before}{begin}\n{self.head()}\n\n{self.figures.table(row, self.options.targets)}\n\n<!-- end -->{after}"
        DOCUMENT.write_text(text)


# -- gaps -------------------------------------------------------------------------------------------------------

class Fault:
    """One fault under load: who led what when it struck, and the acknowledgements around it."""

    def __init__(self, cluster, topic, config=None):
        self.cluster, self.topic = cluster, topic
        cluster.create_topic(topic, PARTITIONS, min_insync_replicas="2")
        self.loads = {kind: Load(kind, cluster[1].home / topic) for kind in LOADS}
        for kind, load in self.loads.items():
            load.start(cluster.bootstrap, topic, PARTITIONS, INTERVALS_US[kind], **(config or {}).get(kind, {}))
        for load in self.loads.values():
            wait_until(lambda: load.acks().exists() and load.acks().stat().st_size > 20_000, "acknowledgements", 60)
        time.sleep(SETTLE_S)
        partitions = cluster.metadata(topic).partitions
        self.led = defaultdict(list)
        for (_, number), found in partitions.items():
            self.led[found.leader].append(number)
        self.at_us = time.time_ns() // 1000

    def end(self, session, target, what, groups, seconds):
        """Lets the clients work on until `seconds` after the fault, then tells the longest gap of each group of partitions."""
        until_us = self.at_us + int(seconds * 1e6)
        time.sleep(max(0.0, (until_us - time.time_ns() // 1000) / 1e6))
        for kind, load in self.loads.items():
            found = history.acks(load.acks())
            for name, (partitions, goal) in groups.items():
                if partitions:
                    gap, _ = history.longest_gap(found, partitions, self.at_us, until_us)
                    session.figures.add("gaps", f"{what}: {name}; {kind}", "s", target, gap, goal)

    def remove(self):
        for load in self.loads.values():
            load.remove()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def gaps(session, target, cluster):
    window = 20 if target == "kafka" else 6
    steps = [gap_of_a_leader, gap_of_the_controller, gap_of_a_pause, gap_of_an_impatient_pause]
    if cluster.store:
        steps += [gap_of_the_stores_leader, gap_without_store]
    for number, step in enumerate(steps):
        try:
            step(session, target, cluster, f"gap{number}", window)
        except Exception as problem:  # noqa: BLE001 - the next fault says something of its own
            session.notes.append(f"{target}, {step.__name__}: {' '.join(str(problem).split())[:300]}")
            print(f"   failed: {session.notes[-1]}", file=sys.stderr, flush=True)
            for node in cluster.nodes:
                if node.alive:
                    node.resume()
            cluster.start_all()


def groups_of(fault, victim, led_goal, others_goal):
    """The partitions it led, and those it only followed."""
    others = [number for leader, numbers in fault.led.items() if leader != victim for number in numbers]
    return {"partitions it led": (fault.led[victim], led_goal), "partitions it only followed": (others, others_goal)}


def gap_of_a_leader(session, target, cluster, topic, window):
    with Fault(cluster, topic) as fault:
        victim = next(number for number in fault.led if number != cluster.controller())
        fault.at_us = time.time_ns() // 1000
        cluster.kill(victim)
        fault.end(session, target, "kill -9 of a leader", groups_of(fault, victim, "< 0.5", "< 0.5"), window)
    cluster[victim].start()
    cluster.await_in_sync(topic, seconds=120)


def gap_of_the_controller(session, target, cluster, topic, window):
    with Fault(cluster, topic) as fault:
        victim = cluster.controller()
        took = []

        def watch():
            began = time.monotonic()
            while time.monotonic() - began < window:
                try:
                    now = cluster._controller()
                except Exception:  # noqa: BLE001 - nobody answers yet
                    now = None
                if now not in (None, victim):
                    took.append(time.monotonic() - began)
                    return
                time.sleep(0.01)

        fault.at_us = time.time_ns() // 1000
        cluster.kill(victim)
        watcher = threading.Thread(target=watch)
        watcher.start()
        groups = groups_of(fault, victim, "< 0.5", "< 0.5")
        fault.end(session, target, "kill -9 of the controller", groups, window)
        watcher.join()
        if took:
            session.figures.add("gaps", "kill -9 of the controller: until another one is active", "s", target, took[0], "< 0.5")
    cluster[victim].start()
    cluster.await_in_sync(topic, seconds=120)


def gap_of_a_pause(session, target, cluster, topic, window, config=None, how="clients' defaults", goal="< 2"):
    with Fault(cluster, topic, config) as fault:
        victim = next(number for number in fault.led if number != cluster.controller())
        fault.at_us = time.time_ns() // 1000
        cluster.pause(victim)
        time.sleep(10)
        cluster.resume(victim)
        fault.end(session, target, f"SIGSTOP of a leader for 10 s, {how}", groups_of(fault, victim, goal, goal), 10 + window)
    cluster.await_in_sync(topic, seconds=120)


def gap_of_an_impatient_pause(session, target, cluster, topic, window):
    gap_of_a_pause(session, target, cluster, topic, window, IMPATIENT, "request timeout 0.5 s", "< 2")


def gap_of_the_stores_leader(session, target, cluster, topic, window):
    with Fault(cluster, topic) as fault:
        fault.at_us = time.time_ns() // 1000
        repair = cluster.kill_store_leader()
        fault.end(session, target, "kill -9 of the store's leader", {"all partitions": (range(PARTITIONS), "< 0.5")}, window)
        repair()
    wait_until(lambda: all(cluster.store.serves(member) for member in cluster.store.members), "the store's member", 60)


def gap_without_store(session, target, cluster, topic, window):
    seconds = 10 if session.options.quick else 60
    with Fault(cluster, topic) as fault:
        fault.at_us = time.time_ns() // 1000
        cluster.store.pause()
        fault.end(session, target, f"the store stopped for {seconds} s", {"all partitions": (range(PARTITIONS), "< 0.5")}, seconds)
        cluster.store.resume()
    cluster.await_in_sync(topic, seconds=120)


# -- load -------------------------------------------------------------------------------------------------------

def bench(cluster, topic, words, seconds):
    """A run of `ringlog bench produce`: its report, and the CPU seconds of all brokers meanwhile."""
    def cpu():
        return sum(node.cpu_seconds() for node in cluster.nodes)

    line = [RINGLOG, "bench", "produce", "--json", "--bootstrap", cluster.bootstrap, "--topic", topic, "--replication-factor", "3",
            "--topic-config", "min.insync.replicas=2", "--acks", "all", "--seconds", seconds, *words.split()]
    before = cpu()
    done = subprocess.run(list(map(str, line)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    used = cpu() - before
    out = done.stdout.decode()
    assert done.returncode == 0, f"{' '.join(map(str, line))}: {done.stderr.decode()[-500:]}"
    report = json.loads(next(text for text in out.splitlines() if text.startswith("{")))
    assert report["errors"] == 0, report
    return report, used


def warm(session, target, cluster, words):
    """A minute for a JVM that compiles what it runs often; files and memory for ringlog."""
    full = 60 if target == "kafka" else 10
    bench(cluster, "warm", words, 3 if session.options.quick else full)


def bandwidth(session, target, cluster):
    words = "--record-bytes 1024 --batch-records 64 --partitions 6 --connections 2 --in-flight 5"
    warm(session, target, cluster, words)
    report, cpu = bench(cluster, "measured", words, 3 if session.options.quick else 20)
    what = "RF 3, acks=all, batches of 64 KiB"
    session.figures.add("bandwidth", what, "MB/s", target, report["mb_per_s"], ">= 2.5x Kafka")
    session.figures.add("bandwidth", what, "CPU s/GB, all brokers", target, cpu / (report["bytes"] / 1e9), "<= 0.333x Kafka")
    for key in ["p50", "p99"]:
        session.figures.add("bandwidth", what, f"{key} ms", target, report[f"{key}_us"] / 1e3)


def small(session, target, cluster):
    words = "--record-bytes 1024 --batch-records 1 --partitions 6 --connections 4 --in-flight 1"
    warm(session, target, cluster, words)
    report, cpu = bench(cluster, "measured", words, 3 if session.options.quick else 20)
    what = "RF 3, acks=all, one record of 1 KiB a batch, 12 connections, one in flight"
    session.figures.add("small", what, "CPU us/record, all brokers", target, cpu * 1e6 / report["records"], "<= 0.2x Kafka")
    session.figures.add("small", what, "p50 ms", target, report["p50_us"] / 1e3, "<= 0.5x Kafka")
    session.figures.add("small", what, "p99 ms", target, report["p99_us"] / 1e3)
    session.figures.add("small", what, "records/s", target, report["records_per_s"])


# -- many partitions --------------------------------------------------------------------------------------------

def store_counts(cluster):
    """(appends, bytes) that the metadata has cost so far, as the controllers count them."""
    found = [0.0, 0.0]
    for node in cluster.nodes:
        if not node.alive:
            continue
        for name, value in node.metrics(30).items():
            if re.match(r"ringlog_.*(metadata|store|meta_log).*appends_total", name):
                found[0] += value
            elif re.match(r"ringlog_.*(metadata|store|meta_log).*append.*bytes_total", name):
                found[1] += value
    return found


def partitions(session, target, cluster):
    count = 300 if session.options.quick else 10_000
    name = f"{count:,} partitions on three brokers"

    def led(topic, nodes, isr):
        for node in nodes:
            seen = cluster.metadata(topic, of=node, timeout=30).partitions
            alive = {one.id for one in nodes}
            if len(seen) != count or any(found.leader not in alive or len(found.isr) != isr for found in seen.values()):
                return False
        return True

    before = store_counts(cluster) if target != "kafka" else None
    began = time.monotonic()
    with Wire(cluster[1].address, timeout=600) as wire:
        rest = wire.call(CREATE_TOPICS, 2, create_topic_body("many", count, 3))
        error = int.from_bytes(rest[4 + 4 + 2 + 4:][:2], "big", signed=True)
        assert error in (0, 7), f"CreateTopics: error {error}"  # 7: not within its timeout; it goes on
    wait_until(lambda: led("many", cluster.nodes, 3), "all partitions to be led and in sync", 900)
    session.figures.add("partitions", f"create {name}, until every broker says all are led and in sync", "s", target,
                        time.monotonic() - began, "< 10")
    if before is not None:
        after = store_counts(cluster)
        session.figures.add("partitions", f"create {name}", "store appends", target, after[0] - before[0])
        session.figures.add("partitions", f"create {name}", "bytes to the store", target, after[1] - before[1])
    victim = next(number for number in cluster.others(cluster.controller()))
    rest = [node for node in cluster.nodes if node.id != victim]
    time.sleep(SETTLE_S)
    before = sum_of(rest, store_counts, cluster) if target != "kafka" else None
    cluster.kill(victim)
    began = time.monotonic()
    wait_until(lambda: led("many", rest, 2), "all partitions to be led by the others", 300)
    session.figures.add("partitions", f"a broker of {name} dies, until all are led by the others", "s", target, time.monotonic() - began)
    if before is not None:
        after = sum_of(rest, store_counts, cluster)
        session.figures.add("partitions", f"a broker of {name} dies", "store appends", target, after[0] - before[0])


def sum_of(nodes, count, cluster):
    """Counts of these brokers only: one that dies takes its own along."""
    all_nodes, cluster.nodes = cluster.nodes, nodes
    try:
        return count(cluster)
    finally:
        cluster.nodes = all_nodes


MEASURES = {"gaps": gaps, "bandwidth": bandwidth, "small": small, "partitions": partitions}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("rows", nargs="*", default=[])
    options.add_argument("--rounds", type=int)
    options.add_argument("--target", default=",".join(TARGETS))
    options.add_argument("--quick", action="store_true")
    options.add_argument("--write", action="store_true")
    options = options.parse_args()
    options.targets = options.target.split(",")
    options.rows = options.rows or ROWS
    for word in [*(row for row in options.rows if row not in ROWS), *(one for one in options.targets if one not in TARGETS)]:
        print(f"{word}: rows are {', '.join(ROWS)}; targets {', '.join(TARGETS)}")
        return 2
    if options.write and options.quick:
        print("--quick figures are no figures: not with --write")
        return 2
    options.rounds = options.rounds or (1 if options.quick else 3)
    return Session(options).run()


if __name__ == "__main__":
    sys.exit(main())
