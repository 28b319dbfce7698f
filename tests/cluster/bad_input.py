"""What a broker must refuse to join, or to start on, with a message that a person can act on."""

import re
import subprocess
import tempfile
import time
from pathlib import Path

from broker import StartFailed, free_port
from cluster import STEADY, Cluster
from suite import PATIENCE_SECONDS, wait_until
from wire import Wire, batch, record



def refused(node, *, says, data_dir=None, node_id=None, store=None, more=()):
    """Starts one more process like this node; it must end by itself, soon, and say these words (regular expressions)."""
    command = node.ringlog_command(data_dir=data_dir, port=free_port(), admin_port=free_port(), node_id=node_id, store=store, more=more)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS)
        said, code = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"still running after {PATIENCE_SECONDS} s: {' '.join(command)}\n"
                             f"{(late.stdout or b'').decode(errors='replace')[-800:]}") from None
    assert code != 0, f"accepted: {said[-800:]}"
    assert "panicked" not in said, said[-800:]
    for words in says:
        assert re.search(words, said, re.I), f"the message does not say {words!r}: {said[-800:]}"


def kept_out(node, store, says):
    """The other voters refuse it, and it says so again and again: a person sees it, and it never becomes ready."""
    command = node.ringlog_command(port=free_port(), admin_port=free_port(), store=store)
    output = node.home / "kept-out.txt"
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(output, "wb"), stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: says in output.read_text(errors="replace"), f"it to say {says!r}")
        time.sleep(3)
        said = output.read_text(errors="replace")
        assert "ringlog ready" not in said and "panicked" not in said, said[-800:]
    finally:
        process.kill()
        process.wait()


def start_refused(node, says):
    """Starts the node itself, which must not become ready."""
    try:
        node.start()
    except StartFailed as failed:
        said = str(failed)
    else:
        node.kill()
        raise AssertionError(f"accepted: {node.tail()}")
    assert "panicked" not in said and "not ready after" not in said, said[-800:]
    for words in says:
        assert re.search(words, said, re.I), f"the message does not say {words!r}: {said[-800:]}"


def produce(cluster, topic):
    leader = cluster[cluster.leader_of(topic)]
    with Wire(leader.address) as wire:
        error, _ = wire.produce(topic, 0, batch([record(b"kept")]))
    assert error == 0, f"produce: error {error}"


def run(t, kind):
    with Cluster(kind, members=1, settings=STEADY, name=f"bad-{kind}") as cluster:
        home = Path(tempfile.mkdtemp(dir=cluster[1].home))
        cluster.create_topic("kept", 1)
        produce(cluster, "kept")

        with t.case(f"{kind}: a broker id that is taken"):
            # a voter's place is its address, which the other one has; elsewhere the registry knows who has the id
            says = ["control listener", "in use"] if kind == "quorum" else [r"\b2\b", "broker", "registered already"]
            refused(cluster[2], data_dir=home / "taken", says=says)
            cluster.await_in_sync("kept")

        with t.case(f"{kind}: two stores at once"):
            other = "zookeeper://127.0.0.1:2181" if kind == "etcd" else "etcd://127.0.0.1:2379"
            refused(cluster[1], node_id=4, data_dir=home / "two", store=f"{cluster.store_url},{other}", says=["ringlog.store", "two stores"])

        with t.case(f"{kind}: a data directory of another store"):
            embedded = home / "embedded"
            alone = subprocess.Popen(cluster[1].ringlog_command(data_dir=embedded, port=free_port(), admin_port=free_port(),
                                                                node_id=4, store="embedded"),
                                     stdin=subprocess.DEVNULL, stdout=open(home / "embedded.txt", "wb"), stderr=subprocess.STDOUT)
            try:
                wait_until(lambda: "ready" in (home / "embedded.txt").read_text() or alone.poll() is not None, "a single broker")
                assert alone.poll() is None, (home / "embedded.txt").read_text()
            finally:
                alone.terminate()
                alone.wait(PATIENCE_SECONDS)
            refused(cluster[1], node_id=4, data_dir=embedded, says=["embedded", "store|cluster"])
            cluster[3].stop()
            refused(cluster[3], data_dir=cluster[3].data_dir, store="embedded", says=["embedded|" + kind, "store|cluster"])
            cluster[3].start()

        with t.case(f"{kind}: a broker of another cluster"):
            with Cluster(kind, members=1, name=f"other-{kind}") as other:
                cluster[3].stop()
                other[3].stop()
                # its data directory is of the one cluster, its store of the other
                if kind == "quorum":
                    kept_out(cluster[3], other.store_url, says="another cluster id")
                else:
                    refused(cluster[3], data_dir=cluster[3].data_dir, store=other.store_url, says=["cluster"])
            cluster[3].start()
            cluster.await_in_sync("kept")

        if cluster.store:
            external(t, kind, cluster, home)


def followed(node):
    """How far a broker has followed the store, as it has written down."""
    return int(re.search(r"^end=(\d+)", (node.data_dir / "metadata.store").read_text(), re.M)[1])


def external(t, kind, cluster, home):
    store = cluster.store
    with t.case(f"{kind}: a store that lost everything, under brokers that did not"):
        backup = home / "good"
        cluster.stop_all()
        store.kill()
        store.save(backup)
        store.forget()
        store.start()
        start_refused(cluster[1], says=["cluster|store", "empty|lost|another|no |not |behind|backup"])
        store.kill()
        store.restore(backup)
        store.start()
        cluster.start_all()
        cluster.await_in_sync("kept")

    with t.case(f"{kind}: a store restored from an old backup"):
        old = home / "old"
        cluster.stop_all()
        store.kill()
        store.save(old)
        store.start()
        cluster.start_all()
        before = followed(cluster[1])
        cluster.create_topic("made-after-the-backup", 3)
        wait_until(lambda: followed(cluster[1]) > before, "broker 1 to write down how far it has followed the store")
        cluster.stop_all()
        store.kill()
        new = home / "new"
        store.save(new)
        store.restore(old)
        store.start()
        start_refused(cluster[1], says=["backup|older|behind|ahead|restored|offset"])
        # and back again with what was there
        store.kill()
        store.restore(new)
        store.start()
        cluster.start_all()
        cluster.await_in_sync("kept", "made-after-the-backup")
