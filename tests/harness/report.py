"""How the Python client programs report: one line per case, read by suite.py."""

import sys
import time
import traceback
from contextlib import contextmanager

failed = 0


@contextmanager
def case(name):
    """One case of a client program. A failure is reported and the program goes on."""
    global failed
    began = time.monotonic()
    try:
        yield
    except Exception as problem:  # noqa: BLE001
        failed += 1
        where = traceback.extract_tb(problem.__traceback__)
        here = next((frame for frame in reversed(where) if frame.filename.endswith("program.py")), where[-1])
        text = " ".join(str(problem).split()) or here.line
        print(f"not ok {name} -- {type(problem).__name__}: {text} (line {here.lineno})", flush=True)
    else:
        print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)


def finish():
    sys.exit(1 if failed else 0)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r:.300}, found {found!r:.300}")
