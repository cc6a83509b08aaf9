"""The detection service as a process, with the models' true weights, on a real Kafka."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from cameras.process import sample_clip
from cctv_common.frames import Frame
from cctv_common.jpeg import dimensions
from confluent_kafka import Consumer, Producer, TopicPartition
from detectors import built, python
from ports import free_port
from prometheus_client.parser import text_string_to_metric_families
from waiting import until

from tests.integration.conftest import MAX_FRAME_BYTES, Daemon, Kafka, jars

ROOT = Path(__file__).resolve().parents[3]
SOURCES = os.pathsep.join(str(ROOT / "services" / name) for name in ("common", "detection"))
PATIENCE_S = 120.0
EVERY = 5


@pytest.fixture(scope="session")
def spark_python() -> Path:
    """A Python that has what the service imports."""
    return python()


@pytest.fixture(scope="session")
def clip() -> list[bytes]:
    """The first frames of the clip of a man in a car, as JPEGs."""
    capture = cv2.VideoCapture(str(sample_clip("carphone_pristine")))
    found = []
    while len(found) < 60:
        there, picture = capture.read()
        assert there, "the clip is shorter than 60 frames"
        found.append(cv2.imencode(".jpg", picture)[1].tobytes())
    capture.release()
    return found


class Detection(Daemon):
    """The service, as its Deployment would run it."""

    def __init__(self, python: Path, folder: Path, environment: dict[str, str]) -> None:
        super().__init__("cctv-detect", folder, environment)
        self.command = [python, "-m", "cctv_detection"]

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.environment['HTTP_PORT']}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> bool:
        """Whether the query runs."""
        assert self.alive(), f"the service has ended:\n{self.log[-6000:]}"
        return self.get("/readyz")[0] == 200

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have those labels."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def said(self, event: str) -> list[dict[str, Any]]:
        """Its log's lines of one kind."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


class Chain:
    """A service with topics of its own: frames in, and what comes of them."""

    def __init__(self, python: Path, folder: Path, client: dict[str, Any], environment: dict[str, str]) -> None:
        """``client``: librdkafka's settings; ``environment``: how the service reaches it, and topics."""
        self.client = {"log_level": 0} | client
        self.videocam, self.detections, self.images = (
            environment[f"KAFKA_{name}_TOPIC"] for name in ("VIDEOCAM", "DETECTIONS", "DETECTION_IMAGES")
        )
        self.environment = {
            "HTTP_PORT": str(free_port()),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": SOURCES,
            "KAFKA_MAX_FRAME_BYTES": str(MAX_FRAME_BYTES),
            "DETECTION_EVERY": str(EVERY),
            "DETECTION_CAMERAS": '{"never": {"every": 0}}',
            "DETECTION_MODELS_DIR": str(built()),
            "DETECTION_JARS_DIR": str(jars("detection")),
            "DETECTION_CHECKPOINT_DIR": str(folder / "checkpoint"),
            "DETECTION_MAX_RECORDS": "40",
            "SPARK_MASTER": "local[2]",
        } | environment
        self.checkpoint = folder / "checkpoint" / "v1"
        (folder / "tmp").mkdir()
        self.service = Detection(python, folder / "detection", self.environment)
        self._producer = Producer(self.client | {"message.max.bytes": 2 * MAX_FRAME_BYTES})
        self.epoch = int(time.time() * 1000)

    def start(self) -> None:
        """Start the service, and wait until its query runs."""
        self.service.start()
        until("running query", self.service.ready, PATIENCE_S)

    def raw(self, value: bytes | None, headers: Any, key: str = "poison") -> None:
        """Send any record."""
        self._producer.produce(self.videocam, value=value, key=key, headers=headers)

    def send(self, camera: str, number: int, jpeg: bytes) -> Frame:
        """Send a frame."""
        width, height = dimensions(jpeg)
        frame = Frame(camera, self.epoch, number, int(time.time() * 1000), width, height, jpeg)
        self.raw(jpeg, frame.headers(), camera)
        return frame

    def flush(self) -> None:
        """Return once the broker has all that was sent."""
        assert self._producer.flush(30) == 0

    def records(self, topic: str) -> list[Any]:
        """All records that a topic has now."""
        consumer = Consumer(self.client | {"group.id": "look"})
        try:
            # A broker that has just started does not lead them at once.
            until(f"leaders of {topic}", lambda: led(consumer, topic))
            found: list[Any] = []
            for partition in range(2):
                place = TopicPartition(topic, partition, 0)
                __, end = consumer.get_watermark_offsets(place, timeout=10)
                consumer.assign([place])
                while end and (not found or (found[-1].partition(), found[-1].offset()) != (partition, end - 1)):
                    message = consumer.poll(10)
                    assert message is not None and message.error() is None
                    found.append(message)
            return found
        finally:
            consumer.close()

    def ids(self) -> list[str]:
        """Ids of all detections so far."""
        return [document["id"] for document in self.documents()]

    def documents(self) -> list[dict[str, Any]]:
        """All detections so far."""
        return [json.loads(record.value()) for record in self.records(self.detections)]

    def pictures(self) -> list[Frame]:
        """All pictures so far."""
        return [
            Frame.from_record(record.value(), record.headers(), max_bytes=MAX_FRAME_BYTES)
            for record in self.records(self.images)
        ]

    def close(self) -> None:
        """Kill the service."""
        self.service.kill()


def led(consumer: Consumer, topic: str) -> bool:
    """Whether all partitions of a topic have a leader."""
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    return len(partitions) > 0 and all(partition.leader >= 0 for partition in partitions.values())


@pytest.fixture
def chain(kafka: Kafka, tmp_path: Path, spark_python: Path) -> Iterator[Chain]:
    """The service, not started yet, that looks at every fifth frame."""
    name = uuid.uuid4().hex[:8]
    topics = {
        f"KAFKA_{topic.upper().replace('-', '_')}_TOPIC": f"{topic}-{name}"
        for topic in ("videocam", "detections", "detection-images")
    }
    for topic in topics.values():
        kafka.create_topic(topic, partitions=2)
    one = Chain(
        spark_python,
        tmp_path,
        {"bootstrap.servers": kafka.bootstrap_servers},
        {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, **topics},
    )
    try:
        yield one
    finally:
        one.close()
