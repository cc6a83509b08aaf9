"""Every service beside a real Kafka, for those who look inside; Spark's driver stands for itself by what it counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import structlog
from cctv_common.frames import Frame
from cctv_detection.progress import Progress
from cctv_detection.worker import Looked
from confluent_kafka import Consumer, Producer, TopicPartition
from ports import free_port
from prometheus_client import CollectorRegistry, start_http_server
from waiting import until

from tests.integration.conftest import LARGEST_RECORD, ROOT, Daemon, Kafka

SOURCES = os.pathsep.join(str(path) for path in sorted((ROOT / "services").iterdir()) if (path / "Dockerfile").exists())
SOURCES += os.pathsep + str(ROOT / "services/common")
IMAGES, DETECTIONS = "detection-images", "detections"
CAMERA = "bikes"
AWAY = "gone"
"""A camera that nobody can reach."""
REPORT = {
    "batchId": 0,
    "durationMs": {"addBatch": 200, "triggerExecution": 300},
    "sources": [
        {
            "startOffset": {"videocam": {"0": 0}},
            "endOffset": {"videocam": {"0": 3}},
            "numInputRows": 3,
            "metrics": {"maxOffsetsBehindLatest": "3"},
        }
    ],
}


class Service(Daemon):
    """A service, from the checkout's sources."""

    def __init__(self, name: str, folder: Path, *arguments: str, port: int, **environment: str) -> None:
        self.port = port
        self.name = name
        super().__init__(name, folder, {"PYTHONPATH": SOURCES, "HTTP_PORT": str(port), **environment})
        self.command = [sys.executable, "-m", f"cctv_{name}", *arguments]

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 when nobody answers."""
        assert self.alive(), f"{self.name} has ended:\n{self.log[-4000:]}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have those labels."""
        return sum(
            float(line.rpartition(" ")[2])
            for line in self.get("/metrics")[1].splitlines()
            if line.split("{")[0].split(" ")[0] == name
            and all(f'{key}="{value}"' in line for key, value in labels.items())
        )


