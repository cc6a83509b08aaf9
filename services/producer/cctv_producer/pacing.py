"""When to read, which frames to take, when to try again: all on a monotonic clock, in seconds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

Clock = Callable[[], float]
Pause = Callable[[float], None]

MAX_LAG_S = 1.0


class Pacer:
    """Picks frames at ``rate`` per second out of a stream that has its own; 0 picks every one.

    Deadlines are absolute: each picked frame moves the next one by exactly one period, so lateness never adds up.
    A frame may be up to half a period early, or a camera of just the wanted rate would lose frames to jitter; after a
    gap the deadline is at most half a period behind, so nothing is caught up in a burst.
    """

    def __init__(self, rate: float) -> None:
        self._period = 1 / rate if rate else 0.0
        self._due: float | None = None

    def wants(self, now: float) -> bool:
        """Whether the frame that was read at ``now`` is to be sent."""
        if not self._period or self._due is None:
            self._due = now + self._period
            return True
        if now < self._due - self._period / 2:
            return False
        self._due = max(self._due, now - self._period / 2) + self._period
        return True


class Timetable:
    """Plays something at its own speed: waits until the time of each of its moments, counted from the first wait.

    Late moments are not waited for, so that the rest is on time again; more than a second late, the timetable starts
    anew from there instead of rushing.
    """

    def __init__(self, pause: Pause, clock: Clock = time.monotonic) -> None:
        self._pause = pause
        self._clock = clock
        self._start: float | None = None

    def wait(self, moment: float) -> None:
        """Return at ``moment`` seconds of the play."""
        now = self._clock()
        if self._start is None or now - (self._start + moment) > MAX_LAG_S:
            self._start = now - moment
        ahead = self._start + moment - now
        if ahead > 0:
            self._pause(ahead)


class Backoff:
    """Exponential backoff with full jitter: anything between 0 and a ceiling that doubles from ``first`` to ``most``.

    Full jitter, because all cameras behind one switch go away and come back together.
    """

    def __init__(self, first: float, most: float, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._first = min(first, most)
        self._most = most
        self._uniform = uniform
        self._ceiling = self._first

    def next(self) -> float:
        """Seconds to wait before the next try."""
        delay = self._uniform(0, self._ceiling)
        self._ceiling = min(self._ceiling * 2, self._most)
        return delay

    def reset(self) -> None:
        """Start from ``first`` again."""
        self._ceiling = self._first
