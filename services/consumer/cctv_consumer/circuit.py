"""A circuit breaker: while a model does not answer, nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

THRESHOLD = 3
PROBE_EVERY_S = 0.5


class Circuit:
    """Closed while the model answers; open after some failures in a row, until a probe is answered.

    It begins open: a model is asked with a probe before frames wait for it. ``changed`` is called with the reason when
    the circuit opens, and with an empty string when it closes.
    """

    def __init__(
        self,
        changed: Callable[[str], None] = lambda _: None,
        threshold: int = THRESHOLD,
        probe_every_s: float = PROBE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed = changed
        self._threshold = threshold
        self._probe_every_s = probe_every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._probed_at = -probe_every_s
        self.cause = "unavailable"
        """Why the circuit is open."""
        self.closed = False

    def answered(self) -> None:
        """The model answered."""
        with self._lock:
            self._failures = 0
            if self.closed:
                return
            self.closed = True
        self._changed("")

    def failed(self, cause: str) -> None:
        """The model did not answer, for ``cause``."""
        with self._lock:
            self._failures += 1
            self.cause = cause
            if not self.closed or self._failures < self._threshold:
                return
            self.closed = False
            self._probed_at = self._clock()
        self._changed(cause)

    def take_probe(self) -> bool:
        """Whether the model is to be probed now; the caller then does so and says how it went."""
        with self._lock:
            now = self._clock()
            if self.closed or now - self._probed_at < self._probe_every_s:
                return False
            self._probed_at = now
            return True
