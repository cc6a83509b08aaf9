"""The archiver: wires Kafka, the image store and HTTP."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from cctv_common.health import Health, HealthServer
from cctv_common.lifecycle import stop_event
from cctv_common.log import configure
from cctv_common.metrics import StageMetrics
from cctv_common.settings import load

from cctv_archiver.intake import Intake
from cctv_archiver.kafka import Source
from cctv_archiver.ledger import Ledger
from cctv_archiver.retention import Retention
from cctv_archiver.settings import Settings
from cctv_archiver.store import Store
from cctv_archiver.writer import Writer

MAX_SILENCE_S = 20.0
"""The Kafka thread beats many times a second, but asks a broker for offsets now and then."""


def main() -> None:
    """Run until SIGTERM; exits with 78 when the environment is wrong, with 1 when a thread failed."""
    settings = load(Settings)
    log = configure("archiver", settings.log_level)
    stop = stop_event()
    health = Health(max_silence_s=MAX_SILENCE_S)
    ledger = Ledger()
    store = Store(settings.image_store_dir, ledger)
    retention = Retention(store, ledger, settings.archiver_retention_hours, settings.archiver_retention_bytes, log)
    writer = Writer(store, health, log, settings.archiver_retry_max_ms / 1000)
    failed = threading.Event()

    def thread(name: str, run: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                run()
            except Exception:
                log.exception("thread failed", thread=name)
                failed.set()
                stop.set()

        started = threading.Thread(target=guarded, name=name, daemon=True)
        started.start()
        return started

    with HealthServer(health, settings.http_host, settings.http_port):
        source = Source(
            settings, Intake(settings.kafka_max_frame_bytes, StageMetrics("archiver"), log), writer, health, log
        )
        threads = [
            thread("writer", lambda: writer.run(stop)),
            thread("retention", lambda: retention.run(stop, settings.archiver_check_interval_ms / 1000)),
        ]
        log.info("started", folder=str(settings.image_store_dir))
        try:
            source.run(stop)
        finally:
            stop.set()
            source.close()
            for started in threads:
                started.join(timeout=1)
            log.info("stopped")
    sys.stdout.flush()
    # A store that does not answer would keep the interpreter waiting for the threads that it hangs.
    os._exit(failed.is_set())


if __name__ == "__main__":
    main()
