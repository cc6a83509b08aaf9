"""Decides which request runs when: so many are taken in, so many run at a time, the rest is told at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy.typing as npt
from cctv_common.metrics import WorkMetrics
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from cctv_serving.model import Call, Model
from cctv_serving.status import ServingError

Array = npt.NDArray[Any]
_BUCKETS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 1, 2, 5)


class Metrics:
    """What the server counts."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests = Counter(
            "cctv_serving_requests",
            "Requests by interface, method and status code",
            ["api", "method", "code"],
            registry=registry,
        )
        self.duration = Histogram(
            "cctv_serving_predict_seconds",
            "Time that predictions took, waiting included",
            ["api"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.work = WorkMetrics("serving", registry)
        self.in_flight = Gauge("cctv_serving_in_flight", "Predictions that run or wait", registry=registry)


class Engine:
    """Bounds work: at most ``max_in_flight`` predictions are in the house, ``slots`` of them run, in turn.

    More than TensorFlow has threads for would only share them and make every answer late.
    """

    def __init__(self, max_in_flight: int, slots: int, metrics: Metrics) -> None:
        self.metrics = metrics
        self._places = threading.Semaphore(max_in_flight)
        self._slots = threading.Semaphore(slots)
        self._max_in_flight = max_in_flight
        self._counting = threading.Lock()
        self.waiting = 0

    @contextlib.contextmanager
    def admitted(self, api: str) -> Iterator[None]:
        """Hold one place for a prediction; raises ServingError (RESOURCE_EXHAUSTED) at once when all are taken."""
        if not self._places.acquire(blocking=False):
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._max_in_flight} requests are in flight already; try later"
            )
        began = time.perf_counter()
        self.metrics.in_flight.inc()
        try:
            yield
        finally:
            self.metrics.in_flight.dec()
            self.metrics.duration.labels(api).observe(time.perf_counter() - began)
            self._places.release()

    def execute(self, model: Model, call: Call, remaining_s: float | None, wanted: Callable[[], bool]) -> list[Array]:
        """Run the model, in a batch with others if its requests are batched, else in turn."""
        if model.batches:
            return model.batches.run(call.feeds, call.fetches, _limit(remaining_s), wanted)
        return self.run(lambda: model.run(call.feeds, call.fetches), remaining_s, wanted)

    @contextlib.contextmanager
    def _waits(self) -> Iterator[None]:
        with self._counting:
            self.waiting += 1
        try:
            yield
        finally:
            with self._counting:
                self.waiting -= 1

    def run(
        self, work: Callable[[], list[Array]], remaining_s: float | None, wanted: Callable[[], bool]
    ) -> list[Array]:
        """Run ``work`` when its turn comes, unless ``remaining_s`` is over or nobody wants it by then."""
        # A frame that its client gave up costs nothing: that keeps an overloaded server useful.
        with self._waits():
            mine = self._slots.acquire(timeout=_limit(remaining_s))
        if not mine:
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for notification")
        try:
            if not wanted():
                raise ServingError(grpc.StatusCode.CANCELLED, "RunManyGraphs")
            return work()
        finally:
            self._slots.release()


def _limit(remaining_s: float | None) -> float | None:
    # A call without a deadline has, as gRPC tells it, more seconds than can be waited for.
    return None if remaining_s is None or remaining_s > threading.TIMEOUT_MAX else max(remaining_s, 0)
