"""The commands of docs/OPERATIONS.md, exactly as they stand there.

Behind a comment `<!-- test NAME -->` is a block of commands; each is typed into one shell, in an empty directory, with
`ringlog` on the path.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from broker import RINGLOG, ROOT
from cluster import Metadata
from suite import wait_until
from wire import Closed, Wire

DOCUMENT = ROOT / "docs/OPERATIONS.md"


def block(name):
    """The commands behind the mark, one a line or continued with a backslash."""
    text = DOCUMENT.read_text()
    found = re.search(rf"<!-- test {name} -->\s*```sh\n(.*?)```", text, re.S)
    assert found, f"docs/OPERATIONS.md has no commands marked {name}"
    return found.group(1)


class Shell:
    """A person's shell, in a process group of its own: what it leaves running ends with it."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ringlog-test-operations-"))
        path = f"{RINGLOG.resolve().parent}{os.pathsep}{os.environ['PATH']}"
        self.output = self.folder / "output.txt"
        self.process = subprocess.Popen(["bash", "-e"], cwd=self.folder, stdin=subprocess.PIPE, stdout=open(self.output, "wb"),
                                        stderr=subprocess.STDOUT, env={**os.environ, "PATH": path}, start_new_session=True)

    def type(self, lines):
        self.process.stdin.write(lines.encode())
        self.process.stdin.flush()

    def said(self):
        return self.output.read_text(errors="replace")

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def ready(shell):
    return shell.said().count("ringlog ready")


def run(t, kind):
    with t.case(f"{kind}: a three-broker cluster in three commands, as docs/OPERATIONS.md has them"):
        commands = re.sub(r"\\\n\s*", " ", block(kind)).strip().splitlines()
        assert len(commands) <= 3, f"{len(commands)} commands: {commands}"
        shell = Shell()
        try:
            for line in commands:
                if "topic create" in line:
                    wait_until(lambda: ready(shell) >= 3, "three ready brokers")
                shell.type(line + "\n")
            topic = re.search(r"topic create (\S+)", commands[-1]).group(1)

            def spread():
                try:
                    with Wire(("127.0.0.1", 9092), timeout=3) as wire:
                        seen = Metadata.of(wire, topic)
                except (OSError, Closed):
                    return False
                replicas = [found.isr for found in seen.partitions.values()]
                return sorted(seen.brokers) == [1, 2, 3] and replicas and all(sorted(isr) == [1, 2, 3] for isr in replicas)

            wait_until(spread, f"the topic {topic} on three brokers")
        except AssertionError as problem:
            raise AssertionError(f"{problem}: {shell.said()[-800:]}") from None
        finally:
            shell.close()
