"""The thread that reads ahead of everything else, so that the newest frame is always the one at hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import cv2
from cctv_common.health import Health
from cctv_common.log import Log
from cctv_common.metrics import StageMetrics

from cctv_producer.image import Image
from cctv_producer.lookout import Lookout
from cctv_producer.metrics import CameraMetrics
from cctv_producer.pacing import Backoff, Moments, Pacer, Pause
from cctv_producer.slot import Slot
from cctv_producer.source import CameraAway, Source, Unreadable


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame to be sent: its number, from 0, and when it was read, in ms since 1970."""

    number: int
    captured_at: int
    image: Image


class Reader(threading.Thread):
    """Reads frames for ever, reconnecting when the camera goes away, and leaves the newest wanted one in ``slot``.

    ``source`` opens the camera, given a way to wait. ``lookout`` is for what is a camera, and no footage. ``failure``
    is set when the thread ended by an error of its own.
    """

    def __init__(
        self,
        source: Callable[[Pause], Source],
        slot: Slot[Picture],
        *,
        camera: str,
        pacer: Pacer,
        backoff: Backoff,
        stage: StageMetrics,
        metrics: CameraMetrics,
        health: Health,
        log: Log,
        stop: threading.Event,
        lookout: Lookout | None = None,
        settled_s: float = 10.0,
    ) -> None:
        super().__init__(name="reader", daemon=True)
        self.failure: Exception | None = None
        self._source = source
        self._slot = slot
        self._camera = camera
        self._pacer = pacer
        self._backoff = backoff
        self._stage = stage
        self._metrics = metrics
        self._health = health
        self._log = log
        self._stop_event = stop
        self._lookout = lookout
        self._moments = Moments()
        self._settled_s = settled_s
        self._number = 0
        self._up_since: float | None = None
        self._away_since: float | None = None
        self._reasons: set[str] = set()
        self._told_unreadable: set[str] = set()

    def run(self) -> None:
        """Read until ``stop`` is set."""
        try:
            while not self._stop_event.is_set():
                try:
                    with closing(self._source(self._pause)) as source:
                        while not self._stop_event.is_set():
                            self._read(source)
                except (CameraAway, cv2.error) as error:
                    self._lost(str(error))
                    self._pause(self._backoff.next())
                    self._metrics.reconnects.inc()
        except Exception as error:
            self.failure = error
            self._log.exception("reader failed")
            self._stop_event.set()

    def _read(self, source: Source) -> None:
        self._health.beat("reader")
        try:
            to_be_had = source.grab()
            captured_at = self._moments.now()
            if self._stop_event.is_set():
                return
            self._metrics.read.inc()
            if self._up_since is None:
                self._found()
            if not to_be_had or not self._pacer.wants(time.monotonic()):
                self._metrics.skipped.inc()
                return
            image = source.retrieve()
        except Unreadable as error:
            self._unreadable(str(error))
            return
        self._stage.received(self._camera)
        picture = Picture(self._number, captured_at, image)
        self._number += 1
        problem = self._lookout.look(image, source.codec, time.monotonic()) if self._lookout else ""
        if problem:
            self._stage.dropped(self._camera, problem)
        elif self._slot.put(picture):
            self._stage.dropped(self._camera, "overtaken")

    def _pause(self, seconds: float) -> None:
        """Wait, but beat meanwhile, and return early when it is time to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stop_event.wait(min(left, 1.0)):
            self._health.beat("reader")

    def _found(self) -> None:
        now = time.monotonic()
        if self._away_since is not None:
            self._log.info("camera is back", away_s=round(now - self._away_since, 1))
        else:
            self._log.info("camera is up")
        self._up_since, self._away_since = now, None
        self._metrics.up.set(1)

    def _lost(self, reason: str) -> None:
        now = time.monotonic()
        # A camera that gives a frame and goes again must not be asked, and told of, at full speed.
        if self._up_since is not None and now - self._up_since >= self._settled_s:
            self._backoff.reset()
        if self._away_since is None:
            self._away_since = now
            self._reasons = {reason}
            self._log.warning("camera is away", reason=reason, note="trying again until it is back")
        elif reason not in self._reasons and len(self._reasons) < 10:
            # It may be back, and not let us in.
            self._reasons.add(reason)
            self._log.warning("camera is still away", reason=reason)
        self._up_since = None
        self._metrics.up.set(0)
        if self._lookout:
            self._lookout.lost()

    def _unreadable(self, problem: str) -> None:
        self._stage.dropped(self._camera, "unreadable")
        if problem not in self._told_unreadable and len(self._told_unreadable) < 100:
            self._told_unreadable.add(problem)
            self._log.warning("picture skipped", problem=problem, note="logged once, counted always")
