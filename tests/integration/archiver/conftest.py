"""The archiver as a process, between a real Kafka and a store on a file system of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cctv_archiver.store import TEMPORARY
from cctv_common.frames import Frame
from cctv_common.images import image_path
from confluent_kafka import Consumer, Producer, TopicPartition
from ports import free_port
from stores import MountedStore
from waiting import until

from tests.integration.conftest import ROOT, Kafka

SOURCES = os.pathsep.join(str(ROOT / "services" / name) for name in ("common", "archiver"))
PARTITIONS = 4
AT = 1_780_310_096_789
EPOCH = 1_780_000_000_000
_topics = itertools.count()


class Archiver:
    """A process of the service that can be killed, hung and started again."""

    def __init__(self, kafka: Kafka, topic: str, store: Path, log: Path, **environment: str) -> None:
        self.port = free_port()
        self._log = log
        self._environment = (
            os.environ
            | {
                "PYTHONPATH": SOURCES,
                "HTTP_PORT": str(self.port),
                "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "KAFKA_DETECTION_IMAGES_TOPIC": topic,
                "IMAGE_STORE_DIR": str(store),
                "ARCHIVER_RETENTION_HOURS": "0",
                "ARCHIVER_RETRY_MAX_MS": "500",
            }
            | environment
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "cctv_archiver"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=20)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def unmet(self, condition: str) -> str:
        """Why a condition is not met; empty when it is."""
        status, body = self.get("/readyz")
        return str(json.loads(body)["unmet"].get(condition, "")) if status else ""

    def metric(self, name: str) -> float:
        """A sample, by its name with labels; 0 when there is none."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def events(self, event: str) -> list[dict[str, Any]]:
        """What it has logged of one kind."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


class Site:
    """A topic, a store, an archiver, and what was sent."""

    def __init__(self, kafka: Kafka, folder: Path, **environment: str) -> None:
        self.topic = f"images-{os.getpid()}-{next(_topics)}"
        self.kafka = kafka
        kafka.create_topic(self.topic, PARTITIONS)
        self.store = MountedStore(folder)
        self.archiver = Archiver(kafka, self.topic, self.store.path, folder / "log", **environment)
        self.sent: dict[str, bytes] = {}
        self._producer = Producer(
            {"bootstrap.servers": kafka.bootstrap_servers, "acks": "all", "enable.idempotence": True, "log_level": 0}
        )
        picture = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        self._jpeg = cv2.imencode(".jpg", picture)[1].tobytes()

    def send(self, count: int, camera: str = "gate") -> None:
        """Send so many pictures more, spread over hours and partitions, and wait until the broker has them."""
        first = len(self.sent)
        for number in range(first, first + count):
            at = AT + number % 3 * 3_600_000
            jpeg = self._jpeg + str(number).encode()  # what is behind the end is the camera's, and makes each its own
            frame = Frame(camera, EPOCH, number, at, 64, 48, jpeg)
            self.sent[image_path(camera, EPOCH, number, at)] = jpeg
            self.send_raw(jpeg, frame.headers(), number % PARTITIONS)
        assert self._producer.flush(60) == 0

    def send_raw(self, value: bytes | None, headers: Any, partition: int = 0) -> None:
        self._producer.produce(self.topic, value=value, headers=headers, partition=partition)

    def flush(self) -> None:
        assert self._producer.flush(60) == 0

    def files(self) -> dict[str, bytes]:
        """All pictures in the store, mounted or not."""
        found = {}
        for path in self.store.disk.rglob("*.jpg"):
            if not path.name.startswith(TEMPORARY):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile, as too old
                    found[str(path.relative_to(self.store.disk))] = path.read_bytes()
        return found

    def unfinished(self) -> list[Path]:
        """What was being written."""
        return list(self.store.disk.rglob(f"{TEMPORARY}*"))

    def committed(self) -> int:
        """How many records the group need never read again."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap_servers, "group.id": "archiver", "log_level": 0})
        try:
            places = consumer.committed([TopicPartition(self.topic, n) for n in range(PARTITIONS)], timeout=10)
        finally:
            consumer.close()
        return sum(max(0, place.offset) for place in places)

    def wait_archived(self, timeout_s: float = 90) -> None:
        """Return once every picture that was sent is in the store, whole and once; fails telling what is missing."""
        with contextlib.suppress(AssertionError):  # which would not tell what is missing
            until("pictures in the store", lambda: self.files() == self.sent, timeout_s)
        files = self.files()
        assert sorted(files.keys() ^ self.sent.keys()) == []
        assert files == self.sent

    def close(self) -> None:
        self.archiver.kill()
        self.store.close()


@pytest.fixture
def site_of(kafka: Kafka, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes sites, with more environment for the archiver."""
    sites: list[Site] = []

    def make(**environment: str) -> Site:
        folder = tmp_path / str(len(sites))
        folder.mkdir()
        sites.append(Site(kafka, folder, **environment))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(site_of: Callable[..., Site]) -> Site:
    """A site whose archiver is not started yet."""
    return site_of()
