"""A data directory changes hands: Apache Kafka writes it, ringlog serves it in place, Kafka takes it back.

What has to be there is what Kafka itself showed before it was stopped (program.py). Needs Kafka's jars, which
`cargo xtask test` installs for the console tools.
"""

import re
import shutil

import wire
from broker import CACHE, TARGET, Broker, StartFailed, java
from suite import command, wait_until

PYTHON = CACHE / "python/bin/python"
TOOLS = "tools-4.3.1"
FILLED = ["fill topics", "fill removed", "fill transactions", "fill groups", "fill cluster", "what was written is seen"]
COMPARED = [f"{kind} are what they were" for kind in ["topics", "groups", "offsets", "uncommitted", "committed"]]
WENT_ON = ["new records in old partitions, new partitions and new topics", "groups resume where they were", "what was written is seen"]

IDEMPOTENT = "__idempotent"  # program.py looks at no topic that begins so

# ACLs can only be written where there is an authorizer
KAFKA = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS",
         "allow.everyone.if.no.acl.found": "true", "log.cleaner.backoff.ms": "500"}


def run(t):
    if TARGET == "kafka":
        t.note("nothing to do: this suite is about two brokers")
        return
    refusals(t)
    there_and_back(t)
    if t.pace == "quick":
        return
    after_a_kill(t)
    dynamic_quorum(t)
    formatted_only(t)
    several_brokers(t)


class Hands:
    """A data directory and its two brokers, of which one runs at a time."""

    def __init__(self, t, name, kafka_settings=None, ringlog_settings=None):
        self.t, self.state = t, None
        self.kafka = Broker(kafka_settings or {}, name=f"{name}-kafka", target="kafka")
        self.ringlog = Broker(ringlog_settings or {}, name=f"{name}-ringlog", target="ringlog")
        self.ringlog.data_dir = self.kafka.data_dir
        self.ringlog.port = self.kafka.port  # clients that live on find the other one where the first was
        t.keep(self.kafka, self.ringlog)
        self.state = self.kafka.home / "state.json"

    def program(self, mode, label, expect):
        self.t.program([PYTHON, "-X", "faulthandler", "program.py", self.kafka.bootstrap, mode, self.state], label=label, expect=expect)

    def remove(self):
        self.ringlog.remove()
        self.kafka.remove()


def there_and_back(t):
    hands = Hands(t, "back", KAFKA)
    kafka, ringlog = hands.kafka.start(), hands.ringlog
    hands.program("fill", "Kafka:", FILLED)
    with t.case("Kafka: a configured client quota and a default of all brokers"):
        for entity in [["--entity-type", "users", "--entity-name", "alice", "--alter", "--add-config", "producer_byte_rate=1048576"],
                       ["--entity-type", "brokers", "--entity-default", "--alter", "--add-config", "log.retention.ms=700000000"]]:
            command(java(TOOLS, "kafka.admin.ConfigCommand", "--bootstrap-server", kafka.bootstrap, *entity))
    idempotent = idempotent_batch(t, kafka)
    kafka.stop()
    put_beside(kafka.data_dir)
    with t.case("Kafka's own server.properties: an authorizer is refused, not left out"):
        code, out, err = command([*ringlog.ringlog_command()[:2], "--config", kafka.home / "server.properties"], check=False)
        assert code != 0 and "authorizer.class.name" in err, out + err

    with t.case("ringlog serves the directory of a cleanly stopped Kafka"):
        ringlog.start()
        said = ringlog.output()
        assert "adopting" in said and "clean=true" in said, said[-2000:]
        assert "recovered" not in said, "a clean directory was checked as if it were not"
        for kind in ["access control entries", "SCRAM credentials", "client quotas"]:
            assert f"{kind} are kept" in said, f"nothing is said about {kind}"
    hands.program("compare", "adopted:", COMPARED)
    still_idempotent(t, ringlog, idempotent)
    hands.program("go-on", "adopted, gone on:", WENT_ON)

    with t.case("kill -9, restart"):
        ringlog.kill()
        ringlog.start()
    hands.program("compare", "after the kill:", COMPARED)
    with t.case("SIGTERM, restart, SIGTERM"):
        assert ringlog.stop() == 0
        ringlog.start()
        assert ringlog.stop() == 0
        for name in [STRAY, FUTURE]:
            assert (ringlog.data_dir / name).exists(), f"{name} is the operator's"
        assert not (ringlog.data_dir / DELETED).exists(), "a deletion was not finished"
        shutil.rmtree(ringlog.data_dir / FUTURE)  # Kafka has them in a second log directory only
    dump(t, ringlog.data_dir)

    with t.case("Kafka takes it back"):
        kafka.start()
        t.note(f"Kafka was ready again after {kafka.ready_seconds:.1f} s")
    hands.program("compare", "back in Kafka:", COMPARED)
    with t.case("back in Kafka: what ringlog only kept is there"):
        at = ["--bootstrap-server", kafka.bootstrap, "--describe"]
        _, out, _ = command(java(TOOLS, "kafka.admin.ConfigCommand", *at, "--entity-type", "users", "--entity-name", "alice"))
        assert "producer_byte_rate=1048576" in out and "SCRAM-SHA-256" in out, out
        _, out, _ = command(java(TOOLS, "kafka.admin.ConfigCommand", *at, "--entity-type", "brokers", "--entity-default"))
        assert "log.retention.ms=700000000" in out, out
        _, out, _ = command(java(TOOLS, "org.apache.kafka.tools.AclCommand", "--bootstrap-server", kafka.bootstrap, "--list"))
        assert "User:alice" in out and "READ" in out, out
    still_idempotent(t, kafka, idempotent)
    hands.program("go-on", "back in Kafka, gone on:", WENT_ON)

    with t.case("and ringlog adopts it a second time"):
        kafka.stop()
        ringlog.start()
    hands.program("compare", "adopted again:", COMPARED)
    hands.remove()


