"""Frames that wait for a model: which of them go next, and which are given up."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cctv_common.frames import Frame

MAX_CAMERAS = 1024
"""How many cameras' last frames are remembered."""
EPOCH_SILENCE_S = 5.0

Drop = Callable[[str, str, int], None]
"""Called with camera, cause and count for frames that are given up."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame and when it came, in seconds of the monotonic clock, and in ms since 1970."""

    frame: Frame
    came: float
    came_ms: float


class Arrivals:
    """Lets each camera's frames pass in their order only.

    A frame that repeats or precedes one that passed is refused, and so is one of an older producer than that which was
    heard last, until the newer one was silent for ``EPOCH_SILENCE_S`` (a clock that was set back).
    """

    def __init__(self) -> None:
        self._last: OrderedDict[str, tuple[int, int, float]] = OrderedDict()

    def passes(self, frame: Frame, now: float) -> bool:
        """Whether ``frame`` is newer than all that passed before it; ``now`` in seconds."""
        last = self._last.get(frame.camera)
        if last is not None and (frame.epoch, frame.frame) <= last[:2]:
            clock_set_back = frame.epoch != last[0] and now - last[2] >= EPOCH_SILENCE_S
            if not clock_set_back:
                return False
        self._last[frame.camera] = (frame.epoch, frame.frame, now)
        self._last.move_to_end(frame.camera)
        if len(self._last) > MAX_CAMERAS:
            self._last.popitem(last=False)
        return True


class Backlog:
    """At most ``keep`` waiting frames of each camera; the camera that waits longest is served first.

    Not thread-safe.
    """

    def __init__(self, keep: int, max_age_ms: float, drop: Drop) -> None:
        self._keep = keep
        self._max_age_ms = max_age_ms
        self._drop = drop
        self._cameras: OrderedDict[str, deque[Waiting]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Waiting]:
        for waiting in self._cameras.values():
            yield from waiting

    def add(self, waiting: Waiting) -> None:
        """Add a camera's next frame; its oldest one is given up when there are too many."""
        queue = self._cameras.setdefault(waiting.frame.camera, deque())
        queue.append(waiting)
        self._count += 1
        if len(queue) > self._keep:
            queue.popleft()
            self._count -= 1
            self._drop(waiting.frame.camera, "superseded", 1)

    def clear(self, cause: str) -> None:
        """Give up all frames."""
        for camera, queue in self._cameras.items():
            self._drop(camera, cause, len(queue))
        self._cameras.clear()
        self._count = 0

    def expire(self, now_ms: float) -> None:
        """Give up frames older than the budget."""
        for camera in list(self._cameras):
            queue = self._cameras[camera]
            fresh = deque(w for w in queue if w.frame.age_ms(now_ms) <= self._max_age_ms)
            if len(fresh) == len(queue):
                continue
            self._drop(camera, "stale", len(queue) - len(fresh))
            self._count -= len(queue) - len(fresh)
            if fresh:
                self._cameras[camera] = fresh
            else:
                del self._cameras[camera]

    def take(self, limit: int, room: int, now_ms: float) -> list[Waiting]:
        """Take up to ``limit`` of the ``room`` frames that all free calls have place for together.

        Place is given to every camera's newest frame first, then to the next newest; what is older than a camera's
        frames that have a place would come too late, and is given up. Of those that have one the oldest are taken, and
        returned in each camera's order.
        """
        self.expire(now_ms)
        counts = dict.fromkeys(list(self._cameras)[:room], 0)
        room = min(room, self._count)
        while room:
            for camera, count in counts.items():
                if room and count < len(self._cameras[camera]):
                    counts[camera] += 1
                    room -= 1
        for camera, count in counts.items():
            queue = self._cameras[camera]
            if late := len(queue) - count:
                self._cameras[camera] = deque(list(queue)[late:])
                self._count -= late
                self._drop(camera, "superseded", late)
        taken: list[Waiting] = []
        while counts and len(taken) < limit:
            for camera in list(counts)[: limit - len(taken)]:
                taken.append(self._cameras[camera].popleft())
                if not self._cameras[camera]:
                    del self._cameras[camera], counts[camera]  # its next frame puts it at the end again
        self._count -= len(taken)
        return taken
