"""What was acknowledged, what was read and what lies on the disks, held against each other.

acknowledged: (partition, offset, producer, sequence, sent, acknowledged in microseconds)
read:         (partition, offset, producer, sequence) in the order of reading
"""

import re
import struct
from collections import Counter, defaultdict, namedtuple

Ack = namedtuple("Ack", "partition offset producer sequence sent_us acked_us")


def acks(path):
    found = []
    with open(path) as file:
        for line in file:
            partition, offset, producer, sequence, sent_us, acked_us = line.split()
            found.append(Ack(int(partition), int(offset), producer, int(sequence), int(sent_us), int(acked_us)))
    return found


def reads(path):
    """partition -> [(offset, producer, sequence)]"""
    found = defaultdict(list)
    with open(path) as file:
        for line in file:
            partition, offset, producer, sequence = line.split()
            found[int(partition)].append((int(offset), producer, int(sequence)))
    return found


class Findings:
    """Counts of what must not be, with the first examples of each."""

    def __init__(self):
        self.counts, self.examples = Counter(), defaultdict(list)
        self.places = []  # (partition, offset) to look at

    def add(self, what, *where, at=()):
        self.counts[what] += 1
        self.places += at
        if len(self.examples[what]) < 3:
            self.examples[what].append(" ".join(map(str, where)))

    def __bool__(self):
        return bool(self.counts)

    def __str__(self):
        return "; ".join(f"{count} {what} ({', '.join(self.examples[what])})" for what, count in self.counts.items())


def check(acknowledged, readers):
    """`readers`: name -> reads. Every reader must have read to the end."""
    findings = Findings()
    orders = iter(readers.items())
    first, order = next(orders)
    for name, other in orders:
        for partition in sorted(set(order) | set(other)):
            mine, theirs = order[partition], other[partition]
            if mine == theirs:
                continue
            at = next((at for at, (one, two) in enumerate(zip(mine, theirs)) if one != two), min(len(mine), len(theirs)))
            findings.add("partitions in another order", f"{partition}: {first} has {mine[at:at + 2]}, {name} {theirs[at:at + 2]}")
    places, by_offset = {}, {}
    for partition, records in order.items():
        last, at = {}, -1
        for offset, producer, sequence in records:
            if offset <= at:
                findings.add("offsets read twice", partition, offset)
            at = offset
            if (partition, producer, sequence) in places:
                findings.add("duplicates", partition, producer, sequence, "at", places[(partition, producer, sequence)], "and", offset,
                             at=[(partition, places[(partition, producer, sequence)]), (partition, offset)])
            elif sequence < last.get(producer, -1):
                findings.add("records out of order", partition, producer, sequence, "after", last[producer])
            places.setdefault((partition, producer, sequence), offset)
            by_offset[(partition, offset)] = (producer, sequence)
            last[producer] = sequence
    for ack in acknowledged:
        found = places.get((ack.partition, ack.producer, ack.sequence))
        if found is None:
            findings.add("acknowledged records lost", ack.partition, ack.offset, ack.producer, ack.sequence,
                         "there is", by_offset.get((ack.partition, ack.offset)), at=[(ack.partition, ack.offset)])
        elif ack.offset >= 0 and found != ack.offset:
            findings.add("records at another offset than acknowledged", ack.partition, ack.offset, "but", found)
    return findings


def longest_gap(acknowledged, partitions, from_us, until_us):
    """The longest time without an acknowledgement of one of these partitions, in seconds, within a window: (gap, partition)."""
    times = {partition: [from_us] for partition in partitions}
    for ack in acknowledged:
        if ack.partition in times and from_us <= ack.acked_us <= until_us:
            times[ack.partition].append(ack.acked_us)
    worst = (0.0, None)
    for partition, seen in times.items():
        seen = sorted(seen) + [until_us]
        worst = max(worst, (max(later - earlier for earlier, later in zip(seen, seen[1:])) / 1e6, partition))
    return worst


# -- on disk ----------------------------------------------------------------------------------------------------

def batches(folder):
    """Every batch of a partition's directory, in order: (base offset, last offset, bytes)."""
    for segment in sorted(folder.glob("*.log")):
        data, at = segment.read_bytes(), 0
        while at + 61 <= len(data):
            base, length = struct.unpack(">qi", data[at:at + 12])
            if length <= 0 or at + 12 + length > len(data):
                break
            yield base, base + struct.unpack(">i", data[at + 23:at + 27])[0], data[at:at + 12 + length]
            at += 12 + length


def around(folder, offsets, reach=3):
    """The batches near these offsets, for a person: who wrote them, in which epochs."""
    lines = []
    for base, last, data in batches(folder):
        if any(base - reach <= offset <= last + reach for offset in offsets):
            epoch, = struct.unpack(">i", data[12:16])
            producer, producer_epoch, sequence, count = struct.unpack(">qhii", data[43:61])
            lines.append(f"{base}-{last} leader epoch {epoch} producer {producer}:{producer_epoch} sequence {sequence}-{sequence + count - 1}")
    return lines


def compare_replicas(topic, folders):
    """`folders`: data directories of all brokers, which have ended cleanly with everything in sync: then every replica
    must hold the same batches, byte by byte, up to the same end."""
    findings = Findings()
    partitions = sorted({path.name for folder in folders for path in folder.glob(f"{topic}-*")
                         if re.fullmatch(r"\d+", path.name[len(topic) + 1:])})
    if not partitions:
        findings.add("topics without a replica", topic)
    for partition in partitions:
        replicas = {folder: list(batches(folder / partition)) for folder in folders if (folder / partition).is_dir()}
        if len(replicas) != len(folders):
            findings.add("replicas missing", partition, len(replicas), "of", len(folders))
        start = max((held[0][0] for held in replicas.values() if held), default=0)
        held = [[batch for batch in batches if batch[1] >= start] for batches in replicas.values()]
        for other in held[1:]:
            if other == held[0]:
                continue
            at = next((at for at, (one, two) in enumerate(zip(held[0], other)) if one != two), min(len(held[0]), len(other)))
            ends = [one[-1][1] + 1 if one else 0 for one in held]
            where = held[0][at][0] if at < len(held[0]) else "the end"
            findings.add("replicas differ", partition, "from offset", where, "ends", ends)
    return findings
