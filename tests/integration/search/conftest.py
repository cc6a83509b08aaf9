"""Filebeat and the indices service, with a real Kafka and Elasticsearch."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from filebeat import program as filebeat_program
from ports import free_port
from waiting import until

from tests.integration.conftest import ROOT, Daemon, Elasticsearch, Kafka

SOURCES = os.pathsep.join(str(ROOT / "services" / name) for name in ("common", "indices"))
TODAY = datetime.datetime.now(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class Filebeat(Daemon):
    """Filebeat, by its launcher."""

    def __init__(self, folder: Path, program: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        super().__init__(
            "filebeat-shipper",
            folder,
            {
                "PATH": f"{program}:{os.environ['PATH']}",
                "FILEBEAT_WORK_DIR": str(folder / "work"),
                "FILEBEAT_TEMPLATE": (ROOT / "services/indices/cctv_indices/template.json").read_text(),
                "HTTP_PORT": str(self.port),
                "POD_IP": "127.0.0.1",
                "POD_NAME": "filebeat-0",
                **environment,
            },
        )
        self.command = [ROOT / "services/filebeat/bin/filebeat-shipper"]

    def stats(self, name: str) -> int:
        """One of its figures, as in libbeat.output.events.acked."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats", timeout=10) as answer:
                said: Any = json.load(answer)
        except OSError:
            assert self.alive(), f"Filebeat has ended:\n{self.log[-4000:]}"
            return 0
        for part in name.split("."):
            said = said.get(part, {})
        return said or 0


class Indices(Daemon):
    """The indices service, from the checkout's sources."""

    def __init__(self, folder: Path, elasticsearch: Elasticsearch, environment: dict[str, str]) -> None:
        path = os.pathsep.join(filter(None, (SOURCES, os.environ.get("PYTHONPATH"))))
        super().__init__(
            "cctv-indices",
            folder,
            {
                "PYTHONPATH": path,
                "HTTP_PORT": str(free_port()),
                "ELASTICSEARCH_URL": elasticsearch.url,
                "INDICES_CHECK_INTERVAL_MS": "200",
                **environment,
            },
        )
        self.command = [sys.executable, "-m", "cctv_indices"]

    def unmet(self) -> dict[str, str]:
        """Why it is not ready; nothing when it is."""
        assert self.alive(), f"the indices service has ended:\n{self.log[-4000:]}"
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.environment['HTTP_PORT']}/readyz", timeout=2
            ) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            said = json.load(error)
        except OSError as error:
            return {"service": str(error)}
        return dict(said["unmet"])

    def ready(self) -> bool:
        """Whether all is as described."""
        return not self.unmet()

    def metrics(self) -> str:
        """What it counts."""
        url = f"http://127.0.0.1:{self.environment['HTTP_PORT']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())

    def once(self, *arguments: str) -> str:
        """What it says when it does one thing; fails when that fails."""
        done = subprocess.run(
            [*self.command, *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


class Chain:
    """A topic of detections, and what ships it."""

    def __init__(self, folder: Path, program: Path, kafka: Kafka, elasticsearch: Elasticsearch) -> None:
        self.kafka, self.elasticsearch = kafka, elasticsearch
        self.folder, self.program = folder, program
        self.topic = f"detections-{uuid.uuid4().hex[:8]}"
        self.started: list[Daemon] = []
        kafka.create_topic(self.topic, 4)

    def filebeat(self, **environment: str) -> Filebeat:
        """Start another Filebeat."""
        said = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA_DETECTIONS_TOPIC": self.topic,
            "ELASTICSEARCH_URL": self.elasticsearch.url,
            "FILEBEAT_GROUP": f"filebeat-{self.topic}",
        }
        filebeat = Filebeat(self.folder / f"filebeat-{len(self.started)}", self.program, said | environment)
        self.started.append(filebeat)
        filebeat.start()
        return filebeat

    def indices(self, **environment: str) -> Indices:
        """Start the indices service."""
        service = Indices(self.folder / f"indices-{len(self.started)}", self.elasticsearch, environment)
        self.started.append(service)
        service.start()
        return service

    def send(self, *values: bytes | dict[str, Any] | None) -> None:
        """Produce records, and wait until the broker has them."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers, "acks": "all"})
        for value in values:
            content = json.dumps(value).encode() if isinstance(value, dict) else value
            key = value["camera"] if isinstance(value, dict) else "gate"
            producer.produce(self.topic, key=str(key), value=content)
        assert producer.flush(30) == 0

    def found(self, index: str = "detections") -> dict[str, dict[str, Any]]:
        """All documents, by id."""
        try:
            self.elasticsearch.ask(f"/{index}/_refresh", method="POST")
            said = self.elasticsearch.ask(f"/{index}/_search?size=10000")
        except urllib.error.HTTPError as error:
            # An index that is being made answers by 503.
            assert error.code in (404, 503)
            return {}
        hits = said["hits"]["hits"]
        assert len({hit["_id"] for hit in hits}) == len(hits) == said["hits"]["total"]["value"]
        return {hit["_id"]: hit["_source"] for hit in hits}

    def wait_found(self, ids: Iterable[str], index: str = "detections") -> None:
        """Return once exactly these documents are there."""
        wanted = set(ids)
        until(f"{len(wanted)} documents in {index}", lambda: set(self.found(index)) == wanted, 90)

    def close(self) -> None:
        for daemon in self.started:
            daemon.kill()


@pytest.fixture(scope="session")
def program() -> Path:
    """The folder of the program filebeat."""
    return filebeat_program()


@pytest.fixture
def chain(tmp_path: Path, program: Path, kafka: Kafka, elasticsearch: Elasticsearch) -> Iterator[Chain]:
    """A chain in an Elasticsearch without anything."""
    for path in ("detections-*", "dead-letters", "_index_template/detections", "_index_template/dead-letters"):
        try:
            elasticsearch.ask(f"/{path}", method="DELETE")
        except urllib.error.HTTPError as error:
            assert error.code == 404
    chain = Chain(tmp_path, program, kafka, elasticsearch)
    try:
        yield chain
    finally:
        chain.close()


@pytest.fixture
def detection() -> Callable[..., dict[str, Any]]:
    """Makes documents as the job does."""

    def make(frame: int, /, days_ago: int = 0, **more: Any) -> dict[str, Any]:
        moment = TODAY - datetime.timedelta(days=days_ago) + datetime.timedelta(milliseconds=500 * frame + 123)
        captured_at = int(moment.timestamp() * 1000)
        epoch = captured_at - 500 * frame
        return {
            "id": f"gate-{epoch}-{frame}",
            "@timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
            "camera": "gate",
            "epoch": epoch,
            "frame": frame,
            "captured_at": captured_at,
            "detected_at": captured_at + 250,
            "width": 640,
            "height": 480,
            "objects": [{"class": "person", "score": 0.76, "box": {"x": 10, "y": 20, "width": 30, "height": 40}}],
            "faces": [{"score": 0.9, "box": {"x": 12, "y": 22, "width": 8, "height": 8}}],
            "classes": ["person"],
            "object_count": 1,
            "face_count": 1,
            "models": [{"task": "objects", "name": "centernet", "version": "1"}],
            "faces_blurred": False,
            "image": f"gate/{moment:%Y-%m-%d}/{moment:%H}/gate-{epoch}-{frame}.jpg",
            **more,
        }

    return make
