"""Open cameras: streams and video files through OpenCV's FFmpeg, folders of stills."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

# Read when OpenCV first opens something. FFmpeg's own lines would repeat with every try to connect, and may hold the
# camera's URL with its password; what went wrong is said by CameraAway.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

from cctv_producer.image import Image
from cctv_producer.location import Location
from cctv_producer.pacing import Pause, Timetable

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

DEFAULT_FILE_FPS = 25.0
STILLS_FPS = 1.0


class CameraAway(Exception):
    """There are no pictures to be had from the camera now; the message says why."""


class Unreadable(Exception):
    """One picture is none; the next may be."""


class Source(Protocol):
    """An open camera. Both methods raise CameraAway; once they did, only ``close`` makes sense."""

    def grab(self) -> None:
        """Wait for the next picture, whose time is now; raises Unreadable when it cannot be read."""

    def retrieve(self) -> Image:
        """Return the grabbed picture, BGR of shape (height, width, 3); to be asked for at most once a picture."""

    def close(self) -> None:
        """Let go of the camera."""


def connect(location: Location, pause: Pause, *, fps: float, timeout_ms: int) -> Source:
    """Open what ``location`` names; raises CameraAway.

    ``pause`` is how to wait. ``fps`` is the wanted rate, for stills, which have none of their own. A stream that takes
    longer than twice ``timeout_ms`` to open, or sends nothing for ``timeout_ms``, is away.
    """
    if location.kind == "stills":
        return _Stills(location, pause, fps or STILLS_FPS)
    if location.kind == "video":
        return _LoopedVideo(location.paths[0], pause)
    return _Stream(location, timeout_ms)


class _Stream:
    """RTSP, MJPEG over HTTP and what else FFmpeg reads from the network."""

    def __init__(self, location: Location, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        # One decoding thread: each more would hold back one frame, and be there for every camera.
        self._capture = cv2.VideoCapture(
            location.url,
            cv2.CAP_FFMPEG,
            [
                *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 2 * timeout_ms),
                *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms),
                *(cv2.CAP_PROP_N_THREADS, 1),
            ],
        )
        if not self._capture.isOpened():
            raise CameraAway(_why_closed(location, timeout_ms))

    def grab(self) -> None:
        if not self._capture.grab():
            raise CameraAway(f"it ended the stream, or sent nothing for {self._timeout_ms} ms")

    def retrieve(self) -> Image:
        return _retrieve(self._capture)

    def close(self) -> None:
        self._capture.release()


class _LoopedVideo:
    """A video file, at its own speed, from the beginning again after its end."""

    def __init__(self, path: Path, pause: Pause) -> None:
        self._path = path
        self._timetable = Timetable(pause)
        self._moment = 0.0  # of the grabbed frame, in seconds of the endless play
        self._round_began = 0.0
        self._open()

    def _open(self) -> None:
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not self._capture.isOpened():
            raise CameraAway(f"{self._path} is missing or no video")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._interval = 1 / (fps if 1 <= fps <= 240 else DEFAULT_FILE_FPS)
        self._first: float | None = None  # time stamp of the round's first frame

    def grab(self) -> None:
        while not self._capture.grab():
            if self._first is None:
                raise CameraAway(f"{self._path} has no frame that can be decoded")
            # Opened anew, not sought back: not every container can be sought in.
            self._capture.release()
            self._round_began = self._moment + self._interval
            self._open()
        timestamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._first is None:
            self._first = timestamp
            self._moment = self._round_began
        else:
            # Frames of a file of variable rate have times of their own; where there are none, the rate has to do.
            moment = self._round_began + timestamp - self._first
            self._moment = moment if moment > self._moment else self._moment + self._interval
        self._timetable.wait(self._moment)

    def retrieve(self) -> Image:
        return _retrieve(self._capture)

    def close(self) -> None:
        self._capture.release()


class _Stills:
    """Pictures one after the other, over and over, ``fps`` of them a second."""

    def __init__(self, location: Location, pause: Pause, fps: float) -> None:
        self._location = location
        self._timetable = Timetable(pause)
        self._interval = 1 / fps
        self._shown = 0
        self._bad = 0
        self._round: Iterator[Path] = iter(())
        self._image: Image | None = None

    def grab(self) -> None:
        self._timetable.wait(self._shown * self._interval)
        self._shown += 1
        path = self._next()
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            self._bad += 1
            raise Unreadable(f"{path} cannot be decoded")
        self._bad = 0
        self._image = image.astype("uint8", copy=False)

    def _next(self) -> Path:
        path = next(self._round, None)
        if path is not None:
            return path
        try:
            pictures = self._location.pictures()
        except OSError as error:
            raise CameraAway(f"{self._location.shown} cannot be read: {error.strerror}") from None
        if not pictures:
            raise CameraAway(f"{self._location.shown} holds no pictures")
        if self._bad >= len(pictures):
            raise CameraAway(f"{self._location.shown} holds no picture that can be decoded")
        self._round = iter(pictures)
        return next(self._round)

    def retrieve(self) -> Image:
        assert self._image is not None
        return self._image

    def close(self) -> None:
        self._image = None


def _retrieve(capture: cv2.VideoCapture) -> Image:
    done, image = capture.retrieve()
    if not done:
        raise CameraAway("it sends pictures that cannot be decoded")
    return image.astype("uint8", copy=False)


def _why_closed(location: Location, timeout_ms: int) -> str:
    # FFmpeg's reason does not get through OpenCV; the commonest ones are seen by a plain connection.
    try:
        socket.create_connection((location.host, location.port), timeout_ms / 1000).close()
    except OSError as error:
        return f"no connection to {location.shown}: {error.strerror or error}"
    return f"{location.shown} answers, but no stream came: it hangs, or the path, user or password is wrong"
