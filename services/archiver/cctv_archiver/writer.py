"""A thread that writes batches, and waits as long as the store cannot be used.

Kafka is polled by another one meanwhile: a server that does not answer hangs whoever writes to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from cctv_common.health import Health
from cctv_common.log import Log
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from cctv_archiver.store import REASONS, Image, Reason, Store, Unusable

FIRST_RETRY_S = 0.1
LOOK_S = 2.0
"""How often the store is looked at while there is nothing to write."""
SILENT_S = 5.0
"""A store that has kept a call waiting for so long does not answer."""


class Writer:
    """Takes one batch at a time; ``idle`` is set when all that was handed over is in the store for good."""

    def __init__(
        self,
        store: Store,
        health: Health,
        log: Log,
        retry_max_s: float,
        registry: CollectorRegistry = REGISTRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._health = health
        self._log = log
        self._retry_max_s = retry_max_s
        self._clock = clock
        self._changed = threading.Condition()
        self._batch: Sequence[Image] = ()
        self._begun = self._looked = False
        self._first = False
        self._calling_since: float | None = None
        self._unusable: Unusable | None = None
        self._told: Reason | Literal["", "unknown"] = "unknown"
        self._wait = Gauge(
            "cctv_archiver_store_unusable",
            "1 for the reason why the store is waited for",
            ["reason"],
            registry=registry,
        )
        for reason in REASONS:
            self._wait.labels(reason).set(0)
        self.idle = threading.Event()
        self.idle.set()

    @property
    def well(self) -> bool:
        """Whether the last attempt to use the store succeeded."""
        return self._unusable is None

    def begin(self, first: bool) -> None:
        """Begin to use the store; ``first``: nothing was ever written, so the folder that is there becomes it."""
        with self._changed:
            self._begun, self._first = True, self._first or first
            self._changed.notify()

    def submit(self, batch: Sequence[Image]) -> None:
        """Have a batch written; only while idle."""
        with self._changed:
            self.idle.clear()
            self._batch = batch
            self._changed.notify()

    def run(self, stop: threading.Event) -> None:
        """Write what is handed over until ``stop`` is set, and then no more than one attempt."""
        pause = FIRST_RETRY_S
        while not (stop.is_set() and self.idle.is_set()):
            try:
                self._turn(stop)
            except Unusable as unusable:
                self._unusable = unusable
                if stop.wait(pause):
                    return
                pause = min(2 * pause, self._retry_max_s)
            else:
                self._unusable = None
                pause = FIRST_RETRY_S

    def tell(self) -> None:
        """Say what has changed about the store; called by a thread that no store can hang."""
        since, unusable = self._calling_since, self._unusable
        if since is not None and self._clock() - since > SILENT_S:
            unusable = Unusable("silent", f"the image store has not answered for {SILENT_S:g} s")
        why = unusable.reason if unusable else "" if self._looked else "unknown"
        if why == self._told:
            return
        self._told = why
        if unusable:
            self._log.warning("waiting for the image store", reason=why, problem=str(unusable))
        else:
            self._log.info("the image store can be used")
        self._health.set_ready("store", str(unusable or ""))
        for reason in REASONS:
            self._wait.labels(reason).set(reason == why)

    def _turn(self, stop: threading.Event) -> None:
        with self._changed:
            if not (self._begun and (self._batch or self._first or not self._looked)):
                self._changed.wait(LOOK_S)
            if not self._begun or (stop.is_set() and not self._batch):
                return
            batch, first = self._batch, self._first
        self._calling_since = self._clock()
        try:
            if first:
                self._store.found()
            if batch:
                self._store.write(batch)
            else:
                self._store.look()
        finally:
            self._calling_since = None
        with self._changed:
            self._looked = True
            self._first = self._first and not first
            if batch:
                self._batch = ()
                self.idle.set()
