"""The topics service with a real broker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import ConfigResource
from ports import free_port
from waiting import until

from tests.integration.conftest import Kafka
from tests.integration.kafka.conftest import Stack, Topics


@pytest.fixture
def name() -> str:
    return f"topic-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def keep(kafka: Kafka, tmp_path: Path) -> Iterator[Callable[..., Topics]]:
    """Starts the service with topics; ends what ran before, and at last all."""
    running: list[Topics] = []

    def start(*topics: dict[str, Any], brokers: str = kafka.bootstrap_servers) -> Topics:
        for service in running:
            service.terminate()
        environment = {
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(free_port()),
            "KAFKA_BOOTSTRAP_SERVERS": brokers,
            "TOPICS": json.dumps(topics),
            "TOPICS_CHECK_INTERVAL_MS": "200",
        }
        running.append(Topics(tmp_path / str(len(running)), environment))
        running[-1].start()
        return running[-1]

    try:
        yield start
    finally:
        for service in running:
            service.kill()


def configuration(kafka: Kafka, name: str) -> dict[str, str]:
    (future,) = kafka.admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name)]).values()
    return {key: entry.value for key, entry in future.result(10).items()}


def partitions(kafka: Kafka, name: str) -> dict[int, Any]:
    topics = kafka.admin.list_topics(timeout=10).topics
    return dict(topics[name].partitions) if name in topics else {}


def test_makes_a_topic_once(kafka: Kafka, keep: Callable[..., Topics], name: str) -> None:
    wanted = {"name": name, "partitions": 2, "config": {"retention.ms": 60000, "unclean.leader.election.enable": True}}
    service = keep(wanted)
    until("topic", service.ready)
    assert [partition.leader for partition in partitions(kafka, name).values()] == [0, 0]
    assert configuration(kafka, name)["unclean.leader.election.enable"] == "true"

    again = keep(wanted)
    until("second look", again.ready)
    assert again.said("topic created") == again.said("topic configured") == []


def test_changes_only_what_differs(kafka: Kafka, keep: Callable[..., Topics], name: str) -> None:
    until("topic", keep({"name": name, "config": {"retention.ms": 60000, "segment.ms": 10000}}).ready)
    service = keep({"name": name, "partitions": 3, "config": {"retention.ms": 30000}})
    until("changed topic", service.ready)
    assert len(partitions(kafka, name)) == 3
    (said,) = service.said("topic configured")
    assert said["config"] == {"retention.ms": "30000"}
    # What is no longer named stays as it is.
    assert configuration(kafka, name)["segment.ms"] == "10000"


@pytest.mark.parametrize(
    ("refused", "problem"),
    [
        ({"partitions": 2}, "partitions is 2, but it has 3"),
        ({"partitions": 3, "replication_factor": 2}, "replication_factor is 2, but it has 1"),
        ({"partitions": 4, "config": {"retention.ms": "soon"}}, "retention.ms"),
    ],
)
def test_what_cannot_be_stops_no_other(
    kafka: Kafka, keep: Callable[..., Topics], name: str, refused: dict[str, Any], problem: str
) -> None:
    until("topic", keep({"name": name, "partitions": 3}).ready)
    service = keep({"name": name, **refused}, {"name": f"{name}-other"})
    until("other topic", lambda: partitions(kafka, f"{name}-other"))
    until("problem", lambda: problem in service.unmet().get(f"topic {name}", ""))
    until("other topic's readiness", lambda: set(service.unmet()) == {f"topic {name}"})
    (line,) = [line for line in service.said("not as wanted") if problem in line["problem"]]
    assert line["what"] == f"topic {name}"
    assert len(partitions(kafka, name)) >= 3


def test_waits_for_brokers_that_are_missing(keep: Callable[..., Topics], name: str) -> None:
    service = keep({"name": name, "replication_factor": 2})
    until("problem", lambda: "1 brokers answer" in service.unmet().get(f"topic {name}", ""))


def test_a_topic_that_went_away_comes_back(kafka: Kafka, keep: Callable[..., Topics], name: str) -> None:
    service = keep({"name": name})
    until("topic", service.ready)
    kafka.admin.delete_topics([name], operation_timeout=10)[name].result(20)
    until("topic made again", lambda: len(service.said("topic created")) == 2)
    until("topic", service.ready)


def test_counts_what_groups_have_left(kafka: Kafka, keep: Callable[..., Topics], name: str) -> None:
    service = keep({"name": name})
    until("topic", service.ready)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for __ in range(5):
        producer.produce(name, b"x")
    producer.flush(10)
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": name})
    consumer.commit(offsets=[TopicPartition(name, 0, 2)], asynchronous=False)
    line = f'cctv_kafka_group_lag_records{{group="{name}",topic="{name}"}} 3.0'
    until("lag", lambda: line in service.metrics().splitlines())
    consumer.close()


def test_outlives_outages_of_the_broker(kafka: Kafka, keep: Callable[..., Topics], name: str) -> None:
    service = keep({"name": name})
    until("topic", service.ready)
    for __ in range(2):
        kafka.kill()
        until("note of the outage", lambda: "no broker answers" in service.unmet().get("kafka", ""))
        kafka.start()
        until("topic", service.ready)


def test_starts_before_the_brokers_have_a_name(keep: Callable[..., Topics], name: str) -> None:
    service = keep({"name": name}, brokers=f"kafka-0.does-not-exist.invalid:{free_port()}")
    until("problem", lambda: "no broker answers" in service.unmet().get("kafka", ""))
    assert service.alive()
    service.terminate()
    assert service.process is not None and service.process.returncode == 0


def test_a_lone_broker_that_lost_its_volume_serves_again(stack_of: Callable[..., Stack]) -> None:
    stack = stack_of()
    stack.start()
    stack["kafka-0"].kill()
    data = Path(stack["kafka-0"].environment["KAFKA_LOG_DIRS"])
    data.rename(data.with_name("lost"))
    stack["kafka-0"].start()
    stack.start()

    def led() -> bool:
        videocam = stack.admin.list_topics(timeout=10).topics.get("videocam")
        return videocam is not None and {partition.leader for partition in videocam.partitions.values()} == {0}

    until("leader of all partitions", led)
