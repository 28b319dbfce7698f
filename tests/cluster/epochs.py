"""Clients that know of another leader epoch than the broker they ask (KIP-320), byte by byte: libraries ask with the right one."""

from cluster import STEADY, Cluster, Reader
from suite import wait_until
from wire import FETCH, LIST_OFFSETS, Closed, Wire, batch, int8, int32, int64, record, string

OFFSET_FOR_LEADER_EPOCH = 23
FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH = 74, 75
NONE, LATEST = -1, -1  # an epoch that is not named; ListOffsets' timestamp of the end
TOPIC = "epochs"


def one_partition(*fields):
    """Partition 0 of the topic, with these fields."""
    return int32(1) + string(TOPIC) + int32(1) + int32(0) + b"".join(fields)


def answer_of(wire, key, version, body, skip):
    """A reader that stands at the only partition's answer; `skip`: bytes before the topics."""
    reader = Reader(wire.call(key, version, body))
    reader.at += skip
    assert reader.number(4) == 1 and reader.string() == TOPIC and reader.number(4) == 1
    return reader


def fetch(wire, epoch):
    """Fetch v11, the first that followers answer: the error code."""
    body = (int32(-1) + int32(0) + int32(0) + int32(1 << 20) + int8(0) + int32(0) + int32(-1)
            + one_partition(int32(epoch), int64(0), int64(-1), int32(1 << 20)) + int32(0) + string(""))
    reader = answer_of(wire, FETCH, 11, body, skip=4 + 2 + 4)
    assert reader.number(4) == 0
    return reader.number(2)


def list_offsets(wire, epoch):
    """ListOffsets v4 of the end: the error code, the offset, the epoch."""
    reader = answer_of(wire, LIST_OFFSETS, 4, int32(-1) + int8(0) + one_partition(int32(epoch), int64(LATEST)), skip=4)
    assert reader.number(4) == 0
    code, _, offset, found = reader.number(2), reader.number(8), reader.number(8), reader.number(4)
    return code, offset, found


def end_of_epoch(wire, epoch, wanted):
    """OffsetForLeaderEpoch v3: the error code, the greatest epoch up to `wanted`, where it ended."""
    reader = answer_of(wire, OFFSET_FOR_LEADER_EPOCH, 3, int32(-1) + one_partition(int32(epoch), int32(wanted)), skip=4)
    code = reader.number(2)
    assert reader.number(4) == 0
    return code, reader.number(4), reader.number(8)


ASKS = {"Fetch": fetch,
        "ListOffsets": lambda wire, epoch: list_offsets(wire, epoch)[0],
        "OffsetForLeaderEpoch": lambda wire, epoch: end_of_epoch(wire, epoch, max(epoch, 0))[0]}


def codes(wire, ask, ours):
    """What is answered to the present epoch, none, an earlier and a later one."""
    return [ask(wire, epoch) for epoch in [ours, NONE, ours - 1, ours + 1]]


EXPECTED = [0, 0, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH]


def appended(cluster, count):
    """Records on all replicas; the epoch, and where they end."""
    def known():
        try:
            with Wire(cluster[cluster.leader_of(TOPIC)].address) as wire:
                code, end, epoch = list_offsets(wire, NONE)
        except (OSError, Closed):
            return None
        return (epoch, end) if code == 0 else None  # a new leader may not know yet how far it is committed

    wait_until(known, "a leader that knows that it leads")  # others may hear of it first
    with Wire(cluster[cluster.leader_of(TOPIC)].address) as wire:
        for at in range(count):
            error, _ = wire.produce(TOPIC, 0, batch([record(b"%d" % at)]))
            assert error == 0, f"produce: error {error}"
    return wait_until(known, "the end of the log")


def run(t):
    # or the leader that is killed would lead again in the middle of it
    with Cluster("quorum", name="epochs", settings={**STEADY, "auto.leader.rebalance.enable": "false"}) as cluster:
        cluster.create_topic(TOPIC, 1)
        first, first_end = appended(cluster, 3)
        dead = cluster.leader_of(TOPIC)
        cluster.kill(dead)
        wait_until(lambda: cluster.leader_of(TOPIC) != dead, "another leader")
        epoch, end = appended(cluster, 2)

        with Wire(cluster[cluster.leader_of(TOPIC)].address) as wire:
            for name, ask in ASKS.items():
                with t.case(f"{name}: an earlier leader epoch is fenced, a later one unknown"):
                    found = codes(wire, ask, epoch)
                    assert found == EXPECTED, found

            with t.case("OffsetForLeaderEpoch: where each epoch ended"):
                assert first < epoch and (first_end, end) == (3, 5), (first, first_end, epoch, end)
                assert end_of_epoch(wire, epoch, first) == (0, first, first_end)
                assert end_of_epoch(wire, epoch, epoch) == (0, epoch, end)
                assert end_of_epoch(wire, NONE, epoch + 1) == (0, -1, -1), "nothing is known of an epoch to come"

        cluster[dead].start()
        cluster.await_in_sync(TOPIC)
        with Wire(cluster[dead].address) as wire, t.case("Fetch from a follower: the same epochs"):
            wait_until(lambda: fetch(wire, epoch) == 0, "the follower to know the epoch")
            found = codes(wire, fetch, epoch)
            assert found == EXPECTED, found
