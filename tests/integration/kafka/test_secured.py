"""Kafka with kafka_security_protocol=SASL_SSL, and its listener for clients elsewhere."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cctv_common.kafka import client_config, consumer_config, producer_config
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from ports import free_port
from waiting import until

from tests.integration.kafka.conftest import Stack

BROKERS_PASSWORD = 'brokers" own\\secret, [x]=1'
CLIENTS_PASSWORD = "clients=own #secret"
VARIABLES = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_broker_password": BROKERS_PASSWORD,
    "kafka_client_password": CLIENTS_PASSWORD,
    "kafka_users": [{"name": "site", "password": "of another site"}],
    "kafka_external_host": "localhost",
}


@pytest.fixture(scope="module")
def stack(stack_of: Callable[..., Stack]) -> Stack:
    stack = stack_of(kafka_external_port=free_port(), kafka_replicas=2, kafka_partitions=2, **VARIABLES)
    stack.start()
    return stack


def brokers(config: dict[str, Any]) -> int:
    """How many brokers such a client sees."""
    try:
        return len(AdminClient(config | {"log_level": 0}).list_topics(timeout=5).brokers)
    except KafkaException:
        return 0


def test_frames_go_through(stack: Stack) -> None:
    refused: list[Any] = []
    producer = Producer(producer_config(stack.settings, "tests", max_age_ms=30000) | {"acks": "all"})
    for partition in range(2):
        producer.produce("videocam", b"a frame", partition=partition, callback=lambda error, _: refused.append(error))
    assert producer.flush(30) == 0
    assert refused == [None, None]
    consumer = Consumer(consumer_config(stack.settings, "tests", "tests") | {"auto.offset.reset": "earliest"})
    consumer.subscribe(["videocam"])
    got: list[bytes] = []

    def there() -> bool:
        record = consumer.poll(1.0)
        if record is not None and not record.error():
            got.append(record.value())
        return got == [b"a frame", b"a frame"]

    try:
        until("frames", there)
    finally:
        consumer.close()

    # Brokers let each other in, too.
    def in_sync() -> bool:
        topic = stack.admin.list_topics("videocam", timeout=10).topics["videocam"]
        return all(len(partition.isrs) == 2 for partition in topic.partitions.values())

    until("both brokers in sync", in_sync)


def test_a_wrong_password_is_refused_and_told(stack: Stack) -> None:
    config = client_config(stack.settings, "tests")
    assert brokers(config) == 2
    assert brokers(config | {"sasl.password": "a wrong one"}) == 0
    until("line in the broker's log", lambda: "invalid credentials" in stack["kafka-0"].log + stack["kafka-1"].log)
    assert brokers(config | {"sasl.username": "site", "sasl.password": "of another site"}) == 2


def test_a_service_with_a_wrong_password_says_so(stack: Stack) -> None:
    topics = stack.topics
    topics.terminate()
    right = topics.environment["KAFKA_SASL_PASSWORD"]
    topics.environment["KAFKA_SASL_PASSWORD"] = "a wrong one"
    try:
        topics.start()
        until("line in the log", lambda: "invalid credentials" in topics.log)
        assert "invalid credentials" in topics.unmet()["kafka"]
    finally:
        topics.environment["KAFKA_SASL_PASSWORD"] = right
        topics.terminate()
    topics.start()
    until("topics", topics.ready)


def test_others_are_not_let_in(stack: Stack) -> None:
    config = client_config(stack.settings, "tests")
    assert brokers({"bootstrap.servers": stack.bootstrap_servers}) == 0
    unknown_authority = {key: value for key, value in config.items() if key != "ssl.ca.pem"}
    assert brokers(unknown_authority) == 0


def test_clients_elsewhere_know_brokers_by_their_name_for_them(stack: Stack) -> None:
    port = stack.variables["kafka_external_port"]
    config = client_config(stack.settings, "tests")
    found = AdminClient(config | {"bootstrap.servers": f"localhost:{port}"}).list_topics(timeout=10).brokers
    assert {(broker.host, broker.port) for broker in found.values()} == {("localhost", port), ("localhost", port + 1)}
    # It listens at any address, but has a certificate for none but its own names.
    socket.create_connection(("127.9.9.9", port), timeout=5).close()
    assert brokers(config | {"bootstrap.servers": f"127.9.9.9:{port}"}) == 0


def command_lines() -> str:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue  # it has ended
    return "\n".join(found)


def test_passwords_are_nowhere_to_be_seen(stack: Stack) -> None:
    broker = stack["kafka-0"]
    broker.terminate()
    said = len(broker.log)
    seen = ""
    broker.start()

    def started() -> bool:
        nonlocal seen
        seen += command_lines()
        return "started" in broker.log[said:]

    until("start of the broker", started, 180)
    assert "kafka.admin.ConfigCommand" in seen
    work = Path(broker.environment["KAFKA_WORK_DIR"])
    assert [path.name for path in work.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert not list(work.glob("user.*"))
    public = [manifest for part in ("zookeeper", "kafka") for manifest in stack.rendered[part]]
    public = [manifest for manifest in public if manifest["kind"] != "Secret"]
    shown = seen + json.dumps(public) + "".join(daemon.log for daemon in stack.daemons.values())
    for secret in (BROKERS_PASSWORD, CLIENTS_PASSWORD, "of another site", "PRIVATE KEY"):
        assert secret not in shown
        assert json.dumps(secret)[1:-1] not in shown
