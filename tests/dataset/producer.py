"""Produces the lines of a file to partition 0 and writes down what was acknowledged, while the broker is killed.

usage: producer.py HOST:PORT TOPIC FILE LOG idempotent|plain
LOG gets a line `offset line-number` per acknowledgement; stdout gets the number of acknowledgements now and then.
"""

import sys

from confluent_kafka import KafkaException, Producer

bootstrap, topic, path, log_path, mode = sys.argv[1:]
STEP = 1000  # acknowledgements between two lines on stdout

producer = Producer({
    "bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": mode == "idempotent",
    "linger.ms": 5, "message.timeout.ms": 300_000, "reconnect.backoff.max.ms": 500,
    # small batches: more of them are on their way when the broker dies
    "batch.num.messages": 500, "queue.buffering.max.messages": 20_000,
})
acked, failed = 0, []


def report(log, number):
    def delivered(error, message):
        global acked
        if error:
            failed.append(f"line {number}: {error}")
            return
        log.write(f"{message.offset()} {number}\n")
        acked += 1
        if acked % STEP == 0:
            print(acked, flush=True)
    return delivered


with open(log_path, "w") as log, open(path, "rb") as lines:
    for number, line in enumerate(lines):
        while True:
            try:
                producer.produce(topic, value=line.rstrip(b"\n"), partition=0, on_delivery=report(log, number))
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    try:
        left = producer.flush(300)
    except KafkaException as problem:
        sys.exit(f"flush: {problem}")
if failed or left:
    sys.exit(f"{len(failed)} failed, {left} left: {failed[:3]}")
