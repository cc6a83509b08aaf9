"""One broker and one ZooKeeper, configured as the roles configure them."""

from __future__ import annotations

import socket
import stat
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cctv_common.kafka import RECORD_OVERHEAD
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from waiting import until

from tests.integration.kafka.conftest import Stack

MAX_FRAME_BYTES = 1024 * 1024


@pytest.fixture(scope="module")
def running(stack_of: Callable[..., Stack]) -> Stack:
    stack = stack_of(
        kafka_max_frame_bytes=MAX_FRAME_BYTES,
        kafka_retention_ms=3000,
        kafka_segment_ms=1000,
        kafka_partitions=2,
        # Half a minute by default, until which nothing is deleted.
        kafka_config={"log.initial.task.delay.ms": 1000},
    )
    # The broker first: it has to wait for ZooKeeper, however much later that comes.
    stack["kafka-0"].start()
    until("broker that waits for ZooKeeper", lambda: "does not answer" in stack["kafka-0"].log)
    stack.start()
    return stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    try:
        yield running
    finally:
        for daemon in running.daemons.values():
            if daemon.alive():
                daemon.cont()
        running.start()


def send(stack: Stack, value: bytes, timeout_s: float = 30, topic: str = "videocam") -> KafkaError | None:
    """Produce a record with a client that has no limit of its own; returns the broker's refusal."""
    said: list[KafkaError | None] = []
    producer = Producer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "message.max.bytes": 100_000_000,
            "message.timeout.ms": int(timeout_s * 1000),
            "acks": "all",
            "log_level": 0,
        }
    )
    producer.produce(topic, value, key="door", partition=0, callback=lambda error, _: said.append(error))
    producer.flush(timeout_s + 5)
    return said[0]


def watermarks(stack: Stack, topic: str = "videocam") -> tuple[int, int]:
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "tests", "log_level": 0})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)  # type: ignore[no-any-return]
    finally:
        consumer.close()


def test_largest_record_passes_and_no_larger(stack: Stack) -> None:
    largest = MAX_FRAME_BYTES + RECORD_OVERHEAD
    assert send(stack, bytes(largest - 200)) is None  # a batch's and a record's own headers are less
    refused = send(stack, bytes(largest))
    assert refused is not None
    assert refused.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert send(stack, b"small") is None


def test_old_frames_are_deleted_while_new_ones_come(stack: Stack) -> None:
    assert send(stack, b"old") is None
    __, end = watermarks(stack)
    data = Path(stack["kafka-0"].environment["KAFKA_LOG_DIRS"])

    def gone() -> bool:
        assert send(stack, b"new") is None
        return watermarks(stack)[0] >= end

    until("deletion of records older than kafka_retention_ms", gone)
    until("deletion of their files", lambda: not (data / "videocam-0" / f"{0:020}.log").exists())


def test_listens_on_its_own_address_only(stack: Stack) -> None:
    ports = {key: value for key, value in stack.variables.items() if key.endswith("_port") and "peer" not in key}
    for elsewhere in ("zookeeper_election_port", "kafka_topics_port"):
        del ports[elsewhere]
    for port in ports.values():
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def test_metrics(stack: Stack) -> None:
    for metrics_port, metric in (
        ("kafka_metrics_port", "kafka_server_brokertopicmetrics_bytesinpersec"),
        ("zookeeper_metrics_port", "zookeeper_outstandingrequests"),
    ):
        url = f"http://127.0.0.1:{stack.variables[metrics_port]}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert f"\n{metric}" in answer.read().decode()


def test_configuration_is_private(stack: Stack) -> None:
    for daemon, variable, name in (
        (stack["kafka-0"], "KAFKA_WORK_DIR", "server.properties"),
        (stack["zookeeper-0"], "ZOO_WORK_DIR", "zoo.cfg"),
    ):
        assert stat.S_IMODE((Path(daemon.environment[variable]) / name).stat().st_mode) == 0o600


def test_broker_killed_comes_back_at_once(stack: Stack) -> None:
    assert send(stack, b"before", topic="videodisplay") is None
    broker = stack["kafka-0"]
    said = len(broker.log)
    broker.kill()
    broker.start()
    # A broker that finds its predecessor's registration would end, which usable() does not forgive.
    until("broker that serves again", stack.usable)
    assert "NodeExists" not in broker.log[said:]
    assert send(stack, b"after", topic="videodisplay") is None


def test_broker_stopped_cleanly_does_not_wait(stack: Stack) -> None:
    broker = stack["kafka-0"]
    said = len(broker.log)
    broker.terminate()
    broker.start()
    until("broker that serves again", stack.usable)
    assert "waiting:" not in broker.log[said:]


def test_frames_flow_while_zookeeper_is_away(stack: Stack) -> None:
    stack["zookeeper-0"].kill()
    assert send(stack, b"without ZooKeeper") is None
    stack["zookeeper-0"].start()

    def made() -> bool:
        try:
            stack.admin.create_topics([NewTopic("later", 1, 1)], operation_timeout=5)["later"].result(10)
        except KafkaException as error:
            return bool(error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS)
        return True

    until("new topic, which needs ZooKeeper", made)
    assert send(stack, b"with ZooKeeper") is None


@pytest.mark.parametrize("name", ["kafka-0", "zookeeper-0"])
def test_liveness_finds_what_hangs(stack: Stack, name: str) -> None:
    daemon = stack[name]
    until("answer", daemon.answers)  # a busy machine may take its time
    daemon.stop()
    assert not daemon.answers()
    daemon.cont()
    until("answer after SIGCONT", daemon.answers)
