"""The producer as a process, between a camera and a real Kafka."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cameras.process import make_h264, make_jpegs
from cctv_common.frames import Frame
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from ports import free_port
from prometheus_client.parser import text_string_to_metric_families

SERVICES = Path(__file__).parents[3] / "services"
PATIENCE_S = 60.0


class Producer:
    """One producer process and what comes of it."""

    def __init__(self, kafka: Any, folder: Path, camera: str, environment: dict[str, str]) -> None:
        self.camera = camera
        self._log = folder / f"{camera}.log"
        self.port = free_port()
        self._max_bytes = kafka.max_frame_bytes
        self._consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": camera, "log_level": 0})
        end = self._consumer.get_watermark_offsets(TopicPartition(kafka.videocam_topic, 0), timeout=PATIENCE_S)[1]
        self._consumer.assign([TopicPartition(kafka.videocam_topic, 0, end)])
        self._topic = kafka.videocam_topic
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cctv_producer"],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": f"{SERVICES / 'common'}:{SERVICES / 'producer'}",
                    "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                    "HTTP_PORT": str(self.port),
                    "CAMERA_ID": camera,
                    "CAMERA_TIMEOUT_MS": "2000",
                    "CAMERA_BACKOFF_MAX_MS": "500",
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def said(self, event: str) -> int:
        """How often a log line has this event."""
        return sum(json.loads(line)["event"] == event for line in self.log.splitlines() if line.startswith("{"))

    def until(self, what: str, condition: Callable[[], object]) -> None:
        """Wait for a condition, failing with the log when it does not come."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"the producer ended while waiting for {what}:\n{self.log}"
            assert time.monotonic() < deadline, f"no {what}:\n{self.log}"
            time.sleep(0.05)

    def frames(self, count: int) -> list[Frame]:
        """The next frames from Kafka, each checked as the consumer checks it."""
        found: list[Frame] = []
        self.until(f"{count} frames", lambda: found.extend(self._poll()) or len(found) >= count)
        return found[:count]

    def _poll(self) -> Iterator[Frame]:
        message = self._consumer.poll(0.2)
        if message and not message.error() and message.key() == self.camera.encode():
            yield Frame.from_record(message.value(), message.headers(), max_bytes=self._max_bytes)

    def forget(self) -> None:
        """Pass over all frames that were sent before now."""
        self._consumer.assign([TopicPartition(self._topic, 0, OFFSET_END)])

    def get(self, path: str) -> int:
        """The status of a page; 0 when there is no answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples with these labels; 0 when there is none, or no answer yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                families = list(text_string_to_metric_families(answer.read().decode()))
        except OSError:
            return 0.0
        samples = itertools.chain.from_iterable(family.samples for family in families)
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def terminate(self, timeout: float = 5.0) -> int:
        """SIGTERM; the exit status. Fails when it takes longer than ``timeout`` seconds."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._consumer.close()


@pytest.fixture
def start(kafka: Any, tmp_path: Path) -> Iterator[Callable[..., Producer]]:
    """Start producers: ``start("door", CAMERA_URL=...)``."""
    started: list[Producer] = []

    def start(camera: str, **environment: str) -> Producer:
        started.append(Producer(kafka, tmp_path, camera, environment))
        return started[-1]

    yield start
    for producer in started:
        producer.close()


@pytest.fixture(scope="session")
def h264(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the RTSP camera shows."""
    return make_h264(tmp_path_factory.mktemp("rtsp"))


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the MJPEG camera shows."""
    return make_jpegs(tmp_path_factory.mktemp("mjpeg"))
