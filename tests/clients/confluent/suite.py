"""confluent-kafka for Python (librdkafka 2.16): producer, consumer, AdminClient."""

from suite import CACHE

CASES = ["admin: create and describe topics", "produce and consume", "group: join and leave", "commit and resume",
         "seek by time", "admin: groups", "admin: delete topics", "errors: non-empty group"]


def run(t):
    broker = t.broker()
    t.program([CACHE / "python/bin/python", "program.py", broker.bootstrap], expect=CASES)
