"""The video service: its web server alone, fed by the test, and as a process that reads the real Kafka."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from cctv_common.frames import Frame, Prediction
from cctv_common.health import Health
from cctv_video.app import application
from cctv_video.hub import Hub
from cctv_video.server import Server, listen
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry
from waiting import until

ROOT = Path(__file__).parents[3]
SERVICES = os.pathsep.join(str(ROOT / "services" / name) for name in ("common", "video"))


def jpeg(number: int, size: tuple[int, int] = (320, 180), detail: bool = False) -> bytes:
    """A picture that differs from all others with another number; with ``detail`` one of many bytes."""
    picture = np.full((size[1], size[0], 3), (number * 37 % 200, number * 73 % 200, 90), np.uint8)
    if detail:
        picture = np.random.default_rng(number).integers(0, 255, picture.shape, np.uint8)
    cv2.putText(picture, str(number), (10, size[1] // 2), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 3)
    return cv2.imencode(".jpg", picture)[1].tobytes()


PICTURES = [jpeg(number) for number in range(20)]


def frame(camera: str, number: int, epoch: int = 1, label: str = "espresso", picture: bytes | None = None) -> Frame:
    """A frame that is captured now."""
    data = picture or PICTURES[number % len(PICTURES)]
    height, width = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2] if picture else (180, 320)
    return Frame(camera, epoch, number, int(time.time() * 1000), width, height, data, (Prediction("m", label, 0.9),))


class Feed:
    """Sends frames of cameras at a rate, from a thread; cameras may be silenced."""

    def __init__(self, send: Callable[[Frame], object], cameras: Iterable[str], fps: float = 10.0, **how: Any) -> None:
        self.silent: set[str] = set()
        self._send = send
        self._cameras = list(cameras)
        self._period = 1 / fps
        self._how = how
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        epoch, number = int(time.time() * 1000), 0
        while not self._stop.wait(self._period):
            for camera in self._cameras:
                if camera not in self.silent:
                    self._send(frame(camera, number, epoch, **self._how))
            number += 1

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)


class Site:
    """The web server and its hub in this process; it can be ended and started again on its port."""

    def __init__(
        self, cameras: Iterable[str] = ("gate", "yard"), app: Mapping[str, Any] | None = None, **hub: Any
    ) -> None:
        self._cameras = tuple(cameras)
        self._app_settings = app or {}
        self._hub_settings = hub
        self.port = 0
        self.start()

    def start(self) -> None:
        """Serve, with no memory of before."""
        self.registry = CollectorRegistry()
        self.hub = Hub(self._cameras, **self._hub_settings)
        app = application(self.hub, Health(), registry=self.registry, **self._app_settings)
        self._server = Server(app, self.hub)
        listener = listen("127.0.0.1", self.port)
        self.port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        until("start of the server", lambda: self._server.started)

    def stop(self) -> None:
        """End the server; fails when it does not."""
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server did not end"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def offer(self, made: Frame) -> object:
        return self.hub.offer(made)

    def count(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0.0


class Answer:
    """An HTTP answer, whatever its status."""

    def __init__(self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> None:
        request = urllib.request.Request(url, method=method, headers=dict(headers or {}))
        try:
            response = urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            self.status = response.status
            self.headers = response.headers
            self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)


class Viewer:
    """A stream read from a plain socket: what comes over the wire, without a client's help."""

    def __init__(self, port: int, path: str, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        self._file = self.socket.makefile("rb")
        self._chunk = b""
        self.head = b"".join(iter(self._file.readline, b"\r\n")).decode()
        self.status = int(self.head.split()[1])

    def read(self, count: int) -> bytes:
        """So many bytes of the chunked body; raises EOFError at its end, and OSError when it was cut off."""
        while len(self._chunk) < count:
            line = self._file.readline()
            if not line:
                raise ConnectionResetError("cut off")
            size = int(line, 16)
            self._chunk += self._file.read(size)
            self._file.readline()
            if size == 0:
                raise EOFError
        taken, self._chunk = self._chunk[:count], self._chunk[count:]
        return taken

    def line(self) -> str:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.read(1)
        return line[:-2].decode()

    def part(self) -> tuple[dict[str, str], bytes]:
        """The next part, its boundary *behind* it included; the first boundary is to be read before."""
        headers = dict(line.split(": ", 1) for line in iter(self.line, ""))
        body = self.read(int(headers["Content-Length"]))
        assert self.read(len(b"\r\n--frame\r\n")) == b"\r\n--frame\r\n"
        return headers, body

    def picture(self, camera: str | None = None) -> int:
        """Wait for a picture (of the camera) and return its frame's number."""
        while True:
            headers, __ = self.part()
            if "X-Camera" in headers and camera in (None, headers["X-Camera"]):
                return int(headers["X-Frame"])

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()


class Nginx:
    """A reverse proxy as Debian has it, with its own ways of buffering and its HTTP/1.0 to the server behind it."""

    def __init__(self, folder: Path, port: int, locations: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        temporary = " ".join(
            f"{name}_temp_path {folder};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log stderr warn; events {{ }}\n"
            f"http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; {locations} }} }}\n"
        )
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf"]
        )
        until("proxy", self._listens)

    def _listens(self) -> bool:
        assert self._process.poll() is None, "nginx has ended"
        try:
            return Answer(f"{self.url}/nowhere").status == 404
        except OSError:
            return False

    def __enter__(self) -> Nginx:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


class Service:
    """The service as a process of its own."""

    def __init__(self, **environment: str) -> None:
        self.port = int(environment["HTTP_PORT"])
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cctv_video"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": SERVICES} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def status(self, path: str) -> int:
        """The status of an answer; 0 for none."""
        assert self.process.poll() is None, "".join(self.lines)
        try:
            return Answer(self.url + path).status
        except OSError:
            return 0

    def wait_ready(self) -> None:
        until("ready service", lambda: self.status("/readyz") == 200)

    def cameras(self) -> dict[str, Any]:
        return {camera["id"]: camera for camera in Answer(f"{self.url}/cameras").json()["cameras"]}

    def frames(self, camera: str) -> int:
        return int(self.cameras().get(camera, {"frames": 0})["frames"])

    def metrics(self) -> str:
        return Answer(f"{self.url}/metrics").body.decode()

    def resident_mib(self) -> float:
        """Its memory, shared pages included."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 3.0) -> int:
        """Signal the process and return its exit code; fails when it takes longer than allowed."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


class Sender:
    """Puts frames and other records into a topic."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self.topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "linger.ms": 0,
                "message.timeout.ms": 1000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def __call__(self, made: Frame, partition: int = -1) -> None:
        self.record(made.jpeg, made.headers(), partition)

    def record(self, value: bytes | None, headers: Any, partition: int = -1) -> None:
        self._producer.produce(self.topic, value, headers=headers, partition=partition)
        self._producer.poll(0)
