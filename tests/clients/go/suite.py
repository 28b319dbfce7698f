"""Go: franz-go (newest request versions, idempotent by default) and sarama (old ones, by configuration)."""

from suite import CACHE

FRANZ = ["admin: create, describe, alter", "produce and consume", "seek by time", "group: join and leave",
         "commit and resume", "admin: groups, records, deletion"]
SARAMA = [f"{version} {case}" for version in ["default", "newest"]
          for case in ["produce and consume", "group: join and leave", "commit and resume", "seek by time", "errors"]]


def run(t):
    for program, cases in [("franz-go", FRANZ), ("sarama", SARAMA)]:
        broker = t.broker()
        t.program([CACHE / "go" / program, broker.bootstrap], label=f"{program}:", expect=cases)
        broker.remove()
