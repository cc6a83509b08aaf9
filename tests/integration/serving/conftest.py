"""The real server as a process of its own, with the real model."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cctv_serving
import cv2
import grpc
import pytest
import requests
from ports import free_port
from tensorflow_serving.apis import model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc

ROOT = Path(__file__).parents[3]
SOURCES = [str(ROOT / "services" / name) for name in ("common", "serving")]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(SOURCES), "HTTP_HOST": "127.0.0.1"} | more


def run_module(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", name, *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Server:
    """A running server and clients of it."""

    def __init__(self, process: subprocess.Popen[str], log: Path, grpc_port: int, rest_port: int, model: str) -> None:
        self.process = process
        self.log_file = log
        self.target = f"127.0.0.1:{grpc_port}"
        self.base = f"http://127.0.0.1:{rest_port}"
        self.url = f"{self.base}/v1/models/{model}"
        self.model = model
        self.channel = grpc.insecure_channel(self.target)
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def request(self, *images: bytes) -> predict_pb2.PredictRequest:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self.model
        tensor = request.inputs["image_bytes"]
        tensor.dtype = 7
        tensor.tensor_shape.dim.add().size = len(images)
        tensor.string_val.extend(images)
        return request

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(self.url, timeout=5).ok:
                    return
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def close(self) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


def package(name: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


Start = Callable[..., Server]


@contextlib.contextmanager
def starter(folder: Path) -> Iterator[Start]:
    servers: list[Server] = []

    def start(base_path: Path | None, *arguments: str, model: str = "imagenet", **variables: str) -> Server:
        grpc_port, rest_port = free_port(), free_port()
        log = folder / f"{len(servers)}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "cctv_serving",
                    f"--port={grpc_port}",
                    f"--rest_api_port={rest_port}",
                    *([f"--model_name={model}", f"--model_base_path={base_path}"] if base_path else []),
                    "--tensorflow_intra_op_parallelism=1",
                    "--tensorflow_inter_op_parallelism=1",
                    *arguments,
                ],
                env=environment(**variables),
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        servers.append(Server(process, log, grpc_port, rest_port, model))
        servers[-1].wait_until_ready()
        return servers[-1]

    try:
        yield start
    finally:
        for server in servers:
            server.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers, which end with the test."""
    with starter(tmp_path) as starting:
        yield starting


@pytest.fixture(scope="module")
def start_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers, which end with the module's tests."""
    with starter(tmp_path_factory.mktemp("servers")) as starting:
        yield starting


@pytest.fixture(scope="session")
def imagenet() -> Path:
    """The built-in model's folder, built once for each state of the sources that make it."""
    sources = Path(cctv_serving.__file__).parent
    names = ("imagenet.py", "efficientnet.py", "torch_file.py")
    digest = hashlib.sha256(b"".join((sources / name).read_bytes() for name in names)).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cctv-pipeline-tests"
    folder = cache / f"imagenet-{digest}"
    done = run_module("cctv_serving.imagenet", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def server(imagenet: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with the built-in model, for tests that leave it as it was."""
    with starter(tmp_path_factory.mktemp("server")) as starting:
        yield starting(imagenet)


@pytest.fixture(scope="session")
def coffee() -> bytes:
    """The photo that every ImageNet classifier worth its name calls espresso, as a JPEG."""
    path = package("skimage") / "data" / "coffee.png"
    return cv2.imencode(".jpg", cv2.imread(str(path)))[1].tobytes()


@pytest.fixture(scope="session")
def coffee_png() -> bytes:
    return (package("skimage") / "data" / "coffee.png").read_bytes()


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    """Photos of several sizes and of many things."""
    found = [path for name in ("skimage", "ultralytics") for path in sorted(package(name).rglob("*.[jp][pn]g"))]
    return [path.read_bytes() for path in found]
