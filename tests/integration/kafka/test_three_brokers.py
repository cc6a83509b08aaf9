"""Three brokers on three ZooKeeper servers, on one machine's loopback addresses."""

from __future__ import annotations

from collections.abc import Callable

from cctv_common.kafka import consumer_config, producer_config
from cctv_common.settings import KafkaSettings
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from tests.integration.conftest import wait_for
from tests.integration.kafka.conftest import Stack


def test_one_of_three_may_fail(stack_of: Callable[..., Stack]) -> None:
    stack = stack_of(kafka_replicas=3, zookeeper_replicas=3, kafka_partitions=3)
    stack.start()
    made = stack.admin.list_topics("videocam", timeout=10).topics["videocam"]
    assert {len(partition.replicas) for partition in made.partitions.values()} == {3}

    def led() -> bool:
        partitions = stack.admin.list_topics("videocam", timeout=10).topics["videocam"].partitions
        return {partition.leader for partition in partitions.values()} == {0, 1, 2}

    wait_for("a leader for each partition", led)

    # Whoever leads a partition, and one of those who know about it.
    stack["kafka-1"].kill()
    stack["zookeeper-0"].kill()
    refused: list[KafkaError | None] = []
    settings = KafkaSettings(kafka_bootstrap_servers=stack.bootstrap_servers)
    producer = Producer(producer_config(settings, "tests", max_age_ms=60000) | {"acks": "all"})
    for partition in range(3):
        producer.produce(
            "videocam", f"frame {partition}".encode(), partition=partition, callback=lambda e, _: refused.append(e)
        )
    assert producer.flush(60) == 0
    assert refused == [None, None, None]

    consumer = Consumer(consumer_config(settings, "tests", "tests"))
    consumer.assign([TopicPartition("videocam", partition, 0) for partition in range(3)])
    got: set[bytes] = set()

    def all_there() -> bool:
        record = consumer.poll(1.0)
        if record is not None and not record.error():
            got.add(record.value())
        return got == {b"frame 0", b"frame 1", b"frame 2"}

    try:
        wait_for("frames of all partitions", all_there)
    finally:
        consumer.close()

    stack.start()

    def in_sync() -> bool:
        partitions = stack.admin.list_topics("videocam", timeout=10).topics["videocam"].partitions
        return all(len(partition.isrs) == 3 for partition in partitions.values())

    wait_for("replicas in sync again", in_sync)
