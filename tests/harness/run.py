"""Runs the suites one after the other, each on brokers of its own, and ends with `N passed, N failed`.

usage: run.py [--quick | --long] [--only NAME]...      (cargo xtask test calls this after installing the clients)
"""

import argparse
import importlib.util
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import broker  # noqa: E402
from suite import Suite  # noqa: E402

TESTS = HERE.parent
# Cheap and basic first: when `lifecycle` fails, the rest need not be read.
SUITES = ["lifecycle", "clients/kcat", "clients/confluent", "clients/aiokafka", "clients/java", "clients/go",
          "clients/kafkajs", "clients/racks", "protocol/walk", "protocol/hostile", "storage/many",
          "storage/directories", "storage/full_disk", "storage/cleaning", "administration", "cluster", "adoption", "dataset"]


def load(path):
    folder = TESTS / path
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), folder / "suite.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true")
    options.add_argument("--long", action="store_true")
    options.add_argument("--only", action="append", default=[])
    options.add_argument("--list", action="store_true")
    chosen = options.parse_args()
    pace = "quick" if chosen.quick else "long" if chosen.long else "normal"
    if chosen.list:
        print("\n".join(SUITES))
        return 0

    wanted = [path for path in SUITES if not chosen.only or any(word in path for word in chosen.only)]
    if not wanted:
        print(f"no suite is called {' or '.join(chosen.only)}; there are: {', '.join(SUITES)}")
        return 2
    if broker.TARGET == "ringlog" and not broker.RINGLOG.exists():
        print(f"{broker.RINGLOG} is not built: cargo build --release")
        return 2

    passed, skipped, failures, times = 0, 0, [], []
    for path in wanted:
        suite = Suite(path.rsplit("/", 1)[-1], TESTS / path, pace)
        began = time.monotonic()
        try:
            with_error = None
            load(path).run(suite)
        except Exception as problem:  # noqa: BLE001 - a suite that cannot even start is one failure, not the end
            with_error = f"{type(problem).__name__}: {problem}"
            suite._fail("suite", with_error)
        finally:
            suite.close()
        times.append((path, time.monotonic() - began, suite.passed, len(suite.failures)))
        passed += suite.passed
        skipped += suite.skipped
        failures += suite.failures

    print(f"\nsuites against {broker.TARGET} ({pace}):")
    for path, seconds, good, bad in times:
        print(f"  {path:22} {seconds:6.1f} s   {good:3} passed, {bad} failed")
    for name, why in failures:
        print(f"FAILED {name}: {why}")
    print(f"{passed} passed, {len(failures)} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
