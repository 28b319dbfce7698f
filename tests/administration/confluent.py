"""Administration with confluent-kafka (librdkafka). usage: confluent.py HOST:PORT,..."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness"))

from confluent_kafka import ElectionType, KafkaError, TopicCollection, TopicPartition  # noqa: E402
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,  # noqa: E402
                                   ResourceType)
from report import case, check, equal, finish  # noqa: E402

admin = AdminClient({"bootstrap.servers": sys.argv[1]})


def done(futures):
    return {name: future.result(120) for name, future in futures.items()}


def topic(name):
    [found] = done(admin.describe_topics(TopicCollection([name]))).values()
    return {one.id: ([node.id for node in one.replicas], sorted(node.id for node in one.isr), one.leader and one.leader.id)
            for one in found.partitions}


def until(condition, what, seconds=150):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f"waited {seconds} s for {what}")
        time.sleep(0.2)


with case("describe the cluster"):
    cluster = admin.describe_cluster().result(30)
    equal(sorted(node.id for node in cluster.nodes), [1, 2, 3], "brokers")
    equal(sorted(node.rack for node in cluster.nodes), ["a", "b", "c"], "racks")
    check(cluster.controller.id in (1, 2, 3), f"controller {cluster.controller}")

with case("replication factor and assignments by hand"):
    done(admin.create_topics([NewTopic("rd-three", num_partitions=3, replication_factor=3),
                              NewTopic("rd-hand", num_partitions=2, replica_assignment=[[3, 1], [2, 3]])]))
    until(lambda: all(row[1] == [1, 2, 3] for row in topic("rd-three").values()), "all replicas in sync")
    equal({index: row[0] for index, row in topic("rd-hand").items()}, {0: [3, 1], 1: [2, 3]}, "replicas")
    done(admin.create_partitions([NewPartitions("rd-hand", 3, replica_assignment=[[1, 2]])]))
    equal(topic("rd-hand")[2][0], [1, 2], "replicas of the new partition")

with case("elect leaders"):
    preferred = TopicPartition("rd-hand", 0)
    [result] = admin.elect_leaders(ElectionType.PREFERRED, [preferred]).result(30).values()
    check(result is None or result.code() == KafkaError.ELECTION_NOT_NEEDED, f"{result}")
    [result] = admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition("rd-absent", 0)]).result(30).values()
    equal(result.code(), KafkaError.UNKNOWN_TOPIC_OR_PART, f"error ({result})")

with case("configs of one broker and of all"):
    def alter(name, key, value, operation=AlterConfigOpType.SET):
        entry = ConfigEntry(key, value, incremental_operation=operation)
        done(admin.incremental_alter_configs([ConfigResource(ResourceType.BROKER, name, incremental_configs=[entry])]))

    def value(number, key):
        [found] = done(admin.describe_configs([ConfigResource(ResourceType.BROKER, str(number))])).values()
        return found[key].value
    alter("3", "max.connections.per.ip", "5000")
    until(lambda: value(3, "max.connections.per.ip") == "5000", "the config of broker 3")
    check(value(1, "max.connections.per.ip") != "5000", "broker 1 has the config of broker 3")
    alter("3", "max.connections.per.ip", None, AlterConfigOpType.DELETE)

finish()
