"""Three brokers on three ZooKeeper servers, on one machine's loopback addresses."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from cctv_common.kafka import client_config, consumer_config, producer_config
from cctv_common.settings import KafkaSettings
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from waiting import until

from tests.integration.kafka.conftest import Stack


def test_one_of_three_may_fail(stack_of: Callable[..., Stack]) -> None:
    stack = stack_of(kafka_replicas=3, zookeeper_replicas=3, kafka_partitions=3)
    stack.start()
    made = stack.admin.list_topics("videocam", timeout=10).topics["videocam"]
    assert {len(partition.replicas) for partition in made.partitions.values()} == {3}

    def led() -> bool:
        partitions = stack.admin.list_topics("videocam", timeout=10).topics["videocam"].partitions
        return {partition.leader for partition in partitions.values()} == {0, 1, 2}

    until("a leader for each partition", led)

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
        until("frames of all partitions", all_there)
    finally:
        consumer.close()

    stack.start()

    def in_sync() -> bool:
        partitions = stack.admin.list_topics("videocam", timeout=10).topics["videocam"].partitions
        return all(len(partition.isrs) == 3 for partition in partitions.values())

    until("replicas in sync again", in_sync)


def test_one_of_each_may_lose_its_volume(stack_of: Callable[..., Stack]) -> None:
    kept = {"name": "kept", "partitions": 3, "config": {"min.insync.replicas": 2}}
    stack = stack_of(kafka_replicas=3, zookeeper_replicas=3, kafka_partitions=3, kafka_topics=[kept])
    stack.start()

    def isrs() -> list[set[int]]:
        return [set(p.isrs) for p in stack.admin.list_topics("kept", timeout=10).topics["kept"].partitions.values()]

    until("all replicas in sync", lambda: isrs() == [{0, 1, 2}] * 3)
    acknowledged: list[tuple[int, bytes]] = []

    def note(error: KafkaError | None, record: Message) -> None:
        assert error is None, error
        acknowledged.append((record.partition(), record.value()))

    producer = Producer(client_config(stack.settings, "tests") | {"acks": "all", "message.timeout.ms": 180000})

    def send() -> None:
        for partition in range(3):
            producer.produce("kept", b"%d" % len(acknowledged), partition=partition, callback=note)
        producer.poll(0.02)

    def acknowledge(count: int) -> None:
        wanted = len(acknowledged) + count
        until("acknowledged records", lambda: send() or len(acknowledged) >= wanted, 180)

    acknowledge(30)
    for name, variable in (("kafka-1", "KAFKA_LOG_DIRS"), ("zookeeper-2", "ZOO_DATA_DIR")):
        stack[name].kill()
        shutil.rmtree(stack[name].environment[variable])
    acknowledge(30)
    # What replaces them starts with empty volumes, and while others write.
    for name in ("kafka-1", "zookeeper-2"):
        stack[name].start()
    acknowledge(30)
    until("the new replica in sync", lambda: isrs() == [{0, 1, 2}] * 3, 180)

    # Another one goes, so that some partitions are led by the one that began anew.
    stack["kafka-0"].kill()
    acknowledge(30)
    assert producer.flush(180) == 0
    consumer = Consumer(consumer_config(stack.settings, "tests", "tests"))
    consumer.assign([TopicPartition("kept", partition, 0) for partition in range(3)])
    got: set[tuple[int, bytes]] = set()

    def all_there() -> bool:
        record = consumer.poll(1.0)
        if record is not None and not record.error():
            got.add((record.partition(), record.value()))
        return got >= set(acknowledged)

    try:
        until("every acknowledged record", all_there, 120)
    finally:
        consumer.close()
