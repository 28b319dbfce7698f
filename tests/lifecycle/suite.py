"""Starting, stopping, refusing, coming back: what an operator relies on."""

import json
import re
import subprocess
import time

from broker import free_port
from suite import PATIENCE_SECONDS, TARGET, Skip, command, wait_until


def kcat(broker, *arguments, **more):
    return command(["kcat", "-b", broker.bootstrap, *arguments], **more)


def produce(broker, topic, count, prefix):
    kcat(broker, "-P", "-t", topic, input="".join(f"{prefix}{i}\n" for i in range(count)).encode())


def consume(broker, topic):
    return kcat(broker, "-C", "-t", topic, "-e", "-q")[1].splitlines()


def consume_as_group(broker, topic, group, count):
    """What the next member of this group reads, up to `count` records."""
    member = subprocess.Popen(["kcat", "-b", broker.bootstrap, "-q", "-c", str(count), "-X", "auto.offset.reset=earliest", "-G", group, topic],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = member.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        member.kill()
        out, err = member.communicate()
        raise AssertionError(f"group {group} got {len(out.splitlines())} of {count} records: {err.decode()[-300:]}") from None
    return out.decode().splitlines()


def run(t):
    broker = t.broker()
    t.note(f"ready after {broker.ready_seconds * 1000:.0f} ms")

    with t.case("the ready line, /health and /ready"):
        if TARGET == "kafka":
            raise Skip("ringlog's own")
        ready = [line for line in broker.output().splitlines() if "ready" in line]
        assert len(ready) == 1, broker.output()
        for path in ["/health", "/ready"]:
            status, _ = broker.http(path)
            assert status == 200, (path, status)

    with t.case("SIGTERM ends it cleanly, and everything is there after the restart"):
        produce(broker, "kept", 500, "line ")
        assert consume_as_group(broker, "kept", "kept-group", 200) == [f"line {i}" for i in range(200)]
        cluster = json.loads(kcat(broker, "-L", "-J")[1])
        code = broker.stop()
        assert code == (143 if TARGET == "kafka" else 0), f"exit code {code}:\n{broker.tail()}"
        broker.start()
        t.note(f"ready again after {broker.ready_seconds * 1000:.0f} ms")
        assert consume(broker, "kept") == [f"line {i}" for i in range(500)]
        assert consume_as_group(broker, "kept", "kept-group", 300) == [f"line {i}" for i in range(200, 500)], "the group did not resume"
        again = json.loads(kcat(broker, "-L", "-J")[1])
        for view in [cluster, again]:
            view["topics"] = {topic["topic"]: len(topic["partitions"]) for topic in view["topics"] if topic["topic"] != "__consumer_offsets"}
            view.pop("originating_broker", None)
            view.pop("query", None)
        assert again == cluster, (again, cluster)

    with t.case("kill -9, and everything is there after the restart"):
        produce(broker, "killed", 500, "line ")
        broker.kill()
        broker.start()
        assert consume(broker, "killed") == [f"line {i}" for i in range(500)]
        assert len(consume(broker, "kept")) == 500
        produce(broker, "killed", 10, "after ")
        assert consume(broker, "killed")[500:] == [f"after {i}" for i in range(10)]

    with t.case("SIGTERM with clients at work"):
        producer = subprocess.Popen(["kcat", "-b", broker.bootstrap, "-P", "-t", "busy", "-X", "queue.buffering.max.ms=1"],
                                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        reader = subprocess.Popen(["kcat", "-b", broker.bootstrap, "-C", "-t", "kept", "-o", "end"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for number in range(200):
                producer.stdin.write(f"busy {number}\n".encode())
                producer.stdin.flush()
                time.sleep(0.005)
            began = time.monotonic()
            code = broker.stop()
            assert code == (143 if TARGET == "kafka" else 0), f"exit code {code}"
            t.note(f"stopped in {(time.monotonic() - began) * 1000:.0f} ms")
        finally:
            for process in [producer, reader]:
                process.kill()
                process.wait()
        broker.start()

    with t.case("a second start on the same data directory is refused with a clear message"):
        if TARGET == "kafka":
            raise Skip("ringlog's own message")
        second = subprocess.run(broker.ringlog_command(port=free_port(), admin_port=free_port()), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS)
        said = second.stdout.decode()
        assert second.returncode != 0, said
        assert str(broker.data_dir) in said and "panicked" not in said, said
        assert re.search(r"lock|use|another|already", said, re.I), said
        assert consume(broker, "kept"), "the first one was disturbed"

    with t.case("a port that is taken is refused with a clear message"):
        if TARGET == "kafka":
            raise Skip("ringlog's own message")
        second = subprocess.run(broker.ringlog_command(data_dir=broker.home / "other", admin_port=free_port()), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS)
        said = second.stdout.decode()
        assert second.returncode != 0 and str(broker.port) in said and "panicked" not in said, said

    with t.case("a bad value for a property is refused with a clear message"):
        if TARGET == "kafka":
            raise Skip("ringlog's own message")
        second = subprocess.run([*broker.ringlog_command(data_dir=broker.home / "other", port=free_port(), admin_port=free_port()),
                                 "--set", "num.partitions=many"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS)
        said = second.stdout.decode()
        assert second.returncode != 0 and "num.partitions" in said and "panicked" not in said, said

    with t.case("/metrics in Prometheus' format names topics, requests, connections and lag"):
        if TARGET == "kafka":
            raise Skip("ringlog's own")
        _, text = broker.http("/metrics")
        for line in text.splitlines():
            assert not line or line.startswith("#") or re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? \S+", line), line
        for word in ["topic=\"kept\"", "Produce", "Fetch", "connections", "partitions", "_bucket", "lag"]:
            assert word in text, f"{word} is not in /metrics; there are: {sorted({line.split('{')[0].split()[0] for line in text.splitlines() if line and line[0] != '#'})}"

    with t.case("a server.properties file"):
        if TARGET == "kafka":
            raise Skip("Kafka reads its own")
        properties = broker.home / "test.properties"
        properties.write_text(f"# as Kafka's\nlisteners=PLAINTEXT://127.0.0.1:{free_port()}\nlog.dirs={broker.home}/configured\n"
                              "num.partitions=3\nno.such.property=1\n")
        listener = re.search(r"127.0.0.1:\d+", properties.read_text()).group()
        process = subprocess.Popen([broker.ringlog_command()[0], "serve", "--config", str(properties), "--admin", f"127.0.0.1:{free_port()}"],
                                   stdin=subprocess.DEVNULL, stdout=open(broker.home / "configured.txt", "wb"), stderr=subprocess.STDOUT)
        try:
            said = broker.home / "configured.txt"
            wait_until(lambda: "ready" in said.read_text() or process.poll() is not None, "it to be ready")
            assert process.poll() is None, said.read_text()
            command(["kcat", "-b", listener, "-P", "-t", "made"], input=b"x\n")
            made = json.loads(command(["kcat", "-b", listener, "-L", "-J", "-t", "made"])[1])
            assert len(made["topics"][0]["partitions"]) == 3, made
            assert "no.such.property" in said.read_text(), "an unknown property is not warned about"
            assert list((broker.home / "configured").glob("made-*")), "log.dirs was not used"
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)

    with t.case("the epoll filling: produce, consume, group, restart"):
        epoll = t.broker({"ringlog.io.backend": "epoll"})
        if TARGET != "kafka":
            assert "epoll" in epoll.output(), epoll.output()
        produce(epoll, "plain", 1000, "line ")
        assert consume(epoll, "plain") == [f"line {i}" for i in range(1000)]
        assert consume_as_group(epoll, "plain", "plain-group", 600) == [f"line {i}" for i in range(600)]
        epoll.restart()
        assert consume(epoll, "plain") == [f"line {i}" for i in range(1000)]
        assert consume_as_group(epoll, "plain", "plain-group", 400) == [f"line {i}" for i in range(600, 1000)]
        epoll.kill()
        epoll.start()
        assert len(consume(epoll, "plain")) == 1000
