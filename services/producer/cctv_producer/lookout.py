"""Looks at what a camera shows, and tells when it is not what it should be."""

from __future__ import annotations

from cctv_common.log import Log

from cctv_producer.image import Image
from cctv_producer.metrics import CameraMetrics
from cctv_producer.sight import GREY_HELD_S, Frozen, Grey, points

TELL_EVERY_S = 60.0


class Lookout:
    """One camera's. Every change is told once, by a line of the log and a metric."""

    def __init__(self, frozen_after_s: float, metrics: CameraMetrics, log: Log) -> None:
        self._metrics = metrics
        self._log = log
        self._frozen_after_s = frozen_after_s
        self._form = ""
        self._grey = Grey()
        self._grey_told_at: float | None = None
        self.lost()

    def lost(self) -> None:
        """Forget how it looked: the camera is away."""
        self._frozen = Frozen(self._frozen_after_s)
        self._frozen_s = 0.0
        self._metrics.frozen.set(0)
        self._metrics.grey.set(0)

    def look(self, image: Image, codec: str, now: float) -> str:
        """Return why the picture of ``now`` is not to be sent; an empty string for one that is."""
        self._tell_form(f"{codec} {image.shape[1]}x{image.shape[0]}")
        seen = points(image)
        self._tell_frozen(self._frozen.shows(seen, now))
        held = self._grey.holds(seen, now)
        self._tell_grey(held, now)
        return "grey" if held else ""

    def _tell_form(self, form: str) -> None:
        if form == self._form:
            return
        if self._form:
            self._metrics.changes.inc()
            self._log.info("camera's pictures have changed", before=self._form, now=form)
        else:
            self._log.info("camera's pictures", now=form)
        self._form = form

    def _tell_frozen(self, frozen_s: float) -> None:
        if frozen_s and not self._frozen_s:
            self._log.warning("camera is frozen", since_s=round(frozen_s), note="its one picture is sent on")
        elif self._frozen_s and not frozen_s:
            self._log.info("camera moves again", frozen_s=round(self._frozen_s))
        self._frozen_s = frozen_s
        self._metrics.frozen.set(bool(frozen_s))

    def _tell_grey(self, held: bool, now: float) -> None:
        self._metrics.grey.set(self._grey.seen)
        # Packets that get lost now and then make grey pictures now and then.
        if held and (self._grey_told_at is None or now - self._grey_told_at > TELL_EVERY_S):
            self._grey_told_at = now
            self._log.warning("camera shows grey", note=f"held back for at most {GREY_HELD_S:g} s, counted always")
