"""The metrics that every stage of the frames' way has, under the same names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

AGE_BUCKETS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10)
MODEL_BUCKETS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30)
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 16, 32, 64)


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


class WorkMetrics:
    """How a stage works on frames: how many wait, how many are worked on together, and how long models take.

    A stage has what it does: one that uses no model counts none.
    """

    def __init__(self, stage: str, registry: CollectorRegistry = REGISTRY) -> None:
        self._stage = stage
        self._waiting = Gauge("cctv_frames_waiting", "Frames that wait in the stage", ["stage"], registry=registry)
        self._batch = Histogram(
            "cctv_batch_frames",
            "Frames that the stage worked on together",
            ["stage"],
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self._model = Histogram(
            "cctv_model_seconds",
            "Time of an answer of the model, to all frames of a batch",
            ["stage", "model"],
            buckets=MODEL_BUCKETS,
            registry=registry,
        )

    def waiting(self, frames: Callable[[], float]) -> None:
        """Have ``frames`` asked how many wait, whenever somebody wants to know."""
        self._waiting.labels(self._stage).set_function(frames)

    def batch(self, frames: int) -> None:
        """Count frames that are worked on together."""
        self._batch.labels(self._stage).observe(frames)

    def model(self, name: str, seconds: float) -> None:
        """Count a model's answer."""
        self._model.labels(self._stage, name).observe(seconds)


class KafkaLag:
    """How many records wait for the stage in Kafka, by what librdkafka says of itself now and then."""

    def __init__(self, stage: str, topic: str, registry: CollectorRegistry = REGISTRY) -> None:
        self._topic = topic
        self._lag = Gauge(
            "cctv_kafka_lag_records", "Records that the stage has not read yet", ["stage"], registry=registry
        ).labels(stage)

    def heard(self, said: Mapping[str, Any]) -> None:
        """Take librdkafka's statistics, as read from its JSON."""
        topic = said["topics"].get(self._topic, {"partitions": {}})
        self._lag.set(sum(map(_lag, topic["partitions"].values())))

    def set(self, records: float) -> None:
        """Say it, where no librdkafka reads."""
        self._lag.set(records)


def _lag(partition: Mapping[str, Any]) -> int:
    # What was stored is newer than what was committed; -1 stands for none yet.
    stored, committed = int(partition["consumer_lag_stored"]), int(partition["consumer_lag"])
    return max(0, stored if stored >= 0 else committed)