# -- idempotent producers ---------------------------------------------------------------------------------------------

def numbered(sequence, count=5):
    """One batch of an idempotent producer."""
    records = [wire.record(b"idempotent %d" % (sequence + i), offset_delta=i) for i in range(count)]
    return wire.batch(records, producer_id=7_000_001, producer_epoch=2, base_sequence=sequence)


def idempotent_batch(t, kafka):
    """The last batch of a producer; its offset."""
    with wire.Wire(kafka.address) as connection:
        assert connection.create_topic(IDEMPOTENT) == 0
        # Kafka's broker may hear of the topic after its controller has answered; nothing is appended before
        wait_until(lambda: connection.produce(IDEMPOTENT, 0, numbered(0))[0] == 0, "the topic")
        error, first = connection.produce(IDEMPOTENT, 0, numbered(0))
        assert error == 0, error
        batch = numbered(5)
        error, offset = connection.produce(IDEMPOTENT, 0, batch)
        assert (error, offset) == (0, first + 5), (error, offset)
    return batch, offset, 10


def still_idempotent(t, broker, idempotent):
    batch, offset, following = idempotent
    with t.case("an idempotent producer's retry, sent to the next broker, is a duplicate, and a gap is refused"):
        with wire.Wire(broker.address) as connection:
            error, found = connection.produce(IDEMPOTENT, 0, batch)
            assert (error, found) == (0, offset), f"error {error}, offset {found}; it was written at {offset}"
            error, _ = connection.produce(IDEMPOTENT, 0, numbered(following + 100))
            assert error == wire.OUT_OF_ORDER_SEQUENCE, error


# -- what lies about --------------------------------------------------------------------------------------------------

STRAY = "stray-0.6e6ac5b2b2f84f1e8dbe1c9b6a8a2b3c-stray"
FUTURE = "codec-none-0.6e6ac5b2b2f84f1e8dbe1c9b6a8a2b3d-future"
DELETED = "gone-0.6e6ac5b2b2f84f1e8dbe1c9b6a8a2b3e-delete"


def put_beside(data_dir):
    """Directories that Kafka leaves: put aside, half-moved, on their way out."""
    for name in [STRAY, FUTURE, DELETED]:
        shutil.copytree(data_dir / "codec-none-2", data_dir / name)


