"""What /cameras says of a camera's flow, over a sliding window of a few seconds."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MOST_SAMPLES = 4096
"""Kept per camera at the most, whatever comes in."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Rates in frames/s, ages in ms; None where the window holds no frame (or no label)."""

    fps: float
    fps_in: float
    age_p50_ms: float | None
    age_p95_ms: float | None
    label: str | None
    probability: float | None


class _Arrival(NamedTuple):
    since: float
    at: float
    frames: int
    """Sequence numbers used up by the producer between ``since`` and ``at``."""


class _Delivery(NamedTuple):
    at: float
    age_ms: float
    label: str
    probability: float


class Window:
    """The last ``span_s`` seconds of one camera. Not thread-safe."""

    def __init__(self, span_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._span_s = span_s
        self._clock = clock
        self._arrivals: deque[_Arrival] = deque(maxlen=MOST_SAMPLES)
        self._deliveries: deque[_Delivery] = deque(maxlen=MOST_SAMPLES)
        self._last: tuple[int, int, float] | None = None
        self._began: float | None = None

    def arrived(self, epoch: int, frame: int) -> None:
        """Note a frame's sequence number, whether the frame is shown or dropped."""
        now = self._clock()
        if self._last is not None:
            last_epoch, last_frame, since = self._last
            if epoch == last_epoch and frame <= last_frame:
                return
            self._arrivals.append(_Arrival(since, now, frame - last_frame if epoch == last_epoch else 1))
        self._last = (epoch, frame, now)

    def delivered(self, age_ms: float, label: str = "", probability: float = 0.0) -> None:
        """Note a frame that was published to viewers, ``age_ms`` after its capture."""
        now = self._clock()
        if self._began is None:
            self._began = now
        else:
            self._deliveries.append(_Delivery(now, age_ms, label, probability))

    def summary(self) -> Summary:
        """The figures as of now."""
        now = self._clock()
        cutoff = now - self._span_s
        for samples in (self._arrivals, self._deliveries):
            while samples and samples[0].at <= cutoff:
                samples.popleft()
        # A camera that has just begun has no full window yet; its first frame only starts the clock.
        began = now if self._began is None else self._began
        span = max(min(self._span_s, now - began), 1e-3)
        ages = sorted(d.age_ms for d in self._deliveries)
        label, probability = _most_frequent(self._deliveries)
        return Summary(
            fps=round(len(ages) / span, 1),
            fps_in=round(sum(_frames_after(cutoff, a) for a in self._arrivals) / span, 1),
            age_p50_ms=_percentile(ages, 50),
            age_p95_ms=_percentile(ages, 95),
            label=label,
            probability=probability,
        )


def _frames_after(cutoff: float, arrival: _Arrival) -> float:
    """The arrival's frames, spread evenly over the time they took, as far as that lies behind ``cutoff``."""
    took = arrival.at - arrival.since
    return arrival.frames if took <= 0 else arrival.frames * min(1.0, (arrival.at - cutoff) / took)


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Nearest rank: always a value that occurred."""
    return round(ordered[math.ceil(len(ordered) * percent / 100) - 1], 1) if ordered else None


def _most_frequent(deliveries: Sequence[_Delivery]) -> tuple[str | None, float | None]:
    labels = Counter(d.label for d in deliveries if d.label)
    if not labels:
        return None, None
    label = labels.most_common(1)[0][0]
    said = [d.probability for d in deliveries if d.label == label]
    return label, round(sum(said) / len(said), 4)
