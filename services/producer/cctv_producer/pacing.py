"""When to read, which frames to take, when to try again: all on a monotonic clock, in seconds."""

from __future__ import annotations

import random
import time
from collections import deque
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


class KeyFrames:
    """Finds out whether a stream's key frames alone come as often as pictures are wanted.

    A stream of 25 frames/s with a key frame a second costs far less then, at one picture a second. ``rate`` is what is
    wanted, 0 for all. Until ``ENOUGH`` key frames came in time, and again after one did not, all is decoded. ``alone``:
    nothing else is; ``waiting``: nothing can be, until the next key frame.

    Frames are in time by the stream's own clock, as a busy machine reads them late, and would be busier still if it
    decoded all for that. That clock may be slow, so the last ``MANY`` key frames must have come about as often.
    """

    ENOUGH = 3
    MANY = 8

    def __init__(self, rate: float) -> None:
        # A tenth for cameras that do not keep to their own rate.
        self._longest = 1.1 / rate if rate else 0.0
        self._last: float | None = None
        self._came: deque[float] = deque(maxlen=self.MANY + 1)
        self._in_time = 0
        self.alone = False
        self.waiting = False

    def wants(self, key: bool, now: float, stamp: float | None = None) -> bool:
        """Whether the frame that came at ``now`` is to be decoded.

        ``key``: it needs no other. ``stamp``: its time by the stream's clock, in s from any moment, None if unknown.
        """
        if not self._longest:
            return True
        stamp = now if stamp is None else stamp
        # Frames that are shown before their key frame come after it.
        if self._last is not None and abs(stamp - self._last) > self._longest:
            if self.alone:
                # What came since the last key frame was passed over, so there is nothing to go on from.
                self.waiting = True
            self._in_time, self.alone = 0, False
        if key:
            self._last = stamp
            self._came.append(now)
            self._in_time = 0 if self._slow() else self._in_time + 1
            self.waiting = False
            self.alone = self._in_time > self.ENOUGH
            return True
        return not self.alone and not self.waiting

    def _slow(self) -> bool:
        return len(self._came) > self.MANY and self._came[-1] - self._came[0] > 1.2 * self.MANY * self._longest

    def give_up(self) -> None:
        """Decode all from now on: what is called a key frame is none."""
        self._longest, self.alone, self.waiting = 0.0, False, False


class Moments:
    """This host's time in ms since 1970, each moment later than the one before; a camera's own clock is never asked.

    Where this host's is set back a little, as clocks are that get corrected, moments creep on until it has caught up.
    Set back by more than ``HELD_MS`` it is followed: it was wrong before, and frames must not say so for hours.
    """

    HELD_MS = 10_000

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self._last = 0

    def now(self) -> int:
        """The moment of what has just come."""
        now = self._clock_ns() // 1_000_000
        if 0 <= self._last - now <= self.HELD_MS:
            now = self._last + 1
        self._last = now
        return now


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
