"""Driving the programs that produce and read while a cluster suffers: tests/cluster/Load.java and librdkafka.py."""

import select
import subprocess
from pathlib import Path

from broker import CACHE, ROOT, java

ANSWER_SECONDS = 600


def words(config):
    return " ".join(f"{key}={value}" for key, value in config.items())


class Load:
    """One load program, which lives through many drills."""

    def __init__(self, kind, folder):
        self.kind, self.folder = kind, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        command = {"java": java("classes+clients-4.4.0", "Load"),
                   "librdkafka": [str(CACHE / "python/bin/python"), str(ROOT / "tests/cluster/librdkafka.py")]}[kind]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                                        stderr=open(self.folder / f"{kind}.err", "wb"))

    def _say(self, line):
        self.process.stdin.write((line + "\n").encode())

    def _answer(self, seconds=ANSWER_SECONDS):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            raise AssertionError(f"the {self.kind} load has not answered for {seconds} s: records are not acknowledged, or not to be read")
        line = self.process.stdout.readline().decode().strip()
        if not line:
            raise AssertionError(f"the {self.kind} load has ended: {(self.folder / f'{self.kind}.err').read_text()[-800:]}")
        return line

    def _file(self, topic, what):
        return self.folder / f"{topic}-{self.kind}-{what}.txt"

    def start(self, bootstrap, topic, partitions, interval_us, **config):
        self.topic = topic
        self._say(f"start bootstrap={bootstrap} topic={topic} partitions={partitions} interval_us={interval_us} id={self.kind} "
                  f"acks={self._file(topic, 'acks')} reads={self._file(topic, 'live')} {words(config)}")
        assert self._answer() == "started"

    def ask(self, word):
        """`stop`: no more records, wait for every acknowledgement. `drain`: read to the end."""
        self._say(word)

    def answered(self):
        """What it says at its end: sent, acknowledged, read, and what failed."""
        answer = self._answer()
        assert answer.startswith("done "), answer
        pairs = [word.split("=", 1) for word in answer.split()[1:]]
        self.failures = {key[len("failed."):]: int(value) for key, value in pairs if key.startswith("failed.")}
        return {key: int(value) for key, value in pairs if not key.startswith("failed.")}

    def read(self, bootstrap, topic, partitions, **config):
        """A new reader, from the first offset to the end."""
        self._say(f"read bootstrap={bootstrap} topic={topic} partitions={partitions} reads={self._file(topic, 'again')} {words(config)}")
        return self.answered()

    def acks(self, topic=None):
        return self._file(topic or self.topic, "acks")

    def live(self, topic=None):
        return self._file(topic or self.topic, "live")

    def again(self, topic=None):
        return self._file(topic or self.topic, "again")

    def remove(self):
        self.process.kill()
        self.process.wait()