def dump(t, data_dir):
    def dumped(*arguments):
        return command(java(TOOLS, "org.apache.kafka.tools.DumpLogSegments", *arguments), check=False)

    def files(pattern):
        found = sorted(path for path in data_dir.glob(pattern) if path.stat().st_size)
        assert found, f"no {pattern}"
        return ",".join(map(str, found))

    with t.case("DumpLogSegments reads segments, indexes and producer snapshots"):
        _, out, err = dumped("--deep-iteration", "--files", files("codec-*/*.log"))
        assert out.count("isvalid: true") > 15 and "isvalid: false" not in out, (out + err)[-800:]
        for pattern in ["*/*.index", "*/*.timeindex"]:
            _, out, err = dumped("--files", files(pattern), "--index-sanity-check")
            assert "passed sanity check" in out and "xception" not in out + err, (out + err)[-800:]
            _, out, err = dumped("--files", files(pattern))
            assert not re.search("mismatch|not in log|xception", out + err, re.I), (out + err)[-800:]
        _, out, err = dumped("--files", files(f"{IDEMPOTENT}-0/*.snapshot"))
        assert "producerId: 7000001 producerEpoch: 2" in out and "lastSequence: 9" in out, (out + err)[-800:]

    with t.case("DumpLogSegments reads __consumer_offsets and __cluster_metadata with their decoders"):
        _, out, err = dumped("--offsets-decoder", "--print-data-log", "--files", files("__consumer_offsets-*/*.log"))
        assert '"group":"went-on"' in out and '"group":"committed"' in out and "isvalid: false" not in out, (out + err)[-800:]
        _, out, err = dumped("--cluster-metadata-decoder", "--files", files("__cluster_metadata-0/*.log"))
        assert '"made-later-' in out and '"codec-none"' in out, (out + err)[-800:]
        assert "xception" not in out + err and "isvalid: false" not in out, (out + err)[-800:]
        starts = re.findall(r"LeaderChange: .*", out)
        assert len(starts) >= 4, f"Kafka's own epoch and one for each of ringlog's starts: {starts}"


# -- Kafka was killed -------------------------------------------------------------------------------------------------

def after_a_kill(t):
    """Indexes are 10 MiB of zeros behind their entries, there are no producer snapshots, checkpoints are old."""
    hands = Hands(t, "killed", {**KAFKA, "num.partitions": "2"})
    kafka, ringlog = hands.kafka.start(), hands.ringlog
    hands.program("fill", "Kafka, to be killed:", FILLED)
    idempotent = idempotent_batch(t, kafka)
    kafka.kill()
    with t.case("ringlog recovers the directory of a killed Kafka"):
        sizes = {path.stat().st_size for path in kafka.data_dir.glob("codec-*/*.index")}
        assert 10 << 20 in sizes, f"index files are {sizes}: not what this case is about"
        ringlog.start()
        assert "clean=false" in ringlog.output() and "truncation: Some" not in ringlog.output(), ringlog.tail()
    hands.program("compare", "adopted after a kill:", COMPARED)
    still_idempotent(t, ringlog, idempotent)
    hands.program("go-on", "adopted after a kill, gone on:", WENT_ON)
    with t.case("Kafka takes back what a killed ringlog leaves"):
        ringlog.kill()
        kafka.start()
    hands.program("compare", "back in Kafka after two kills:", COMPARED)
    hands.remove()


# -- how Kafka can be set up ------------------------------------------------------------------------------------------

def dynamic_quorum(t):
    """`kafka-storage format --standalone`: the voters are in the log (KIP-853), and ringlog's snapshots must repeat them."""
    between_snapshots = {"metadata.log.max.record.bytes.between.snapshots": "2000"}
    hands = Hands(t, "dynamic", between_snapshots, between_snapshots)
    kafka, ringlog = hands.kafka, hands.ringlog
    kafka.dynamic_quorum = True
    with t.case("a dynamic quorum: Kafka, ringlog with snapshots of its own, Kafka"):
        kafka.start()
        for number in range(12):
            with wire.Wire(kafka.address) as connection:
                assert connection.create_topic(f"by-kafka-{number}", 3) == 0
        kafka.stop()
        for turn in range(2):
            ringlog.start()
            for number in range(12):
                with wire.Wire(ringlog.address) as connection:
                    assert connection.create_topic(f"by-ringlog-{turn}-{number}", 3) == 0
            assert ringlog.stop() == 0, ringlog.tail()
        made = sorted((kafka.data_dir / "__cluster_metadata-0").glob("*.checkpoint"))
        _, out, _ = command(java(TOOLS, "org.apache.kafka.tools.DumpLogSegments", "--cluster-metadata-decoder", "--files", made[-1]))
        assert "by-ringlog-0-0" in out and "KRaftVersion" in out and "KRaftVoters" in out, out[:1500]
        kafka.start()
        topics = command(["kcat", "-b", kafka.bootstrap, "-L"])[1]
        for name in ["by-kafka-0", "by-kafka-11", "by-ringlog-0-0", "by-ringlog-1-11"]:
            assert f'"{name}" with 3 partitions' in topics, f"{name} is missing: {topics[:600]}"
    hands.remove()


