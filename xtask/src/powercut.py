"""The load of `cargo xtask powercut`: idempotent producers of librdkafka that live through every power cut, a log of
what was acknowledged to them, and a reader that compares. Started by powercut.rs, which talks to it in lines:

  go            produce until told otherwise
  verify new    pause, let everything in flight be acknowledged, read what came since the last verification
  verify all    the same, from the first offset on
"""

import collections, itertools, json, random, struct, sys, threading, time, zlib
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP, ACK_LOG = sys.argv[1:3]
QUIET = {"bootstrap.servers": BOOTSTRAP, "log_level": 0}
# many small segments: rolls, and the directory entries they need, are cut, too
TOPICS = {"small": 6, "large": 3, "packed": 2}
SEGMENT_BYTES = 4 << 20
PRODUCERS = [
    ("small", 1, 0, {"linger.ms": 0}),
    ("small", 50, 1200, {"linger.ms": 5}),
    ("small", 50, 1200, {"linger.ms": 1, "max.in.flight.requests.per.connection": 1}),
    ("large", 50_000, 400_000, {"linger.ms": 5, "batch.size": 900_000}),
    ("packed", 50, 3000, {"linger.ms": 20, "compression.codec": "lz4", "batch.num.messages": 500}),
]
# of each producer: a hundred rounds fit the image, where a full disk would end the load
BYTES_PER_SECOND = 12_000_000
NO_DELIVERY_GIVEN_UP = 3_600_000
FLUSH_S = 120
READ_S = 120

acked = collections.defaultdict(dict)  # (topic, partition) -> offset -> checksum of the value
failed = collections.Counter()
twice = []  # (topic, partition, offset) acknowledged for a second record: the first is gone
identities = itertools.count()
going = threading.Event()
pauses = [threading.Event() for _ in PRODUCERS]
log = open(ACK_LOG, "wb", buffering=0)
lock = threading.Lock()


