"""The consumer as a process, between a real Kafka and two replicas of the real model server."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from cctv_common.frames import Frame
from cctv_common.kafka import RECORD_OVERHEAD
from confluent_kafka import Consumer, Producer, TopicPartition
from ports import free_port
from waiting import until

ROOT = Path(__file__).parents[3]
SOURCES = os.pathsep.join(str(ROOT / "services" / name) for name in ("common", "consumer", "serving"))
HOSTS = ("127.0.0.1", "127.0.7.2")
LATER_HOSTS = ("127.0.7.3", "127.0.7.4")
"""Of replicas that come later."""
CHANNEL_ARGUMENTS = yaml.safe_load((ROOT / "roles" / "tf_serving" / "vars" / "main.yml").read_text())[
    "__tf_serving_channel_arguments"
]


def get(url: str) -> tuple[int, str]:
    """Status and body; status 0 when nobody answers in time."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Process:
    """A service that can be killed, hung and started again."""

    def __init__(self, module: str, log: Path, *arguments: str, **environment: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = os.environ | {"PYTHONPATH": SOURCES} | environment
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def said(self) -> str:
        return self._log.read_text(errors="replace")


class Replica(Process):
    """One model server."""

    def __init__(self, host: str, ports: tuple[int, int], model: Path, log: Path) -> None:
        self.target = f"{host}:{ports[0]}"
        self.url = f"http://{host}:{ports[1]}"
        super().__init__(
            "cctv_serving",
            log,
            f"--port={ports[0]}",
            f"--rest_api_port={ports[1]}",
            "--model_name=imagenet",
            f"--model_base_path={model}",
            "--tensorflow_intra_op_parallelism=1",
            f"--grpc_channel_arguments={CHANNEL_ARGUMENTS}",
            HTTP_HOST=host,
        )
        self.host, self.ports, self.model = host, ports, model

    def usable(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the model server has ended:\n{self.said()[-4000:]}"
        return get(f"{self.url}/v1/models/imagenet")[0] == 200

    def predictions(self) -> float:
        """How many Predict calls it answered."""
        return sum(
            float(line.rpartition(" ")[2])
            for line in get(f"{self.url}/metrics")[1].splitlines()
            if line.startswith("cctv_serving_requests_total") and "redict" in line and "OK" in line.upper()
        )


class Serving:
    """Both replicas."""

    def __init__(self, replicas: list[Replica]) -> None:
        self.replicas = replicas
        self.target = "ipv4:" + ",".join(replica.target for replica in replicas)
        self.urls = ",".join(replica.url for replica in replicas)

    def start(self) -> None:
        """Start what does not run and wake what hangs."""
        for replica in self.replicas:
            if replica.process is None or replica.process.poll() is not None:
                replica.start()
            else:
                replica.signal(signal.SIGCONT)
        for replica in self.replicas:
            until("answer of a model server", replica.usable, 120)

    def kill(self) -> None:
        for replica in self.replicas:
            replica.kill()


@pytest.fixture(scope="session")
def serving_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The session's two replicas; tests take ``serving``."""
    folder = tmp_path_factory.mktemp("serving")
    subprocess.run(
        [sys.executable, "-m", "cctv_serving.imagenet", str(folder / "imagenet")],
        env=os.environ | {"PYTHONPATH": SOURCES},
        check=True,
        timeout=120,
    )
    ports = free_port(*HOSTS, *LATER_HOSTS), free_port(*HOSTS, *LATER_HOSTS)
    replicas = Serving([Replica(host, ports, folder / "imagenet", folder / f"log-{host}") for host in HOSTS])
    try:
        replicas.start()
        yield replicas
    finally:
        replicas.kill()


@pytest.fixture
def serving(serving_session: Serving) -> Iterator[Serving]:
    """Two replicas that serve ``imagenet``; what the test did to them is undone."""
    try:
        yield serving_session
    finally:
        serving_session.start()


class Camera:
    """Feeds the consumer, and keeps what comes out of it."""

    def __init__(self, kafka: Any) -> None:
        self._kafka = kafka
        self._producer = Producer(
            {"bootstrap.servers": kafka.bootstrap_servers, "message.max.bytes": 8 * kafka.max_frame_bytes}
        )
        self._viewer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "group.id": "test-viewer",
                "enable.auto.commit": False,
                "fetch.message.max.bytes": kafka.max_frame_bytes + RECORD_OVERHEAD,
                "reconnect.backoff.max.ms": 500,
            }
        )
        place = TopicPartition(kafka.videodisplay_topic, 0)
        place.offset = self._viewer.get_watermark_offsets(place, timeout=30)[1]
        self._viewer.assign([place])
        self._epoch = int(time.time() * 1000)
        self._number = 0
        self.shown: list[Frame] = []

    def close(self) -> None:
        self._producer.flush(10)
        self._viewer.close()

    def raw(self, value: bytes | None, headers: Any, key: str = "poison") -> None:
        """Send any record."""
        self._producer.produce(self._kafka.videocam_topic, value=value, key=key, headers=headers)
        self._producer.poll(0)

    def send(self, picture: bytes, camera: str = "front", change: Callable[[bytes], bytes] = lambda jpeg: jpeg) -> int:
        """Send a frame, its JPEG changed; returns its number."""
        self._number += 1
        height, width = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED).shape[:2]
        frame = Frame(camera, self._epoch, self._number, int(time.time() * 1000), width, height, change(picture))
        self.raw(frame.jpeg, frame.headers(), camera)
        return self._number

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def look(self, timeout_s: float = 0.0) -> None:
        """Collect what was published."""
        message = self._viewer.poll(timeout_s)
        while message is not None:
            if message.error() is None:
                self.shown.append(
                    Frame.from_record(message.value(), message.headers(), max_bytes=self._kafka.max_frame_bytes)
                )
            message = self._viewer.poll(0)

    def frame(self, number: int, timeout_s: float = 60) -> Frame:
        """The published frame of that number."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.look(0.05)
            for frame in reversed(self.shown):
                if (frame.epoch, frame.frame) == (self._epoch, number):
                    return frame
            assert time.monotonic() < deadline, f"frame {number} was not published within {timeout_s:g} s"

    def until(self, what: str, wanted: Callable[[Frame], bool], picture: bytes, timeout_s: float = 60) -> Frame:
        """Send 20 frames a second until one comes out that is ``wanted``."""
        deadline = time.monotonic() + timeout_s
        seen = len(self.shown)
        while time.monotonic() < deadline:
            self.send(picture)
            self.look(0.05)
            for frame in self.shown[seen:]:
                if wanted(frame):
                    return frame
            seen = len(self.shown)
        raise AssertionError(f"no {what} within {timeout_s:g} s")


@pytest.fixture
def camera(kafka: Any) -> Iterator[Camera]:
    """Sends to videocam and reads videodisplay."""
    one = Camera(kafka)
    try:
        yield one
    finally:
        one.close()


class Running(Process):
    """A consumer."""

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{environment['HTTP_PORT']}"
        super().__init__("cctv_consumer", log, **environment)

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the consumer has ended:\n{self.said()[-4000:]}"
        return get(f"{self.url}/readyz")[0] == 200

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have those labels."""
        total = 0.0
        for line in get(f"{self.url}/metrics")[1].splitlines():
            if line.split("{")[0].split(" ")[0] == name and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rpartition(" ")[2])
        return total

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]


