"""A small network on this machine: a namespace for each broker, all on one bridge, and cuts between them.

A cut drops packets silently where they arrive, as a broken switch does: nobody is told, connections stay open. The
clients and the store's members live outside of the namespaces, at the bridge's own address. Needs root and nftables.
"""

import os
import random
import subprocess


def run(line, **more):
    done = subprocess.run(line.split() if isinstance(line, str) else line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **more)
    if done.returncode:
        raise AssertionError(f"network namespaces need root and nftables: {line} -> {done.stdout.decode().strip()}")


class Network:
    def __init__(self, hosts):
        """`hosts`: the numbers of the brokers, 1 to 200."""
        self.name = f"rl{os.getpid() % 100_000}{random.randrange(10)}"
        self.subnet = f"10.{random.randrange(64, 128)}.{random.randrange(256)}"
        self.outside = f"{self.subnet}.254"
        self.hosts = list(hosts)
        run(f"ip link add {self.name} type bridge")
        try:
            run(f"ip addr add {self.outside}/24 dev {self.name}")
            run(f"ip link set {self.name} up")
            for host in self.hosts:
                self._add(host)
            self._table(None)
        except AssertionError:
            self.remove()
            raise

    def _add(self, host):
        space, outer = self.space(host), f"{self.name}v{host}"
        run(f"ip netns add {space}")
        run(f"ip link add {outer} type veth peer name eth0 netns {space}")
        run(f"ip link set {outer} master {self.name} up")
        run(f"ip -n {space} addr add {self.address(host)}/24 dev eth0")
        run(f"ip -n {space} link set eth0 up")
        run(f"ip -n {space} link set lo up")
        self._table(host)

    def space(self, host):
        return f"{self.name}n{host}"

    def address(self, host):
        return f"{self.subnet}.{host}"

    def inside(self, host):
        """What stands before a command that is to run on this host."""
        return ["ip", "netns", "exec", self.space(host)]

    def _nft(self, host, words):
        run([*(self.inside(host) if host else []), "nft", words])

    def _table(self, host):
        self._nft(host, f"add table inet {self.name}; add chain inet {self.name} in {{ type filter hook input priority 0; }}")

    # -- cuts ---------------------------------------------------------------------------------------------------

    def one_way(self, source, target):
        """What `source` sends does not arrive at `target`."""
        self._nft(target, f"add rule inet {self.name} in ip saddr {self.address(source)} drop")

    def apart(self, one, other):
        self.one_way(one, other)
        self.one_way(other, one)

    def from_ports(self, host, ports):
        """Neither what this host sends to these ports outside arrives there, nor what they send here."""
        of = "{ " + ", ".join(map(str, ports)) + " }"
        self._nft(host, f"add rule inet {self.name} in ip saddr {self.outside} tcp sport {of} drop")
        self._nft(None, f"add rule inet {self.name} in ip saddr {self.address(host)} tcp dport {of} drop")

    def heal(self):
        for host in [None, *self.hosts]:
            self._nft(host, f"flush chain inet {self.name} in")

    def remove(self):
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        for host in self.hosts:
            subprocess.run(["ip", "netns", "del", self.space(host)], **quiet)
        subprocess.run(["nft", f"delete table inet {self.name}"], **quiet)
        subprocess.run(["ip", "link", "del", self.name], **quiet)