def value_of(me, partition, sequence, size):
    head = f"{me}:{partition}:{sequence}:".encode()
    filler = random.Random(f"{me}/{partition}/{sequence}").randbytes(64) + bytes(64)
    return head + (filler * (size // len(filler) + 1))[: max(0, size - len(head))]


def delivered(error, message):
    if error is not None:
        failed[str(error.name())] += 1
        return
    place = (message.topic(), message.partition())
    checksum = zlib.crc32(message.value())
    with lock:
        if message.offset() in acked[place]:
            twice.append((*place, message.offset()))
        acked[place][message.offset()] = checksum
    log.write(struct.pack("<10sIqI", place[0].encode(), place[1], message.offset(), checksum))


def produce(at, topic, size_min, size_max, config):
    while True:
        try:
            produce_as(next(identities), at, topic, size_min, size_max, config)
        except (KafkaException, SystemError) as error:
            # a fatal error of the producer: it says itself that it cannot go on; the next one has sequences of its own
            failed[f"fatal: {error.__cause__ or error}"[:300]] += 1


def produce_as(me, at, topic, size_min, size_max, config):
    producer = Producer(
        {
            **QUIET,
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": NO_DELIVERY_GIVEN_UP,
            "queue.buffering.max.messages": 2000,
            "queue.buffering.max.kbytes": 32_768,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 100,
            "retry.backoff.ms": 20,
            "retry.backoff.max.ms": 200,
            "socket.timeout.ms": 5000,
            **config,
        }
    )
    chance = random.Random()
    sequence = collections.Counter()
    while True:
        if not going.is_set():
            if producer.flush(FLUSH_S) > 0:
                failed["still in flight"] += 1
            pauses[at].set()
            going.wait()
            pauses[at].clear()
        partition = chance.randrange(TOPICS[topic])
        value = value_of(me, partition, sequence[partition], chance.randint(size_min, max(size_min, size_max)))
        try:
            producer.produce(topic, value, partition=partition, on_delivery=delivered)
            sequence[partition] += 1
        except BufferError:
            producer.poll(0.02)
        producer.poll(len(value) / BYTES_PER_SECOND)
        if chance.random() < 0.05:
            producer.poll(0.01)


class Check:
    """What has been read so far of each partition, and in which order each producer's records came."""

    def __init__(self):
        self.next = collections.Counter()  # (topic, partition) -> offset
        self.last = {}  # (topic, partition, producer) -> sequence

    def run(self):
        found = collections.Counter()
        examples = []

        def wrong(what, *where):
            found[what] += 1
            if len(examples) < 20:
                examples.append([what, *where])

        for where in twice:
            wrong("lost", *where, "offset acknowledged twice")
        reader = Consumer({**QUIET, "group.id": "powercut", "enable.auto.commit": False, "check.crcs": True,
                           "auto.offset.reset": "error", "fetch.wait.max.ms": 10, "queued.max.messages.kbytes": 65_536})
        for topic, count in TOPICS.items():
            for partition in range(count):
                place = (topic, partition)
                start, end = reader.get_watermark_offsets(TopicPartition(*place), timeout=30)
                if start != 0:
                    wrong("log start moved", *place, start)
                begin = self.next[place]
                wanted = {offset: sum for offset, sum in acked[place].items() if offset >= begin}
                reader.assign([TopicPartition(topic, partition, begin)])
                at, deadline = begin, time.monotonic() + READ_S
                while at < end and time.monotonic() < deadline:
                    for message in reader.consume(2000, 0.5):
                        if message.error():
                            wrong("read error", *place, at, str(message.error()))
                            continue
                        if message.offset() != at:
                            wrong("offset skipped", *place, at, message.offset())
                        at = message.offset() + 1
                        found["read"] += 1
                        value = message.value()
                        if message.offset() in wanted and wanted.pop(message.offset()) != zlib.crc32(value):
                            wrong("wrong bytes", *place, message.offset())
                        me, of, sequence = value.split(b":", 3)[:3]
                        if int(of) != partition:
                            wrong("wrong partition", *place, message.offset())
                        if value != value_of(int(me), int(of), int(sequence), len(value)):
                            wrong("wrong bytes", *place, message.offset())
                        mine = (topic, partition, int(me))
                        before = self.last.get(mine, -1)
                        if int(sequence) <= before:
                            wrong("duplicate", *mine, int(sequence), before)
                        elif int(sequence) != before + 1:
                            wrong("gap", *mine, int(sequence), before)
                        self.last[mine] = max(before, int(sequence))
                if at < end:
                    wrong("not readable to the end", *place, at, end)
                for offset in sorted(wanted):
                    wrong("lost", *place, offset, end)
                    del acked[place][offset]
                self.next[place] = at
        reader.close()
        twice.clear()
        return found, examples


def main():
    admin = AdminClient(QUIET)
    config = {"segment.bytes": str(SEGMENT_BYTES), "retention.ms": "-1"}
    for future in admin.create_topics([NewTopic(t, n, config=config) for t, n in TOPICS.items()]).values():
        future.result(30)
    for me, (topic, size_min, size_max, extra) in enumerate(PRODUCERS):
        threading.Thread(target=produce, args=(me, topic, size_min, size_max, extra), daemon=True).start()
    check = Check()
    for line in sys.stdin:
        if line.strip() == "go":
            going.set()
            print("{}", flush=True)
            continue
        going.clear()
        for paused in pauses:
            paused.wait(FLUSH_S + 30)
        if line.strip() == "verify all":
            check = Check()
        try:
            found, examples = check.run()
        except KafkaException as error:
            found, examples = collections.Counter({"unreadable": 1}), [str(error)]
        answer = {"acknowledged": sum(len(of) for of in acked.values()), "read": found.pop("read", 0),
                  "wrong": dict(found), "failed": dict(failed), "examples": examples}
        print(json.dumps(answer), flush=True)


main()
