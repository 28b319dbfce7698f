"""aiokafka: an asyncio client with its own protocol code, and the oldest request versions of all."""

from suite import CACHE

CASES = ["admin: create and describe", "produce and consume", "group: join and leave", "commit and resume",
         "seek by time", "admin: groups and deletion", "errors"]


def run(t):
    broker = t.broker()
    t.program([CACHE / "python/bin/python", "program.py", broker.bootstrap], expect=CASES)
