"""What the storage suites share: a broker's directories as Java's Admin and the file system show them."""

import json
import re
import subprocess
from collections import namedtuple

from broker import java
from suite import command

Replica = namedtuple("Replica", "dir topic partition size lag is_future")
Dir = namedtuple("Dir", "path error total usable")


def admin(broker, *arguments):
    """One command of Storage.java; its last line: `done`, or `refused` and the exception."""
    _, out, err = command(java("classes+clients-4.4.0", "Storage", broker.bootstrap, *arguments))
    lines = out.splitlines()
    assert lines and re.match("done|refused", lines[-1]), out + err
    return lines


def describe(broker):
    dirs, replicas = {}, []
    for line in admin(broker, "describe"):
        kind, *rest = line.split(" ")
        if kind == "dir":
            path, error, total, usable = rest
            dirs[path] = Dir(path, error, int(total), int(usable))
        elif kind == "replica":
            path, topic, partition, size, lag, is_future = rest
            replicas.append(Replica(path, topic, int(partition), int(size), int(lag), is_future == "true"))
    return dirs, replicas


def tool(broker, name, *arguments):
    """A console tool of Kafka's."""
    return command(java("tools-4.3.1", name, "--bootstrap-server", broker.bootstrap, *arguments))[1]


def delete_records(broker, topic, offset):
    """Kafka's tool deletes what lies before the offset; the log start it tells."""
    plan = broker.home / "offsets.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": offset}]}))
    out = tool(broker, "org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", plan)
    told = re.search(r"low_watermark: (\d+)", out)
    assert told, out
    return int(told.group(1))


def kcat(broker, *arguments, **more):
    return command(["kcat", "-b", broker.bootstrap, *arguments], **more)


def produce(broker, topic, partition, lines, check=True, timeout_ms=120_000):
    text = "".join(f"{line}\n" for line in lines).encode()
    return kcat(broker, "-P", "-t", topic, "-p", str(partition), "-X", f"message.timeout.ms={timeout_ms}", input=text, check=check)


def consume(broker, topic, partition, check=True):
    code, out, err = kcat(broker, "-C", "-t", topic, "-p", str(partition), "-o", "beginning", "-e", "-q", check=check)
    return out.splitlines() if check else (code, out.splitlines(), err)


def metric(broker, name):
    _, text = broker.http("/metrics")
    values = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"ringlog_{name}(\{{.*\}})? ", line)]
    assert values, f"no {name} in /metrics"
    return sum(values)


class SmallDisk:
    """A file system of its own, ext4 in a file. Needs root and loop devices: without them the suite cannot judge, which is a failure
    of the machine and said as one."""

    def __init__(self, home, mib):
        self.image, self.mount = home / "small.img", home / "small"
        self.mount.mkdir(parents=True)
        with open(self.image, "wb") as file:
            file.truncate(mib << 20)
        for step in [["mkfs.ext4", "-q", "-F", "-m", "0", str(self.image)], ["mount", "-o", "loop", str(self.image), str(self.mount)]]:
            done = subprocess.run(step, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                raise AssertionError(f"this suite needs root and loop devices: {' '.join(step)}: {done.stdout.decode().strip()}")

    def remove(self):
        subprocess.run(["umount", "-l", str(self.mount)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
