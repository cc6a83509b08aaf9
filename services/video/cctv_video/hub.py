"""The newest frame of each camera, handed from the Kafka thread to every viewer on the event loop.

Nothing is queued: a viewer that is ready takes the newest picture, and what came between is skipped. So a slow
viewer costs no memory and delays nobody, and there is one immutable copy of a picture, whoever looks at it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from cctv_common.frames import Frame

from cctv_video.picture import Picture
from cctv_video.sizes import Sizes
from cctv_video.stats import Window

Drop = Literal["stale", "out_of_order", "too_many_cameras"]


class Full(Exception):
    """There are as many viewers as are allowed."""


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
    """One open stream. Used on the event loop only, as a context: ``with hub.watch() as viewer``.

    ``on_news`` is called when there may be something to take. The picture that it is called with was just made for
    viewers of this size, and may be taken though the camera has gone on meanwhile.
    """

    def __init__(self, hub: Hub, cameras: Collection[str] | None, width: int | None, fps: float | None) -> None:
        self._hub = hub
        self._cameras = cameras
        self.width = width
        self.period = 1 / fps if fps else 0.0
        self.on_news: Callable[[Picture | None], None] = lambda picture: None
        self.ended = asyncio.Event()
        self._sent: dict[str, _Sent] = {}
        self._turn = 0

    def wants(self, cameras: Collection[str]) -> bool:
        """Whether one of ``cameras`` is his."""
        return self._cameras is None or any(camera in self._cameras for camera in cameras)

    def take(self, made: Picture | None = None) -> Picture | None:
        """Return a picture that was not sent yet and is due, or None: ``on_news`` tells when to ask again.

        With several cameras waiting, the one that this viewer was served longest ago comes first. A picture that is
        not there yet in this viewer's size is asked for.
        """
        if self._hub.closed:
            return None
        now = self._hub.now()
        waiting = []
        for newest in self._hub.pictures(self._cameras):
            last = self._sent.get(newest.camera, _NEVER)
            if last.key != newest.key and last.due <= now:
                waiting.append((last.turn, newest))
        if len(waiting) > 1:
            waiting.sort(key=lambda turn_and_picture: turn_and_picture[0])
        for __, newest in waiting:
            picture = newest if self.width is None else self._hub.sized(newest, self.width, made)
            if picture is None or self._sent.get(picture.camera, _NEVER).key == picture.key:
                continue
            self._turn += 1
            self._sent[picture.camera] = _Sent(self._turn, picture.key, self._due(picture.camera, now))
            return picture
        return None

    def _due(self, camera: str, now: float) -> float:
        if not self.period:
            return now
        # Counted from when the last one was due, so that a camera's own rhythm does not lower the rate.
        due = self._sent.get(camera, _NEVER).due + self.period
        return due if due > now else now + self.period

    def forget(self, camera: str) -> None:
        """Drop what is remembered of a camera that is gone."""
        self._sent.pop(camera, None)

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._hub.leave(self)


class _Sent(NamedTuple):
    """What a viewer got of a camera last, and when the next picture is due."""

    turn: int
    key: tuple[int, int]
    due: float


_NEVER = _Sent(0, (-1, -1), 0.0)


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
        max_viewers: int = 256,
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
        self._sizes = Sizes(self._made)
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
        self._sizes.close()
        for viewer in self._viewers:
            viewer.ended.set()

    def watch(
        self, cameras: Collection[str] | None = None, *, width: int | None = None, fps: float | None = None
    ) -> Viewer:
        """Open a stream of some cameras, or of all, at a width of `sizes.WIDTHS` and a rate; raises Full."""
        if len(self._viewers) >= self._max_viewers:
            raise Full
        viewer = Viewer(self, cameras, width, fps)
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """End a stream."""
        self._viewers.discard(viewer)

    def viewers(self) -> int:
        """How many streams are open."""
        return len(self._viewers)

    def now(self) -> float:
        """The hub's clock, in seconds."""
        return self._clock()

    def sized(self, newest: Picture, width: int, made: Picture | None = None) -> Picture | None:
        """A camera's newest picture at ``width`` pixels; else have it made, and return the one just ``made``."""
        picture = self._sizes.ready(newest, width)
        if picture is None:
            self._sizes.make(newest, width)
            if made is not None and made.camera == newest.camera:
                return made
        return picture

    async def snapshot(self, camera: str, width: int | None) -> Picture | None:
        """The camera's newest picture, at ``width`` pixels if it has more."""
        picture = self.picture(camera)
        if picture is None or width is None or self.closed:
            return picture
        return self._sizes.ready(picture, width) or await self._sizes.make(picture, width)

    def _made(self, picture: Picture, width: int) -> None:
        for viewer in self._viewers:
            if viewer.width == width and viewer.wants((picture.camera,)):
                viewer.on_news(picture)

    def _wake(self) -> None:
        with self._lock:
            news, self._news = self._news, set()
        for viewer in self._viewers:
            if viewer.wants(news):
                viewer.on_news(None)

    def _forget(self, camera: str) -> None:
        self._sizes.forget(camera)
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

    def pictures(self, cameras: Collection[str] | None = None) -> list[Picture]:
        """The newest picture of some cameras or of each."""
        with self._lock:
            found = (
                self._cameras.values()
                if cameras is None
                else [self._cameras[camera] for camera in cameras if camera in self._cameras]
            )
            return [camera.picture for camera in found if camera.picture is not None]

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
