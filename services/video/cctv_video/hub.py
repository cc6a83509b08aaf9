"""The newest frame of each camera, handed from the Kafka thread to every viewer on the event loop.

Nothing is queued: a viewer that is ready takes the newest picture, and what came between is skipped. So a slow
viewer costs no memory and delays nobody, and there is one immutable copy of a picture, whoever looks at it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from cctv_common.frames import Frame

from cctv_video.stats import Window

BOUNDARY = b"frame"
Drop = Literal["stale", "out_of_order", "too_many_cameras"]


class Full(Exception):
    """There are as many viewers as are allowed."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame as it goes out: ``part`` is its piece of a multipart stream, made once for all viewers."""

    camera: str
    key: tuple[int, int]
    captured_at: int
    age_ms: float
    jpeg: bytes
    label: str
    part: bytes

    @classmethod
    def of(cls, frame: Frame, age_ms: float) -> Picture:
        """Make a frame ready to send; ``age_ms`` is its age now."""
        label = next((p.label for p in frame.predictions if p.label), "")
        headers = {
            "Content-Type": "image/jpeg",
            "Content-Length": len(frame.jpeg),
            **describe(frame.camera, frame.frame, frame.captured_at, label),
        }
        return cls(
            camera=frame.camera,
            key=(frame.epoch, frame.frame),
            captured_at=frame.captured_at,
            age_ms=age_ms,
            jpeg=frame.jpeg,
            label=label,
            part=part(headers, frame.jpeg),
        )

    def headers(self) -> dict[str, str]:
        """The headers that describe the picture."""
        return describe(self.camera, self.key[1], self.captured_at, self.label)


def describe(camera: str, frame: int, captured_at: int, label: str) -> dict[str, str]:
    """A picture's own headers; the label comes from a record, so all but plain characters are percent-encoded."""
    said = {"X-Camera": camera, "X-Frame": str(frame), "X-Captured-At": str(captured_at)}
    return said | {"X-Label": quote(label[:200], safe=" ,'()/")} if label else said


