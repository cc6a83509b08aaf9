"""Puts frames that were worked on side by side back into their camera's order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Ticket(Generic[T]):
    """A place in a camera's order."""

    __slots__ = ("camera", "done_at", "gone", "result")

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.result: T | None = None
        self.done_at: float | None = None
        self.gone = False


class Order(Generic[T]):
    """Emits results in the order in which their tickets were taken, camera by camera.

    A finished frame waits ``max_wait_s`` at most for an earlier one that is still being worked on; then it goes, and
    the earlier one is too late: ``late`` is called with it when it comes. ``emit`` is called under a lock, so it must
    be quick.
    """

    def __init__(
        self,
        emit: Callable[[T], None],
        late: Callable[[T], None],
        max_wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit = emit
        self._late = late
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._lock = threading.Lock()
        self._cameras: dict[str, deque[Ticket[T]]] = {}

    def take(self, camera: str) -> Ticket[T]:
        """Take the camera's next place."""
        ticket = Ticket[T](camera)
        with self._lock:
            self._cameras.setdefault(camera, deque()).append(ticket)
        return ticket

    def done(self, ticket: Ticket[T], result: T | None) -> None:
        """The work is done; ``result`` is None when nothing is to be emitted."""
        with self._lock:
            if not ticket.gone:
                ticket.result = result
                ticket.done_at = self._clock()
                self._release(ticket.camera, ticket.done_at)
                return
        if result is not None:
            self._late(result)

    def tick(self) -> None:
        """Let go what has waited long enough; to be called every few milliseconds while there is work."""
        with self._lock:
            now = self._clock()
            for camera in list(self._cameras):
                self._release(camera, now)

    def _release(self, camera: str, now: float) -> None:
        queue = self._cameras[camera]
        while queue:
            if queue[0].done_at is None:
                finished = [t.done_at for t in queue if t.done_at is not None and t.result is not None]
                if not finished or now - min(finished) < self._max_wait_s:
                    return
            ticket = queue.popleft()
            ticket.gone = True
            if ticket.result is not None:
                self._emit(ticket.result)
        del self._cameras[camera]
