"""Removes old pictures: those of hours that are long over, and the oldest when all take too much."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from cctv_common.log import Log
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from cctv_archiver.ledger import Ledger
from cctv_archiver.store import Store, Unusable


class Retention:
    """Looks through the store once, to know what is there; after that the ledger tells what is to go."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        hours: int,
        size: int,
        log: Log,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._hours = hours
        self._size = size
        self._log = log
        self._measured = False
        self._removed = Counter(
            "cctv_archiver_hours_removed", "Hours of a camera that were removed", ["cause"], registry=registry
        )
        Gauge("cctv_archiver_store_bytes", "Bytes of all pictures in the store", registry=registry).set_function(
            lambda: ledger.total
        )

    def run(self, stop: threading.Event, interval_s: float) -> None:
        """Look now and again, until ``stop`` is set."""
        while not stop.is_set():
            # Who writes tells when the store cannot be used; here it is tried again by and by.
            try:
                self.look(datetime.now(UTC), stop)
            except Unusable:
                self._log.debug("retention waits for the store")
            stop.wait(interval_s)

    def look(self, now: datetime, stop: threading.Event | None = None) -> None:
        """Remove what is to go by now; raises Unusable."""
        if not self._measured:
            for folder in self._store.folders():
                self._store.measure(folder)
                if stop is not None and stop.is_set():
                    return
            self._measured = True
            self._log.info("measured the store", bytes=self._ledger.total)
        if self._hours:
            self._remove(self._ledger.older(self._hours, now), "age")
        if self._size:
            self._remove(self._ledger.beyond(self._size, now), "size")

    def _remove(self, folders: list[str], cause: str) -> None:
        before = self._ledger.total
        removed = sum(map(self._store.remove, folders))
        if removed:
            self._removed.labels(cause).inc(removed)
            self._log.info("removed old pictures", cause=cause, hours=removed, bytes=before - self._ledger.total)