def formatted_only(t):
    """A directory that `kafka-storage format` made and no Kafka has served."""
    hands = Hands(t, "formatted")
    kafka, ringlog = hands.kafka, hands.ringlog
    with t.case("a directory that was only formatted begins with what it was formatted with"):
        kafka.format("--add-scram", "SCRAM-SHA-256=[name=bob,password=secret]")
        ringlog.start()
        assert "SCRAM credentials are kept" in ringlog.output(), ringlog.output()
        command(["kcat", "-b", ringlog.bootstrap, "-P", "-t", "first"], input=b"x\n")
        assert ringlog.stop() == 0
        kafka.start()
        assert command(["kcat", "-b", kafka.bootstrap, "-C", "-t", "first", "-e", "-q"])[1] == "x\n"
        _, out, _ = command(java(TOOLS, "kafka.admin.ConfigCommand", "--bootstrap-server", kafka.bootstrap, "--describe",
                                 "--entity-type", "users", "--entity-name", "bob"))
        assert "SCRAM-SHA-256" in out, out
    hands.remove()


def several_brokers(t):
    hands = Hands(t, "several")
    kafka, ringlog = hands.kafka, hands.ringlog
    second = Broker({"process.roles": "broker", "node.id": "2", "controller.quorum.voters": f"1@127.0.0.1:{kafka.controller_port}"},
                    name="second-kafka", target="kafka")
    second.settings["listeners"] = f"PLAINTEXT://127.0.0.1:{second.port}"
    t.keep(second)
    with t.case("the directories of a cluster of two are refused, and left to Kafka"):
        kafka.start()
        second.start()
        for topic, replicas in [("own", "1"), ("shared", "1:2,2:1")]:
            command(java(TOOLS, "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", kafka.bootstrap, "--create",
                         "--topic", topic, "--replica-assignment", replicas))
        second.stop()
        kafka.stop()
        said = refused(ringlog)
        assert re.search(r"2 of \d+ partitions have replicas on other brokers than 1, the first is shared-0 on 1, 2", said), said
        ringlog.data_dir = second.data_dir
        said = refused(ringlog)
        assert "its controllers are 1, and this is node 2" in said, said
        for directory in [kafka.data_dir, second.data_dir]:
            assert (directory / ".kafka_cleanshutdown").exists(), "the refusal has left the directory unclean"
        kafka.start()
    hands.remove()
    second.remove()


# -- refusals ---------------------------------------------------------------------------------------------------------

def refused(ringlog):
    """What ringlog says while it does not start."""
    try:
        ringlog.start()
    except StartFailed as said:
        assert "panicked" not in str(said), said
        return str(said)
    raise AssertionError("it was served")


def refusals(t):
    ringlog = Broker({}, name="refusing", target="ringlog")
    t.keep(ringlog)
    directory = ringlog.data_dir

    def begin(meta):
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "orders-0").mkdir(parents=True)
        (directory / "orders-0/partition.metadata").write_text("version: 0\ntopic_id: 4L6g3nShT-eMCtK--X86sw\n")
        if meta:
            (directory / "meta.properties").write_text(meta)

    with t.case("the directory of a Kafka with ZooKeeper is refused by name"):
        begin("version=0\nbroker.id=3\ncluster.id=4L6g3nShT-eMCtK--X86sw\n")
        said = refused(ringlog)
        assert "ZooKeeper" in said and "KRaft" in said and str(directory) in said, said

    with t.case("partitions without meta.properties, and partitions without a metadata log"):
        begin(None)
        said = refused(ringlog)
        assert "no meta.properties" in said and "orders-0" in said, said
        begin("version=1\nnode.id=3\ncluster.id=4L6g3nShT-eMCtK--X86sw\n")
        said = refused(ringlog)
        assert "no metadata log" in said and "orders-0" in said, said
        assert (directory / "orders-0").exists(), "the partition was put aside"

    with t.case("a node id that is configured otherwise"):
        begin("version=1\nnode.id=3\ncluster.id=4L6g3nShT-eMCtK--X86sw\n")
        shutil.rmtree(directory / "orders-0")
        ringlog.settings["node.id"] = "5"
        said = refused(ringlog)
        assert "node.id is 5" in said and "node 3" in said, said
        del ringlog.settings["node.id"]
        ringlog.start()
        assert "node 3 on" in ringlog.output(), "the node id of the directory was not taken"
        ringlog.stop()
    ringlog.remove()
