"""The load of the cluster drills with librdkafka: the same commands, files and duties as Load.java."""

import sys
import threading
import time
from collections import Counter

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Producer, TopicPartition

DELIVERY_MS = 600_000
READ_S = 300
# what a broker answers that leads no more, or not yet
CHANGING = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.FENCED_LEADER_EPOCH}


class Load:
    def __init__(self, words):
        self.words = words
        self.topic, self.partitions = words["topic"], int(words["partitions"])
        self.failures = Counter()
        self.producing, self.reading = True, True
        self.sent = self.acknowledged = self.read = 0

    def start(self):
        self.producer = threading.Thread(target=self.guard, args=(self.produce,), daemon=True)
        self.reader = threading.Thread(target=self.guard, args=(self.follow,), daemon=True)
        self.producer.start()
        self.reader.start()

    def guard(self, work):
        try:
            work()
        except Exception as problem:  # noqa: BLE001 - told by `stop`
            self.failed(f"{type(problem).__name__}: {problem}")

    def stop(self):
        self.producing = False
        self.producer.join()
        return self.summary()

    def drain(self):
        self.reading = False
        self.reader.join()
        return self.summary()

    def read_all(self):
        self.reading = False
        self.guard(self.follow)
        return self.summary()

    def summary(self):
        failures = "".join(f" failed.{name}={count}" for name, count in self.failures.items())
        return f"done sent={self.sent} acknowledged={self.acknowledged} read={self.read}{failures}"

    def failed(self, what):
        self.failures["_".join(str(what).replace("=", "_").split())[:200]] += 1

    def config(self, kind):
        more = {key[len(kind) + 1:]: value for key, value in self.words.items() if key.startswith(f"{kind}.")}
        return {"bootstrap.servers": self.words["bootstrap"], "log_level": 0, **more}

    # -- producing ----------------------------------------------------------------------------------------------

    def produce(self):
        acks = open(self.words["acks"], "w", buffering=1)  # a line is told at once: the drill waits for it
        interval = int(self.words["interval_us"]) / 1e6
        sequences = [0] * self.partitions
        generation = 0
        while self.producing:
            me = self.words["id"] + (f".{generation}" if generation else "")
            client = Producer({"acks": "all", "enable.idempotence": True, "linger.ms": 0, "message.timeout.ms": DELIVERY_MS,
                               "queue.buffering.max.messages": 1_000_000, **self.config("producer")})
            try:
                self.produce_as(client, me, acks, interval, sequences)
            except KafkaException as problem:
                # fatal: the producer says itself that it cannot go on; the next one has sequences of its own
                self.failed(f"fatal: {problem}")
                generation += 1
            finally:
                if left := client.flush(DELIVERY_MS / 1000):
                    self.failed(f"{left} records still in flight")
        acks.close()

    def produce_as(self, client, me, acks, interval, sequences):
        following = time.monotonic()
        while self.producing:
            for partition in range(self.partitions):
                sequence = sequences[partition]
                value = f"{me}:{partition}:{sequence}:" + "x" * (sequence * 7919 % 400)
                sent_us = time.time_ns() // 1000

                def delivered(error, message, sequence=sequence, sent_us=sent_us):
                    if error is not None:
                        self.failed(error)
                        return
                    self.acknowledged += 1
                    offset = -1 if message.offset() in (None, OFFSET_INVALID) else message.offset()
                    acks.write(f"{message.partition()} {offset} {me} {sequence} {sent_us} {time.time_ns() // 1000}\n")

                try:
                    client.produce(self.topic, value, partition=partition, on_delivery=delivered)
                except BufferError:
                    break  # a long outage: full; later
                sequences[partition] += 1
                self.sent += 1
            following = max(following + interval, time.monotonic() - 1)
            while (left := following - time.monotonic()) > 0:
                client.poll(left)
            client.poll(0)

    # -- reading ------------------------------------------------------------------------------------------------

    def end_of(self, client, partition):
        """librdkafka asks the leader that it knows; while leaders change, the one it knows may be no more."""
        until = time.monotonic() + 300
        while True:
            try:
                return client.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=60)[1]
            except KafkaException as late:
                if time.monotonic() > until or not (late.args[0].retriable() or late.args[0].code() in CHANGING):
                    raise
                time.sleep(0.1)

    def follow(self):
        """Reads while it may, then on to the end that the log has at that time."""
        client = Consumer({"group.id": "drill", "enable.auto.commit": False, "auto.offset.reset": "error", "check.crcs": True,
                           "fetch.wait.max.ms": 100, **self.config("consumer")})
        client.assign([TopicPartition(self.topic, partition, 0) for partition in range(self.partitions)])
        position, ends, until = [0] * self.partitions, None, float("inf")
        with open(self.words["reads"], "w") as reads:
            while True:
                if not self.reading and ends is None:
                    ends = [self.end_of(client, partition) for partition in range(self.partitions)]
                    until = time.monotonic() + READ_S
                if ends is not None and all(at >= end for at, end in zip(position, ends)):
                    break
                if time.monotonic() > until:
                    self.failed(f"read up to {position} of {ends}")
                    break
                for message in client.consume(1000, 0.1):
                    if message.error():
                        if not message.error().retriable():
                            self.failed(f"read: {message.error()}")
                        continue
                    me, partition, sequence, rest = message.value().decode().split(":", 3)
                    if int(partition) != message.partition() or len(rest) != int(sequence) * 7919 % 400:
                        self.failed(f"a damaged record at {message.partition()} {message.offset()}")
                    reads.write(f"{message.partition()} {message.offset()} {me} {sequence}\n")
                    position[message.partition()] = message.offset() + 1
                    self.read += 1
        client.close()


def main():
    load = None
    for line in sys.stdin:
        command, *pairs = line.split()
        words = dict(pair.split("=", 1) for pair in pairs)
        if command == "start":
            load = Load(words)
            load.start()
            answer = "started"
        elif command == "stop":
            answer = load.stop()
        elif command == "drain":
            answer = load.drain()
        elif command == "read":
            answer = Load(words).read_all()
        else:
            answer = f"unknown {command}"
        print(answer, flush=True)


main()