class Site:
    """All of them; ``targets`` has the component, the name and the port of each that Prometheus asks."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka = kafka
        self._folder = folder
        self._records = Producer({"bootstrap.servers": kafka.bootstrap_servers, "message.max.bytes": LARGEST_RECORD})
        self.services: dict[str, Service] = {}
        brokers = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_MAX_FRAME_BYTES": str(kafka.max_frame_bytes),
        }
        nobody = f"http://127.0.0.1:{free_port()}"
        # A busy test machine is slow, and that is not what is tested.
        patient = {"FRAME_MAX_AGE_MS": "60000"}
        grpc = free_port()
        topics = [{"name": name} for name in (kafka.videocam_topic, kafka.videodisplay_topic, IMAGES, DETECTIONS)]
        model = folder / "imagenet"
        subprocess.run(
            [sys.executable, "-m", "cctv_serving.imagenet", str(model)],
            env=os.environ | {"PYTHONPATH": SOURCES},
            check=True,
            timeout=120,
        )
        self._add("topics", TOPICS=json.dumps(topics), TOPICS_CHECK_INTERVAL_MS="500", **brokers)
        rest = free_port()
        self._add(
            "serving",
            f"--port={grpc}",
            f"--rest_api_port={rest}",
            "--model_name=imagenet",
            f"--model_base_path={model}",
            "--tensorflow_intra_op_parallelism=1",
            port=rest,
            HTTP_HOST="127.0.0.1",
        )
        self._add("video", **brokers, **patient)
        self._add(
            "consumer",
            **brokers,
            **patient,
            TF_SERVING_GRPC_TARGET=f"ipv4:127.0.0.1:{grpc}",
            PREDICT_TIMEOUT_MS="15000",
        )
        (folder / "store").mkdir()
        self._add("archiver", **brokers, KAFKA_DETECTION_IMAGES_TOPIC=IMAGES, IMAGE_STORE_DIR=str(folder / "store"))
        self._add("indices", ELASTICSEARCH_URL=nobody)
        self._add("ui", ELASTICSEARCH_URL=nobody, IMAGE_STORE_DIR=str(folder / "store"))
        self._add("producer", **brokers, CAMERA_ID=CAMERA, CAMERA_URL=f"sample:{CAMERA}", CAMERA_FPS="5", **patient)
        self._add("producer", name="gone", **brokers, CAMERA_ID=AWAY, CAMERA_URL=f"{nobody}/mjpeg")
        self.targets = {name: (service.name, service.port) for name, service in self.services.items()}
        for daemon, component in ((kafka.broker, "kafka"), (kafka.zookeeper, "zookeeper")):
            port = daemon.environment.get("KAFKA_METRICS_PORT") or daemon.environment["ZOO_METRICS_PORT"]
            self.targets[f"{component}-0"] = component, int(port)
        self.targets["spark-driver-0"] = "detection", free_port()
        self._spark = _counted(self.targets["spark-driver-0"][1])

    def _add(self, module: str, *arguments: str, name: str = "", port: int = 0, **environment: str) -> None:
        name = name or module
        self.services[name] = Service(
            module, self._folder / f"run-{name}", *arguments, port=port or free_port(), **environment
        )
        self.services[name].start()

    def wait(self) -> None:
        """Wait until predicted frames flow."""
        shown = self["video"]
        until("prediction", lambda: self["serving"].metric("cctv_serving_requests_total", code="OK"), 120)
        until("model", lambda: self["consumer"].metric("cctv_model_up"))
        until("frame", lambda: shown.metric("cctv_frames_out_total", stage="video", camera=CAMERA))
        until("archiver", lambda: self["archiver"].get("/readyz")[0] == 200)
        self.send(IMAGES, self.frame().jpeg, self.frame().headers())
        until("archived picture", lambda: self["archiver"].metric("cctv_frames_out_total"))
        self.send(IMAGES, b"no picture", self.frame().headers())
        until("count of what is no picture", lambda: self["archiver"].metric("cctv_frames_dropped_total"))
        # As Filebeat says how far it is.
        filebeat = Consumer({"bootstrap.servers": self.kafka.bootstrap_servers, "group.id": "filebeat"})
        filebeat.commit(offsets=[TopicPartition(DETECTIONS, 0, 0)], asynchronous=False)
        filebeat.close()

    def frame(self) -> Frame:
        """A frame of now."""
        jpeg = cv2.imencode(".jpg", np.full((32, 32, 3), 127, np.uint8))[1].tobytes()
        return Frame(CAMERA, 1, 1, int(time.time() * 1000), 32, 32, jpeg)

    def send(self, topic: str, value: bytes | None, headers: Any) -> None:
        """Send any record."""
        while True:
            try:
                self._records.produce(topic, value=value, headers=headers)
                return
            except BufferError:
                self._records.poll(1)

    def flush(self) -> None:
        """Wait until Kafka has all that was sent."""
        assert self._records.flush(60) == 0

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def ended(self) -> dict[str, str]:
        """The last words of those that have ended."""
        return {name: service.log[-2000:] for name, service in self.services.items() if not service.alive()}

    def close(self) -> None:
        """Kill them all."""
        self._spark[0].shutdown()
        self._spark[0].server_close()
        for service in self.services.values():
            service.kill()


def _counted(port: int):  # type: ignore[no-untyped-def]
    """Serve what Spark's driver counts of a batch: the JVM adds nothing to it."""
    registry = CollectorRegistry()
    progress = Progress(structlog.stdlib.get_logger(), registry)
    progress.batches([REPORT])
    now = int(time.time() * 1000)
    progress.heard([Looked(CAMERA, now - 400, float(now), 0.1)])
    return start_http_server(port, "127.0.0.1", registry)


@pytest.fixture(scope="module")
def site(kafka_session: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Every service, with one camera that sends and one that is away."""
    one = Site(kafka_session, tmp_path_factory.mktemp("inside"))
    try:
        one.wait()
        yield one
    finally:
        one.close()
