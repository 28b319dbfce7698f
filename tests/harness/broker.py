"""One broker process of a test: start, stop, kill, restart, look at its memory.

`RINGLOG_TEST_TARGET=kafka` starts Apache Kafka instead of ringlog. Every expectation of these suites was found
that way: a test that Kafka itself does not pass says nothing about compatibility.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("RINGLOG_TEST_CACHE", ROOT / ".cache"))
TARGET = os.environ.get("RINGLOG_TEST_TARGET", "ringlog")
RINGLOG = Path(os.environ.get("RINGLOG_TEST_BINARY", ROOT / "target/release/ringlog"))

# How long anything may take that must happen in the end. Not how long it takes: a machine that is shared may be several times slower
# than ours, and stand still for seconds.
PATIENCE_SECONDS = 150
READY_SECONDS = PATIENCE_SECONDS  # two cores starting JVMs; ringlog itself needs well below a second
STOP_SECONDS = PATIENCE_SECONDS

# Rebalances wait this long for further members; Kafka's 3 s default would only make every group test slower.
COMMON_SETTINGS = {"group.initial.rebalance.delay.ms": "300"}


handed_out = set()


def free_port():
    """A port nobody listens on, below the range that outgoing connections take theirs from: a client that tries to
    reach a broker that is down would otherwise, now and then, connect to itself and hold the port."""
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, lowest_outgoing)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in handed_out:  # whoever has it may be down at the moment
            handed_out.add(port)
            return port


def java(jars, *arguments, heap="512m"):
    """The command line of a JVM program whose jars lie in one folder of the cache. `+` joins several folders."""
    path = os.pathsep.join(f"{CACHE / 'java' / folder}/*" if folder != "classes" else f"{CACHE / 'java' / folder}"
                           for folder in jars.split("+"))
    # why these flags: short-lived JVMs on two cores spend their time in the optimising compiler otherwise
    return ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", path, *map(str, arguments)]


class StartFailed(Exception):
    """The process ended, or said nothing, before it was ready. Carries what it printed."""


class Broker:
    def __init__(self, settings=None, name="broker", target=None):
        self.name = name
        self.target = target or TARGET
        self.dynamic_quorum = False  # Kafka's: voters in the log (KIP-853) instead of in the properties
        self.settings = {**COMMON_SETTINGS, **(settings or {})}
        self.host = "127.0.0.1"
        self.home = Path(tempfile.mkdtemp(prefix=f"ringlog-test-{name}-"))
        self.data_dir = self.home / "data"
        self.output_path = self.home / "output.txt"
        self.port = free_port()
        self.admin_port = free_port()
        self.controller_port = free_port()
        self.process = None
        self.ready_seconds = None
        self.starts = 0
        self.removed = False

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self):
        self.spawn()
        return self.await_ready()

    def spawn(self):
        """Begins to start. Members of a cluster need each other before any of them is ready."""
        command = self._kafka_command() if self.target == "kafka" else self.ringlog_command()
        self.starts += 1
        self._seen = self.output_path.stat().st_size if self.output_path.exists() else 0
        self._began = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(self.output_path, "ab"),
                                        stderr=subprocess.STDOUT, cwd=self.home)
        return self

    def await_ready(self):
        marker = "Kafka Server started" if self.target == "kafka" else "ready"
        while time.monotonic() - self._began < READY_SECONDS:
            if self.process.poll() is not None:
                raise StartFailed(f"{self.name} ended with {self.process.returncode}:\n{self.tail(self._seen)}")
            if marker in self.output(self._seen):
                self.ready_seconds = time.monotonic() - self._began
                return self
            time.sleep(0.01)
        said = self.tail(self._seen)
        self.kill()
        raise StartFailed(f"{self.name} not ready after {READY_SECONDS} s:\n{said}")

    def ringlog_command(self, data_dir=None, port=None, admin_port=None):
        command = [str(RINGLOG), "serve", "--listen", f"127.0.0.1:{port or self.port}",
                   "--data-dir", str(data_dir or self.data_dir), "--admin", f"127.0.0.1:{admin_port or self.admin_port}"]
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        return command

    def _kafka_command(self):
        properties = self.home / "server.properties"
        if not properties.exists():
            self.format()
        command = java("tools-4.3.1", "kafka.Kafka", properties, heap="1g")
        return [argument.replace("LogLevel=warn", "LogLevel=info") for argument in command]

    def format(self, *arguments):
        """Writes Kafka's properties and lets kafka-storage make the directory. Once, by the first start, if not before."""
        properties = self.home / "server.properties"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers" if self.dynamic_quorum else "controller.quorum.voters":
                ("" if self.dynamic_quorum else "1@") + f"127.0.0.1:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.data_dir),
            # ringlog clamps the replication of internal topics to the live brokers, Kafka has to be told
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "offsets.topic.num.partitions": "5",
            **{key: value for key, value in self.settings.items() if not key.startswith("ringlog.")},
        }
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        if self.dynamic_quorum:
            arguments = ["--standalone", *arguments]
        subprocess.run(java("tools-4.3.1", "kafka.tools.StorageTool", "format", "-t", "cmluZ2xvZy10ZXN0LTAwMQ",
                            "-c", properties, *arguments), check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        """SIGTERM, and the exit code of the clean end."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} still runs {STOP_SECONDS} s after SIGTERM:\n{self.tail()}") from None

    def kill(self):
        """SIGKILL: what a power cut looks like to the clients (the page cache survives)."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def restart(self):
        self.stop()
        return self.start()

    def remove(self):
        self.removed = True
        self.kill()
        if os.environ.get("RINGLOG_TEST_KEEP"):
            print(f"# kept {self.home}", file=sys.stderr)
        else:
            shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.remove()

    # -- looking at it ------------------------------------------------------------------------------------------

    @property
    def address(self):
        return (self.host, self.port)

    @property
    def bootstrap(self):
        return f"{self.host}:{self.port}"

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def output(self, since=0):
        if not self.output_path.exists():
            return ""
        with open(self.output_path, "rb") as file:
            file.seek(since)
            return file.read().decode("utf-8", "replace")

    def tail(self, since=0, lines=25):
        return "\n".join(self.output(since).splitlines()[-lines:])

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def http(self, path, timeout=60):
        with urllib.request.urlopen(f"http://{self.host}:{self.admin_port}{path}", timeout=timeout) as answer:
            return answer.status, answer.read().decode()


class MemoryWatch:
    """Samples a broker's resident memory while a hostile client works. Use as a context; then look at `growth`."""

    def __init__(self, broker):
        self.broker = broker
        self.base = broker.rss_bytes()
        self.peak = self.base
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self):
        while not self._stop.wait(0.02):
            try:
                self.peak = max(self.peak, self.broker.rss_bytes())
            except OSError:
                return

    @property
    def growth(self):
        return self.peak - self.base

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
