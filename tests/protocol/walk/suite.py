"""Every API that is advertised answers every version of its range. The requests and the schemas come from Kafka's own
client library (tests/clients/java/src/Walk.java), so what is judged here owes nothing to our encoders."""

from broker import java

# The issue's table: these must be advertised with exactly Kafka 4.4's ranges, or less where a version is not written.
MUST = ["every advertised range lies within Kafka's"]


def run(t):
    broker = t.broker({"auto.create.topics.enable": "false"})
    t.program(java("classes+clients-4.4.0", "Walk", broker.bootstrap), expect=MUST)
