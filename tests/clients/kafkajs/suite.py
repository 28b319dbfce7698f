"""kafkajs 2.2: unmaintained, and everywhere."""

import os

from suite import CACHE

CASES = ["admin: create, describe, alter", "produce and consume", "group: join and leave", "commit and resume",
         "seek by time", "errors", "admin: groups and deletion"]


def run(t):
    broker = t.broker()
    t.program(["node", "program.js", broker.bootstrap], expect=CASES,
              env={**os.environ, "NODE_PATH": str(CACHE / "kafkajs/node_modules"), "KAFKAJS_NO_PARTITIONER_WARNING": "1"})
