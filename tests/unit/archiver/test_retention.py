"""Hours go by age, and the oldest of all cameras first when they take too much."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from cctv_archiver.ledger import Ledger
from cctv_archiver.retention import Retention
from cctv_archiver.store import Store, Unusable
from cctv_common.images import MARKER
from prometheus_client import CollectorRegistry

from .conftest import files, image

NOW = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def fill(store: Store, *cameras: str, hours: int) -> None:
    for back in range(hours):
        at = NOW - timedelta(hours=back)
        store.write(
            [image(f"{camera}/{at:%Y-%m-%d/%H}/{camera}-1-{n}.jpg", 10) for camera in cameras for n in range(2)]
        )


def left(folder: Path) -> set[str]:
    return {path.rpartition("/")[0] for path in files(folder)}


def retention(store: Store, ledger: Ledger, registry: CollectorRegistry, hours: int = 0, size: int = 0) -> Retention:
    return Retention(store, ledger, hours, size, structlog.stdlib.get_logger(), registry)


def test_hours_that_ended_long_ago_go(
    store: Store, ledger: Ledger, tmp_path: Path, registry: CollectorRegistry
) -> None:
    fill(store, "gate", "yard", hours=30)
    retention(store, ledger, registry, hours=2).look(NOW)
    assert left(tmp_path) == {f"{camera}/2026-06-01/{hour}" for camera in ("gate", "yard") for hour in (10, 11, 12)}
    assert not (tmp_path / "gate/2026-05-31").exists()
    assert registry.get_sample_value("cctv_archiver_hours_removed_total", {"cause": "age"}) == 2 * 27
    assert registry.get_sample_value("cctv_archiver_store_bytes") == 3 * 2 * 2 * 10


def test_the_oldest_hour_of_all_cameras_goes_first(
    store: Store, ledger: Ledger, tmp_path: Path, registry: CollectorRegistry
) -> None:
    fill(store, "gate", "yard", hours=5)
    retention(store, ledger, registry, size=5 * 40 - 50).look(NOW)
    assert left(tmp_path) == {f"{camera}/2026-06-01/{hour}" for camera in ("gate", "yard") for hour in (10, 11, 12)}


def test_what_was_there_before_a_restart_counts(
    store: Store, ledger: Ledger, tmp_path: Path, registry: CollectorRegistry
) -> None:
    fill(store, "gate", hours=5)
    again = Ledger()
    restarted = Store(tmp_path, again)
    restarted.write([image("gate/2026-06-01/12/gate-2-0.jpg", 10)])
    retention(restarted, again, registry, size=60).look(NOW)
    assert left(tmp_path) == {"gate/2026-06-01/11", "gate/2026-06-01/12"}
    assert registry.get_sample_value("cctv_archiver_store_bytes") == 50


def test_the_hour_that_is_now_stays_whatever_it_takes(
    store: Store, ledger: Ledger, tmp_path: Path, registry: CollectorRegistry
) -> None:
    fill(store, "gate", hours=2)
    retention(store, ledger, registry, hours=1, size=1).look(NOW)
    assert left(tmp_path) == {"gate/2026-06-01/12"}


def test_without_limits_everything_stays(
    store: Store, ledger: Ledger, tmp_path: Path, registry: CollectorRegistry
) -> None:
    fill(store, "gate", hours=30)
    retention(store, ledger, registry).look(datetime(9999, 1, 1, tzinfo=UTC))
    assert len(left(tmp_path)) == 30


def test_a_store_that_comes_late_is_looked_through_then(
    store: Store, ledger: Ledger, tmp_path: Path, registry: CollectorRegistry
) -> None:
    fill(store, "gate", hours=5)
    late = retention(Store(tmp_path, restarted := Ledger()), restarted, registry, hours=1)
    (tmp_path / MARKER).rename(tmp_path / "away")
    with pytest.raises(Unusable):
        late.look(NOW)
    assert len(left(tmp_path)) == 5
    (tmp_path / "away").rename(tmp_path / MARKER)
    late.look(NOW)
    assert left(tmp_path) == {"gate/2026-06-01/11", "gate/2026-06-01/12"}
