"""One batch at a time gets into the store, however long that cannot be used, and each change is told once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from cctv_archiver.ledger import Ledger
from cctv_archiver.store import Store
from cctv_archiver.writer import Writer
from cctv_common.health import Health
from cctv_common.images import MARKER
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from waiting import until

from .conftest import files, image

NAME = "gate/2026-06-01/10/gate-1-1.jpg"


class Running:
    """A writer at work on a folder, with what it tells."""

    def __init__(self, folder: Path) -> None:
        self.health = Health()
        self.registry = CollectorRegistry()
        self.writer = Writer(Store(folder, Ledger()), self.health, structlog.stdlib.get_logger(), 0.05, self.registry)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.writer.run, args=(self._stop,))
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()

    def told(self) -> str:
        """Why the store is waited for, as /readyz has it."""
        self.writer.tell()
        return self.health.unmet().get("store", "")

    def reason(self) -> list[str]:
        """The reasons that the metric has."""
        self.writer.tell()
        (metric,) = (m for m in self.registry.collect() if m.name == "cctv_archiver_store_unusable")
        return [sample.labels["reason"] for sample in metric.samples if sample.value]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.stop()


def test_the_first_start_makes_the_store(running: Running, tmp_path: Path) -> None:
    running.writer.begin(first=True)
    until("store", (tmp_path / MARKER).exists)
    running.writer.submit([image(NAME)])
    until("end of the writing", running.writer.idle.is_set)
    assert files(tmp_path) == {NAME: image(NAME).content}
    assert running.told() == ""


def test_a_later_start_waits_for_the_store_that_there_was(running: Running, tmp_path: Path) -> None:
    with capture_logs() as logs:
        running.writer.begin(first=False)
        running.writer.submit([image(NAME)])
        until("word of it", lambda: running.reason() == ["absent"])
        for __ in range(10):
            running.writer.tell()
        assert not running.writer.idle.is_set()
        assert list(tmp_path.iterdir()) == []
        (tmp_path / MARKER).touch()
        until("end of the writing", running.writer.idle.is_set)
        until("word that it is usable", lambda: running.told() == "")
    assert files(tmp_path) == {NAME: image(NAME).content}
    assert running.reason() == []
    assert [entry["event"] for entry in logs] == ["waiting for the image store", "the image store can be used"]


def test_a_store_that_goes_is_noticed_with_nothing_to_write(running: Running, tmp_path: Path) -> None:
    running.writer.begin(first=True)
    until("store", (tmp_path / MARKER).exists)
    (tmp_path / MARKER).unlink()
    until("word of it", lambda: running.reason() == ["absent"])


def test_nothing_is_written_before_it_is_known_whose_store_it_is(running: Running, tmp_path: Path) -> None:
    running.writer.submit([image(NAME)])
    (tmp_path / MARKER).touch()
    assert not running.writer.idle.wait(0.2)
    assert files(tmp_path) == {}
    running.writer.begin(first=False)
    until("end of the writing", running.writer.idle.is_set)


def test_it_ends_while_the_store_is_away(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.writer.begin(first=False)
    running.writer.submit([image(NAME)])
    until("word of it", lambda: running.reason() == ["absent"])
    running.stop()
    assert not running.writer.idle.is_set()
