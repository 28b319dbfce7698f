"""The consensus stores that ringlog can use and does not bring itself: etcd and ZooKeeper, as Debian packs them.

A store of tests is one or three processes on one machine. They run outside of the brokers' namespaces, at `host`.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from broker import PATIENCE_SECONDS, free_port
from suite import wait_until

READY_SECONDS = PATIENCE_SECONDS
ZOOKEEPER_JAR = "/usr/share/java/zookeeper.jar"  # names what else it needs


class Member:
    """One process of a store."""

    def __init__(self, store, number):
        self.store, self.number = store, number
        self.home = store.home / f"member-{number}"
        self.home.mkdir(parents=True, exist_ok=True)
        self.client_port, self.peer_port, self.election_port = free_port(), free_port(), free_port()
        self.process = None

    def spawn(self):
        self.process = subprocess.Popen(self.store.command(self), stdin=subprocess.DEVNULL, cwd=self.home,
                                        stdout=open(self.home / "output.txt", "ab"), stderr=subprocess.STDOUT)

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.alive:
            self.process.kill()
            self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def tail(self, lines=25):
        path = self.home / "output.txt"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


class Store:
    """What etcd and ZooKeeper have in common here: members that start, stop, die and have a leader."""

    scheme = None

    def __init__(self, members=3, host="127.0.0.1"):
        self.host = host
        self.home = Path(tempfile.mkdtemp(prefix=f"ringlog-test-{self.scheme}-"))
        self.members = [Member(self, number) for number in range(1, members + 1)]

    @property
    def url(self):
        """For `--store`."""
        return f"{self.scheme}://" + ",".join(f"{self.host}:{member.client_port}" for member in self.members)

    @property
    def ports(self):
        return [member.client_port for member in self.members]

    def start(self):
        for member in self.members:
            if not member.alive:
                member.spawn()
        end = time.monotonic() + READY_SECONDS
        while self.leader() is None or not all(self.serves(member) for member in self.members):
            dead = [member for member in self.members if not member.alive]
            if dead or time.monotonic() > end:
                said = "\n".join(member.tail() for member in dead or self.members)
                raise AssertionError(f"{self.scheme} does not serve:\n{said}")
            time.sleep(0.05)
        return self

    def kill(self):
        for member in self.members:
            member.kill()

    def kill_leader(self):
        """kill -9; the member that was killed."""
        leader = wait_until(self.leader, f"a leader of {self.scheme}")  # or one that answers at this moment
        leader.kill()
        return leader

    def pause(self):
        for member in self.members:
            member.pause()

    def resume(self):
        for member in self.members:
            member.resume()

    def leader(self):
        return next((member for member in self.members if member.alive and self.leads(member)), None)

    def forget(self):
        """An empty store again; it must be down."""
        for member in self.members:
            assert not member.alive
            shutil.rmtree(member.home)
            member.home.mkdir()

    def save(self, folder):
        """A backup of a store that is down."""
        shutil.copytree(self.home, folder)

    def restore(self, folder):
        shutil.rmtree(self.home)
        shutil.copytree(folder, self.home)

    def remove(self):
        self.kill()
        if not os.environ.get("RINGLOG_TEST_KEEP"):
            shutil.rmtree(self.home, ignore_errors=True)


class Etcd(Store):
    scheme = "etcd"

    def command(self, member):
        def urls(port):
            return f"http://{self.host}:{port}"

        return ["etcd", "--name", f"m{member.number}", "--data-dir", member.home / "data",
                "--listen-client-urls", urls(member.client_port), "--advertise-client-urls", urls(member.client_port),
                "--listen-peer-urls", urls(member.peer_port), "--initial-advertise-peer-urls", urls(member.peer_port),
                "--initial-cluster", ",".join(f"m{one.number}={urls(one.peer_port)}" for one in self.members),
                "--initial-cluster-token", self.home.name,
                # what docs/OPERATIONS.md recommends for members that are near each other
                "--heartbeat-interval", "50", "--election-timeout", "500", "--log-level", "warn"]

    def _status(self, member):
        request = urllib.request.Request(f"http://{self.host}:{member.client_port}/v3/maintenance/status", data=b"{}")
        try:
            with urllib.request.urlopen(request, timeout=1) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return {}

    def serves(self, member):
        status = self._status(member)
        return status.get("leader", "0") != "0"

    def leads(self, member):
        status = self._status(member)
        return status.get("leader") is not None and status["leader"] == status["header"]["member_id"]

    def metric(self, name):
        """Sum over the members' own /metrics."""
        total = 0.0
        for member in self.members:
            with urllib.request.urlopen(f"http://{self.host}:{member.client_port}/metrics", timeout=5) as answer:
                for line in answer.read().decode().splitlines():
                    if line.startswith((name + " ", name + "{")):
                        total += float(line.rsplit(" ", 1)[1])
        return total


class ZooKeeper(Store):
    scheme = "zookeeper"

    def command(self, member):
        config = member.home / "zoo.cfg"
        lines = ["tickTime=500", "initLimit=20", "syncLimit=6", f"dataDir={member.home}/data", f"clientPort={member.client_port}",
                 f"clientPortAddress={self.host}", "admin.enableServer=false", "4lw.commands.whitelist=srvr,mntr", "maxClientCnxns=0"]
        if len(self.members) > 1:
            lines += [f"server.{one.number}={self.host}:{one.peer_port}:{one.election_port}" for one in self.members]
        (member.home / "data").mkdir(exist_ok=True)
        (member.home / "data" / "myid").write_text(f"{member.number}\n")
        config.write_text("\n".join(lines) + "\n")
        return ["java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", ZOOKEEPER_JAR, "org.apache.zookeeper.server.quorum.QuorumPeerMain", config]

    def _say(self, member, word):
        try:
            with socket.create_connection((self.host, member.client_port), timeout=1) as connection:
                connection.sendall(word)
                said = b""
                while part := connection.recv(65536):
                    said += part
                return said.decode(errors="replace")
        except OSError:
            return ""

    def serves(self, member):
        return "Mode: " in self._say(member, b"srvr")

    def leads(self, member):
        return any(f"Mode: {mode}" in self._say(member, b"srvr") for mode in ["leader", "standalone"])


def make(kind, members, host):
    return {"etcd": Etcd, "zookeeper": ZooKeeper}[kind](members, host)
