"""Filebeat with a Kafka that asks for a password over TLS."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cctv_common.kafka import client_config
from confluent_kafka import Producer
from waiting import until

from tests.integration.conftest import Elasticsearch
from tests.integration.kafka.conftest import Stack, stack_of
from tests.integration.search.conftest import Filebeat

__all__ = ["stack_of"]


@pytest.fixture(scope="module")
def stack(stack_of: Callable[..., Stack]) -> Stack:
    stack = stack_of(
        detection_enabled=True,
        kafka_security_protocol="SASL_SSL",
        kafka_broker_password="of the brokers",
        # What Filebeat would take for a list, a variable or a number, if it could.
        kafka_client_password="[1, \"2\"], ${HOME} \\ '3'",
    )
    stack.start()
    return stack


def test_detections_arrive(
    stack: Stack,
    program: Path,
    elasticsearch: Elasticsearch,
    detection: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    sent = detection(77)
    producer = Producer(client_config(stack.settings, "tests"))
    producer.produce("detections", json.dumps(sent).encode(), key="gate")
    assert producer.flush(30) == 0
    client = {name: value for name, value in stack.topics.environment.items() if name.startswith("KAFKA_")}
    filebeat = Filebeat(tmp_path, program, {**client, "ELASTICSEARCH_URL": elasticsearch.url})
    filebeat.start()
    try:
        until("detection", lambda: filebeat.stats("libbeat.output.events.acked") == 1)
        elasticsearch.ask("/detections/_refresh", method="POST")
        found = elasticsearch.ask(f"/detections/_search?q=id:{sent['id']}")
        assert [hit["_source"] for hit in found["hits"]["hits"]] == [sent]
    finally:
        filebeat.kill()
