"""The detection service: Spark's driver, and what watches over its query."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from typing import Any

from cctv_common.health import Health, HealthServer
from cctv_common.lifecycle import stop_event
from cctv_common.log import Log, configure
from cctv_common.settings import load
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from cctv_detection import query
from cctv_detection.checkpoint import mend
from cctv_detection.detectors import CannotLoad
from cctv_detection.progress import Progress
from cctv_detection.session import open_session
from cctv_detection.settings import Settings
from cctv_detection.worker import Event, Events, frame_detector

LOOK_S = 0.5
MAX_SILENCE_S = 120.0
"""Each turn of the loop asks the JVM, which may be collecting garbage; one that does not answer hangs."""
STUCK_S = 60.0
"""A batch that takes as long finds no executors, or no broker."""
MAX_FAILURES = 5
"""Of the query in a row; a new JVM may do better then."""
MAX_WAIT_S = 8.0


def main() -> None:
    """Run until SIGTERM; exits with 78 when the environment is wrong, and with 1 when the query cannot go on."""
    settings = load(Settings)
    log = configure("detection", settings.log_level)
    stop = stop_event()
    health = Health(max_silence_s=MAX_SILENCE_S)
    health.set_ready("query", "Spark is starting")
    with HealthServer(health, settings.http_host, settings.http_port):
        try:
            # Told at once and here, and not by each of Spark's tasks.
            frame_detector(settings.work)
        except CannotLoad as cannot:
            log.error("no detector", problem=str(cannot))
            sys.exit(1)
        session = None
        health.beat()
        try:
            session = open_session(settings)
            log.info("started", master=settings.spark_master, cores=settings.cores)
            Driver(session, settings, health, stop, log).run()
        except (Py4JError, PySparkException, OSError) as error:
            if not stop.is_set():
                log.error("Spark has gone", problem=_brief(error))
                sys.exit(1)
        finally:
            _close(session)
        log.info("stopped")


class Driver:
    """Keeps the query running, from its checkpoint on when it failed."""

    def __init__(
        self, session: SparkSession, settings: Settings, health: Health, stop: threading.Event, log: Log
    ) -> None:
        self._session = session
        self._settings = settings
        self._health = health
        self._stop = stop
        self._log = log
        self._progress = Progress(log)
        self._batch = -1
        self._moved = time.monotonic()
        self._events: Any = session.sparkContext.accumulator([], Events())

    def run(self) -> None:
        """Return when it is told to stop; exits when the query fails again and again."""
        failures = 0
        while not self._stop.is_set():
            self._progress.begin()
            problem, worked = self._query()
            if self._stop.is_set():
                return
            failures = 1 if worked else failures + 1
            self._progress.failed()
            self._health.set_ready("query", f"failed: {problem}")
            self._log.error("query failed", problem=problem, failures=failures)
            if failures == MAX_FAILURES:
                sys.exit(1)
            self._stop.wait(min(MAX_WAIT_S, 0.5 * 2**failures))

    def _query(self) -> tuple[str, bool]:
        """Run the query until it fails or is stopped; returns why, and whether it finished a batch."""
        if removed := mend(query.checkpoint(self._settings)):
            self._log.warning("checkpoint mended", removed=removed, problem="these had lost their content")
        running: Any = query.start(self._session, self._settings, self._events)
        worked = False
        while running.isActive and not self._stop.is_set():
            self._health.beat()
            worked = self._look(running) or worked
            self._stop.wait(LOOK_S)
        if running.isActive:
            running.stop()
        self._look(running)
        return _brief(running.exception()), worked

    def _look(self, running: Any) -> bool:
        """Count what has been done; whether the query is past its start."""
        reports = running.recentProgress
        # As Spark says it: Python's own form of a report has offsets as the text of a dict.
        self._progress.batches(json.loads(report.json) for report in reports)
        # Spark adds at this list's end, from a thread of its own.
        events: list[Event] = self._events.value[:]
        del self._events.value[: len(events)]
        self._progress.heard(events)
        waits = running.status["message"].startswith("Waiting")
        if waits or reports:
            self._health.set_ready("query")
        batch = reports[-1].batchId if reports else -1
        if waits or batch != self._batch:
            self._batch, self._moved = batch, time.monotonic()
        stuck = time.monotonic() - self._moved
        self._health.set_ready("batch", f"has taken {stuck:.0f} s so far" if stuck > STUCK_S else "")
        return waits or bool(reports)


def _brief(error: object) -> str:
    """Say what is wrong by the first of Spark's many lines, and by the last one of them that is no stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    stack = next((number for number, line in enumerate(lines) if line.startswith("at ")), len(lines))
    said = lines[:stack] or ["no reason given"]
    return said[0][:300] if len(said) == 1 else f"{said[0][:300]} ... {said[-1][:300]}"


def _close(session: SparkSession | None) -> None:
    if session is None:
        return
    # The JVM may have been told to stop, too, and have been quicker.
    with contextlib.suppress(Py4JError, OSError):
        session.stop()


if __name__ == "__main__":
    main()