def part(headers: dict[str, Any], body: bytes) -> bytes:
    """One part of a stream that began with a boundary, and the *next* boundary: without it a browser waits."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"".join((head.encode("ascii"), b"\r\n", body, b"\r\n--", BOUNDARY, b"\r\n"))


class _Camera:
    """What the hub holds of one camera."""

    def __init__(self, camera: str, expected: bool, window: Window, now: float) -> None:
        self.id = camera
        self.expected = expected
        self.window = window
        self.picture: Picture | None = None
        self.active_at = now
        self.published_ms = 0.0
        self.frames = 0


class Viewer:
    """One open stream. Used on the event loop only, as a context: ``with hub.watch() as viewer``."""

    def __init__(self, hub: Hub, camera: str | None) -> None:
        self._hub = hub
        self._camera = camera
        self._news = asyncio.Event()
        self.ended = asyncio.Event()
        self._sent: dict[str, tuple[int, tuple[int, int]]] = {}
        self._turn = 0

    def notify(self, cameras: Iterable[str]) -> None:
        """Wake the viewer if one of ``cameras`` is his."""
        if self._camera is None or self._camera in cameras:
            self._news.set()

    def end(self) -> None:
        """Tell the viewer that the hub closes."""
        self.ended.set()
        self._news.set()

    async def next(self) -> Picture | None:
        """Wait for a picture that was not sent yet and return it, or None when the hub closes.

        With several cameras waiting, the one that this viewer was served longest ago comes first.
        """
        while not self._hub.closed:
            self._news.clear()
            waiting = [p for p in self._hub.pictures(self._camera) if self._sent.get(p.camera, (0, None))[1] != p.key]
            if waiting:
                picture = min(waiting, key=lambda p: self._sent.get(p.camera, (0, None))[0])
                self._turn += 1
                self._sent[picture.camera] = (self._turn, picture.key)
                return picture
            await self._news.wait()
        return None

    def forget(self, camera: str) -> None:
        """Drop what is remembered of a camera that is gone."""
        self._sent.pop(camera, None)

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._hub.leave(self)


class Hub:
    """All cameras and all viewers.

    ``offer`` and ``forget_silent`` belong to the Kafka thread, everything about viewers to the event loop;
    ``statuses`` and ``picture`` may be called from anywhere.
    """

    def __init__(
        self,
        expected: Iterable[str] = (),
        *,
        max_cameras: int = 64,
        max_viewers: int = 64,
        max_age_s: float = 2.0,
        silent_after_s: float = 3.0,
        forget_after_s: float = 600.0,
        window_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], float] = lambda: time.time() * 1000,
    ) -> None:
        self._max_cameras = max_cameras
        self._max_viewers = max_viewers
        self._max_age_ms = max_age_s * 1000
        self._silent_after_s = silent_after_s
        self._forget_after_s = forget_after_s
        self._window_s = window_s
        self._clock = clock
        self._wall_ms = wall_ms
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: set[str] = set()
        self._viewers: set[Viewer] = set()
        self._cameras = {camera: _Camera(camera, True, self._window(), clock()) for camera in expected}
        self.closed = False

    # -- the Kafka thread's side

    def offer(self, frame: Frame) -> Picture | Drop:
        """Publish a frame unless it is too old, older than the picture shown, or of one camera too many."""
        with self._lock:
            now = self._clock()
            camera = self._cameras.get(frame.camera) or self._admit(frame.camera, now)
            if camera is None:
                return "too_many_cameras"
            camera.window.arrived(frame.epoch, frame.frame)
            age_ms = frame.age_ms(self._wall_ms())
            if age_ms > self._max_age_ms:
                return "stale"
            if camera.picture is not None and not self._follows(frame, camera, now):
                return "out_of_order"
            picture = Picture.of(frame, age_ms)
            probability = next((p.probability for p in frame.predictions if p.label), 0.0)
            camera.window.delivered(age_ms, picture.label, probability)
            camera.picture = picture
            camera.active_at = now
            camera.published_ms = self._wall_ms()
            camera.frames += 1
            if self._loop is not None and not self._news:  # one wake-up, however many frames it finds
                self._loop.call_soon_threadsafe(self._wake)
            self._news.add(frame.camera)
            return picture

    def forget_silent(self) -> list[str]:
        """Remove the unexpected cameras that have been silent for long, and return their ids."""
        with self._lock:
            now = self._clock()
            gone = [c.id for c in self._cameras.values() if not c.expected and now - c.active_at > self._forget_after_s]
            for camera in gone:
                del self._cameras[camera]
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._forget, camera)
            return gone

    def _window(self) -> Window:
        return Window(self._window_s, self._clock)

    def _admit(self, camera: str, now: float) -> _Camera | None:
        if sum(not c.expected for c in self._cameras.values()) >= self._max_cameras:
            return None
        self._cameras[camera] = _Camera(camera, False, self._window(), now)
        return self._cameras[camera]

    def _follows(self, frame: Frame, camera: _Camera, now: float) -> bool:
        assert camera.picture is not None
        if (frame.epoch, frame.frame) > camera.picture.key:
            return True
        # A producer that restarts after its clock was set back has a lower epoch: taken once the camera is silent.
        return frame.epoch != camera.picture.key[0] and now - camera.active_at > self._silent_after_s

    # -- the event loop's side

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which loop the viewers live on."""
        with self._lock:
            self._loop = loop

    def close(self) -> None:
        """End every stream."""
        with self._lock:
            self._loop = None
        self.closed = True
        for viewer in self._viewers:
            viewer.end()

    def watch(self, camera: str | None = None) -> Viewer:
        """Open a stream of one camera, or of all; raises Full."""
        if len(self._viewers) >= self._max_viewers:
            raise Full
        viewer = Viewer(self, camera)
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """End a stream."""
        self._viewers.discard(viewer)

    def viewers(self) -> int:
        """How many streams are open."""
        return len(self._viewers)

    def _wake(self) -> None:
        with self._lock:
            news, self._news = self._news, set()
        for viewer in self._viewers:
            viewer.notify(news)

    def _forget(self, camera: str) -> None:
        for viewer in self._viewers:
            viewer.forget(camera)

    # -- anywhere

    def knows(self, camera: str) -> bool:
        """Whether the camera is expected or has sent frames lately."""
        return camera in self._cameras

    def picture(self, camera: str) -> Picture | None:
        """The camera's newest picture."""
        found = self._cameras.get(camera)
        return found.picture if found else None

    def pictures(self, camera: str | None = None) -> list[Picture]:
        """The newest picture of one camera or of each."""
        with self._lock:
            cameras = list(self._cameras.values()) if camera is None else [c for c in [self._cameras.get(camera)] if c]
            return [c.picture for c in cameras if c.picture is not None]

    def statuses(self) -> list[dict[str, Any]]:
        """What /cameras says: the expected cameras in their order, then the others by id."""
        with self._lock:
            cameras = sorted(self._cameras.values(), key=lambda c: (not c.expected, "" if c.expected else c.id))
            return [self._status(c) for c in cameras]

    def _status(self, camera: _Camera) -> dict[str, Any]:
        picture = camera.picture
        silent = self._clock() - camera.active_at > self._silent_after_s
        summary = camera.window.summary()
        return {
            "id": camera.id,
            "state": "waiting" if picture is None else "silent" if silent else "live",
            "fps": summary.fps,
            "fps_in": summary.fps_in,
            "age_ms": None if picture is None else round(picture.age_ms, 1),
            "age_p50_ms": summary.age_p50_ms,
            "age_p95_ms": summary.age_p95_ms,
            "label": summary.label,
            "probability": summary.probability,
            "last_frame_at": None if picture is None else iso(camera.published_ms),
            "frames": camera.frames,
        }


def iso(ms: float) -> str:
    """Milliseconds since 1970 as an ISO 8601 time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