Start = Callable[..., Running]


@pytest.fixture
def start_consumer(kafka: Any, serving: Serving, tmp_path: Path) -> Iterator[Start]:
    """Start a consumer with variables of its own, and wait until it is ready."""
    running: list[Running] = []

    def start(wait: bool = True, **environment: str) -> Running:
        one = Running(
            tmp_path / f"consumer-{len(running)}.log",
            {
                "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "KAFKA_MAX_FRAME_BYTES": str(kafka.max_frame_bytes),
                "TF_SERVING_GRPC_TARGET": serving.target,
                "TF_SERVING_REST_URLS": serving.urls,
                "HTTP_PORT": str(free_port(*HOSTS, *LATER_HOSTS)),
                # A busy test machine is slow, and that is not what is tested.
                "FRAME_MAX_AGE_MS": "60000",
                "PREDICT_TIMEOUT_MS": "15000",
            }
            | environment,
        )
        running.append(one)
        one.start()
        if wait:
            until("readiness of the consumer", one.ready)
        return one

    yield start
    for one in running:
        one.kill()


def _jpeg(picture: Any, quality: int = 90) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


@pytest.fixture(scope="session")
def coffee() -> bytes:
    """The photo of a cup of espresso."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None and spec.submodule_search_locations
    return _jpeg(cv2.imread(str(Path(spec.submodule_search_locations[0]) / "data" / "coffee.png")))
