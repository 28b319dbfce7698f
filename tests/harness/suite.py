"""What a suite is given: named cases, brokers that are removed afterwards, and foreign programs that report cases.

A foreign program (Go, Java, JavaScript, Python) prints one line per case, `ok NAME` or `not ok NAME -- why`, and gets
the broker's address as its first argument. Everything else it prints is shown when it fails.
"""

import subprocess
import time
import traceback
from contextlib import contextmanager

from broker import CACHE, PATIENCE_SECONDS, ROOT, TARGET, Broker


class Suite:
    def __init__(self, name, folder, pace):
        self.name = name
        self.folder = folder
        self.pace = pace  # "quick", "normal" or "long"
        self.passed = 0
        self.failures = []
        self.skipped = 0
        self._brokers = []

    # -- reporting ----------------------------------------------------------------------------------------------

    @contextmanager
    def case(self, name):
        """One test. Its failure is written down and the suite goes on: one finding must not hide the next."""
        began = time.monotonic()
        try:
            yield
        except Skip as reason:
            self.skipped += 1
            self._say(f"skip {name}: {reason}")
        except Exception as problem:  # noqa: BLE001 - every failure of a test is a finding
            where = traceback.extract_tb(problem.__traceback__)[-1]
            text = f"{type(problem).__name__}: {problem}" if not isinstance(problem, AssertionError) else str(problem)
            self._fail(name, f"{text or where.line} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})")
        else:
            self._pass(name, time.monotonic() - began)

    def _pass(self, name, seconds=None):
        self.passed += 1
        self._say(f"ok {name}" + (f" ({seconds:.1f} s)" if seconds is not None else ""))

    def _fail(self, name, why):
        self.failures.append((f"{self.name}: {name}", why))
        self._say(f"FAIL {name}: {why}")

    def _say(self, line):
        print(f"{self.name}: {line}", flush=True)

    def note(self, line):
        self._say(f"# {line}")

    # -- brokers ------------------------------------------------------------------------------------------------

    def broker(self, settings=None, start=True):
        broker = Broker(settings, name=self.name)
        self._brokers.append(broker)
        return broker.start() if start else broker

    def keep(self, *brokers):
        """Brokers that a suite made by itself: told about and removed at the end like the others."""
        self._brokers += brokers

    def close(self):
        for broker in self._brokers:
            if broker.starts and not broker.alive and not broker.removed and self.failures:
                self.note(f"a broker of this suite has ended with {broker.process.returncode}; its last words:")
                print(broker.tail(), flush=True)
            broker.remove()

    # -- foreign programs ---------------------------------------------------------------------------------------

    def program(self, command, *, label="", timeout=900, env=None, expect=()):
        """Runs a client program and takes over its cases. `expect`: cases it must have reported, so that a program
        that dies early, or quietly does nothing, is a failure."""
        prefix = f"{label} " if label else ""
        try:
            done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=timeout, env=env, cwd=self.folder)
            out, err, code = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.returncode
        except subprocess.TimeoutExpired as late:
            out, err, code = (late.stdout or b"").decode(errors="replace"), (late.stderr or b"").decode(errors="replace"), None
        seen, failed = set(), False
        for line in out.splitlines():
            if line.startswith("ok "):
                name = line[3:].strip()
                seen.add(name.split(" (")[0])
                self._pass(prefix + name)
            elif line.startswith("not ok "):
                name, _, why = line[7:].partition(" -- ")
                seen.add(name)
                failed = True
                self._fail(prefix + name, why)
        for name in expect:
            if name not in seen:
                failed = True
                self._fail(prefix + name, f"the program never reported this case (exit code {code})")
        if code is None:
            self._fail(prefix + "program", f"still running after {timeout} s")
        elif code != 0 and not failed:
            self._fail(prefix + "program", f"exit code {code}")
        if code != 0 or failed:
            for line in (out + err).splitlines()[-40:]:
                if not line.startswith(("ok ", "not ok ")):
                    print(f"    | {line}", flush=True)
        return out


class Skip(Exception):
    """Raised inside a case that cannot be judged here; the reason is printed."""


def wait_until(condition, what, seconds=PATIENCE_SECONDS, every=0.05):
    """Polls, because another process decides when. Fails by naming what was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(every)


def command(line, *, input=None, timeout=2 * PATIENCE_SECONDS, check=True):
    """A command's (exit code, stdout, stderr) as text."""
    done = subprocess.run(list(map(str, line)), input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout, stdin=None if input is not None else subprocess.DEVNULL)
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, line))} -> {done.returncode}: {(err or out).strip()[-800:]}")
    return done.returncode, out, err


__all__ = ["CACHE", "PATIENCE_SECONDS", "ROOT", "TARGET", "Skip", "Suite", "command", "wait_until"]
