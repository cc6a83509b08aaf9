"""The metrics that every stage of the frames' way has, under the same names."""

from __future__ import annotations

from typing import Any, Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

AGE_BUCKETS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10)


class _Log(Protocol):
    def warning(self, event: str | None = None, *args: Any, **kw: Any) -> Any: ...


class StageMetrics:
    """Frames in, out and dropped of one stage, by camera, and their age when they left it.

    A camera's id enters only after it was checked: records come from anywhere and must not grow the registry.
    """

    def __init__(self, stage: str, registry: CollectorRegistry = REGISTRY) -> None:
        self.stage = stage
        self._in = Counter("cctv_frames_in", "Frames that reached the stage", ["stage", "camera"], registry=registry)
        self._out = Counter("cctv_frames_out", "Frames that left the stage", ["stage", "camera"], registry=registry)
        self._dropped = Counter(
            "cctv_frames_dropped", "Frames that the stage dropped", ["stage", "camera", "cause"], registry=registry
        )
        self._age = Histogram(
            "cctv_frame_age_seconds",
            "Age since capture on leaving the stage",
            ["stage", "camera"],
            buckets=AGE_BUCKETS,
            registry=registry,
        )
        self._told: set[str] = set()

    def received(self, camera: str) -> None:
        """Count a frame that reached the stage."""
        self._in.labels(self.stage, camera).inc()

    def sent(self, camera: str, age_ms: float) -> None:
        """Count a frame that left the stage, ``age_ms`` after its capture."""
        self._out.labels(self.stage, camera).inc()
        self._age.labels(self.stage, camera).observe(max(age_ms, 0.0) / 1000)

    def dropped(self, camera: str, cause: str, count: int = 1) -> None:
        """Count frames that the stage dropped; ``camera`` is empty where it is unknown."""
        self._dropped.labels(self.stage, camera, cause).inc(count)

    def forget(self, camera: str) -> None:
        """Remove a camera's figures, when it is known to be gone for good."""
        for metric in (self._in, self._out, self._dropped, self._age):
            metric.remove_by_labels({"stage": self.stage, "camera": camera})

    def bad_record(self, cause: str, message: str, log: _Log, camera: str = "") -> None:
        """Count a record that is no frame, and log the first one of each cause."""
        self.dropped(camera, cause)
        if cause not in self._told:
            self._told.add(cause)
            log.warning("bad record", cause=cause, problem=message, note="logged once per cause, counted always")
