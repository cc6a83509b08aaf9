"""The module kafka_topic with a real broker."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import Kafka, free_port

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def name() -> str:
    return f"topic-{uuid.uuid4().hex[:8]}"


def test_makes_a_topic_once(kafka: Kafka, call: Call, name: str) -> None:
    wanted = {"name": name, "partitions": 2, "config": {"retention.ms": 60000, "unclean.leader.election.enable": True}}

    def ask(**more: Any) -> dict[str, Any]:
        return call("kafka_topic", bootstrap_servers=kafka.bootstrap_servers, topics=[wanted], **more)

    first = ask(check=True, diff=True)
    assert first["changed"]
    assert first["diff"]["before"] == {}
    assert first["diff"]["after"][name]["config"]["unclean.leader.election.enable"] == "true"
    assert name not in kafka.admin.list_topics(timeout=10).topics

    assert ask()["changed_topics"] == [name]
    made = kafka.admin.list_topics(timeout=10).topics[name]
    assert [partition.leader for partition in made.partitions.values()] == [0, 0]

    for check in (False, True):
        assert not ask(check=check)["changed"]


def test_changes_only_what_differs(kafka: Kafka, call: Call, name: str) -> None:
    def ask(partitions: int, config: dict[str, Any], **more: Any) -> dict[str, Any]:
        topic = {"name": name, "partitions": partitions, "config": config}
        return call("kafka_topic", bootstrap_servers=kafka.bootstrap_servers, topics=[topic], **more)

    ask(1, {"retention.ms": 60000, "segment.ms": 10000})
    said = ask(3, {"retention.ms": 30000}, diff=True)
    assert said["diff"]["before"][name] == {
        "partitions": 1,
        "replication_factor": 1,
        "config": {"retention.ms": "60000"},
    }
    # What is no longer named stays as it is.
    assert not ask(3, {"retention.ms": 30000, "segment.ms": 10000})["changed"]

    refused = ask(2, {})
    assert refused["failed"]
    assert "partitions is 2, but it has 3" in refused["msg"]


def test_what_brokers_refuse_changes_nothing(kafka: Kafka, call: Call, name: str) -> None:
    topics = [{"name": name}, {"name": f"{name}-bad", "config": {"retention.ms": "soon"}}]
    for check in (True, False):
        said = call("kafka_topic", check, bootstrap_servers=kafka.bootstrap_servers, topics=topics)
        assert said["failed"]
        assert "retention.ms" in said["msg"] and f"{name}-bad" in said["msg"]
    assert name not in kafka.admin.list_topics(timeout=10).topics


def test_says_how_many_brokers_are_missing(kafka: Kafka, call: Call, name: str) -> None:
    topics = [{"name": name, "replication_factor": 2}]
    said = call("kafka_topic", bootstrap_servers=kafka.bootstrap_servers, topics=topics, timeout=1)
    assert re.search(r"1 brokers answer .* replication_factor wants 2", said["msg"])


def test_says_that_no_broker_answers(call: Call, name: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    begin = time.monotonic()
    said = call("kafka_topic", bootstrap_servers=address, topics=[{"name": name}], timeout=1)
    assert said["failed"]
    assert f"no broker answers at {address} within 1 s" in said["msg"]
    assert time.monotonic() - begin < 30


def test_removes_topics(kafka: Kafka, call: Call, name: str) -> None:
    def ask(state: str, check: bool = False) -> dict[str, Any]:
        return call(
            "kafka_topic", check, bootstrap_servers=kafka.bootstrap_servers, topics=[{"name": name}], state=state
        )

    ask("present")
    assert ask("absent", check=True)["changed"]
    assert name in kafka.admin.list_topics(timeout=10).topics
    assert ask("absent")["changed"]
    assert name not in kafka.admin.list_topics(timeout=10).topics
    assert not ask("absent")["changed"]
