"""A data directory changes hands: Apache Kafka writes it, ringlog serves it in place, Kafka takes it back."""

from broker import CACHE, Broker

PYTHON = CACHE / "python/bin/python"


def run(t):
    pass
