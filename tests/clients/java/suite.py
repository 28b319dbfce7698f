"""Java: kafka-clients 4.3 and 4.4 (idempotent producer, consumer, Admin), and the console tools of Kafka 4.3."""

import re

from broker import java
from suite import TARGET, command, wait_until

CASES = ["admin: create and describe topics", "produce and consume", "group: join and leave", "commit and resume",
         "seek by time", "errors: non-empty group", "admin: delete topics"]


def run(t):
    for version in ["4.4.0"] if t.pace == "quick" else ["4.4.0", "4.3.1"]:
        broker = t.broker()
        t.program(java(f"classes+clients-{version}", "Program", broker.bootstrap), label=f"{version}:", expect=CASES)
        if version == "4.4.0":
            console_tools(t, broker)
        broker.remove()


def tool(name, *arguments, **more):
    return command(java("tools-4.3.1", f"org.apache.kafka.tools.{name}", *arguments), **more)


def console_tools(t, broker):
    at = ["--bootstrap-server", broker.bootstrap]

    with t.case("TopicCommand: create, list, describe, alter"):
        _, out, _ = tool("TopicCommand", *at, "--create", "--topic", "tool-topic", "--partitions", "2", "--config", "retention.ms=3600000")
        assert "Created topic tool-topic" in out, out
        _, out, _ = tool("TopicCommand", *at, "--list")
        assert "tool-topic" in out.split(), out
        tool("TopicCommand", *at, "--alter", "--topic", "tool-topic", "--partitions", "3")
        _, out, _ = tool("TopicCommand", *at, "--describe", "--topic", "tool-topic")
        assert "PartitionCount: 3" in out and "ReplicationFactor: 1" in out and "retention.ms=3600000" in out, out
        assert out.count("Partition: ") == 3 and "Leader: none" not in out, out
        code, out, err = tool("TopicCommand", *at, "--describe", "--topic", "tool-absent", check=False)
        assert code != 0 and "does not exist" in out + err, out + err

    with t.case("ConfigCommand: alter and describe"):
        entity = ["--entity-type", "topics", "--entity-name", "tool-topic"]
        _, out, _ = command(java("tools-4.3.1", "kafka.admin.ConfigCommand", *at, *entity, "--alter", "--add-config", "max.message.bytes=65536"))
        assert "Completed updating config" in out, out
        _, out, _ = command(java("tools-4.3.1", "kafka.admin.ConfigCommand", *at, *entity, "--describe"))
        assert "max.message.bytes=65536" in out and "retention.ms=3600000" in out, out
        command(java("tools-4.3.1", "kafka.admin.ConfigCommand", *at, *entity, "--alter", "--delete-config", "max.message.bytes"))
        _, out, _ = command(java("tools-4.3.1", "kafka.admin.ConfigCommand", *at, *entity, "--describe"))
        assert "max.message.bytes=65536" not in out, out
        _, out, _ = command(java("tools-4.3.1", "kafka.admin.ConfigCommand", *at, "--entity-type", "brokers", "--entity-default", "--describe"))
        assert "Default configs for brokers" in out, out

    with t.case("console producer and consumer"):
        tool("ConsoleProducer", *at, "--topic", "tool-topic", input=b"".join(f"line {i}\n".encode() for i in range(100)))
        _, out, _ = tool("consumer.ConsoleConsumer", *at, "--topic", "tool-topic", "--from-beginning", "--group", "tool-group",
                         "--max-messages", "100", "--timeout-ms", "30000")
        assert sorted(out.split("\n")[:100]) == sorted(f"line {i}" for i in range(100)), out[-300:]

    with t.case("GetOffsetShell"):
        def total(time):
            _, out, _ = tool("GetOffsetShell", *at, "--topic", "tool-topic", "--time", time)
            lines = out.split()
            assert len(lines) == 3 and all(re.fullmatch(r"tool-topic:[012]:\d+", line) for line in lines), out
            return sum(int(line.rsplit(":", 1)[1]) for line in lines)

        assert total("latest") == 100 and total("earliest") == 0

    with t.case("ConsumerGroupCommand: list, describe, reset, delete"):
        _, out, _ = tool("consumer.group.ConsumerGroupCommand", *at, "--list")
        assert "tool-group" in out.split(), out
        _, out, _ = tool("consumer.group.ConsumerGroupCommand", *at, "--describe", "--group", "tool-group")
        rows = [line.split() for line in out.splitlines() if line.startswith("tool-group")]
        assert len(rows) == 3 and sum(int(row[3]) for row in rows) == 100 and all(row[5] == "0" for row in rows), out
        _, out, _ = tool("consumer.group.ConsumerGroupCommand", *at, "--describe", "--group", "tool-group", "--state")
        assert "Empty" in out, out
        tool("consumer.group.ConsumerGroupCommand", *at, "--reset-offsets", "--group", "tool-group", "--topic", "tool-topic",
             "--to-earliest", "--execute")
        _, out, _ = tool("consumer.group.ConsumerGroupCommand", *at, "--describe", "--group", "tool-group")
        assert sum(int(line.split()[3]) for line in out.splitlines() if line.startswith("tool-group")) == 0, out
        _, out, _ = tool("consumer.group.ConsumerGroupCommand", *at, "--delete", "--group", "tool-group")
        assert "successful" in out, out

    with t.case("TopicCommand: delete"):
        tool("TopicCommand", *at, "--delete", "--topic", "tool-topic")
        wait_until(lambda: "tool-topic" not in tool("TopicCommand", *at, "--list")[1].split(), "the topic to be gone")

    with t.case("LogDirsCommand and BrokerApiVersionsCommand"):
        _, out, _ = tool("LogDirsCommand", *at, "--describe")
        assert '"partition":"java-data-0"' in out and '"error":null' in out, out[-400:]
        _, out, _ = tool("BrokerApiVersionsCommand", *at)
        assert "Produce(0): 0 to" in out and "Metadata(3): 0 to" in out, out[:400]

    with t.case("DumpLogSegments reads segments, indexes and the offsets topic"):
        broker.stop()  # flushed and closed, as after any clean end
        segments = sorted(broker.data_dir.glob("java-time-0/*.log"))
        assert segments, f"no segments under {sorted(path.name for path in broker.data_dir.iterdir())}"
        _, out, _ = tool("DumpLogSegments", "--deep-iteration", "--print-data-log", "--files", ",".join(map(str, segments)))
        offsets = [int(found) for found in re.findall(r"^\|? ?offset: (\d+)", out, re.M)]
        assert offsets == list(range(500)), f"{len(offsets)} records; {out[:500]}"
        assert "isvalid: false" not in out and "payload: 499" in out, out[-500:]
        # 18 MB in batches of 900 kB: every batch has its index entries
        large = sorted(broker.data_dir.glob("java-large-0/*.log"))
        for kind in ["index", "timeindex"]:
            files = ",".join(str(path.with_suffix(f".{kind}")) for path in large)
            _, out, err = tool("DumpLogSegments", "--files", files, "--index-sanity-check")
            assert "passed sanity check" in out, out + err
            _, out, err = tool("DumpLogSegments", "--files", files)
            assert "mismatch" not in out.lower() and "not in log" not in out.lower(), out + err
        used = [path for path in broker.data_dir.glob("__consumer_offsets-*/*.log") if path.stat().st_size]
        assert used, "nothing in __consumer_offsets"
        _, out, _ = tool("DumpLogSegments", "--offsets-decoder", "--print-data-log", "--files", ",".join(map(str, used)))
        assert re.search(r'"group":"java-resume-group","topic":"java-resume","partition":0', out), out[:800]
        assert '"protocolType":"consumer"' in out or "protocolType" in out, out[:800]
        metadata = sorted(broker.data_dir.glob("__cluster_metadata-0/*.log"))
        assert metadata, "no __cluster_metadata-0 log"
        _, out, _ = tool("DumpLogSegments", "--cluster-metadata-decoder", "--files", ",".join(map(str, metadata)))
        assert '"TOPIC_RECORD"' in out and '"java-time"' in out, out[:800]
        assert TARGET == "kafka" or "Unexpected" not in out, out[:800]
