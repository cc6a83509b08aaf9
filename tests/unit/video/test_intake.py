from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from cctv_common.frames import Frame
from cctv_common.health import Health
from cctv_common.metrics import StageMetrics
from cctv_video import reader
from cctv_video.hub import Hub
from cctv_video.reader import Intake, Reader
from cctv_video.settings import Settings
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry, generate_latest

Make = Callable[..., Frame]
MAX_BYTES = 10_000


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def hub(clock: Any) -> Hub:
    return Hub(["gate"], max_cameras=1, forget_after_s=60, clock=clock, wall_ms=clock.ms)


@pytest.fixture
def intake(hub: Hub, registry: CollectorRegistry) -> Intake:
    return Intake(hub, StageMetrics("video", registry), MAX_BYTES, structlog.stdlib.get_logger())


def dropped(registry: CollectorRegistry, camera: str, cause: str) -> float | None:
    labels = {"stage": "video", "camera": camera, "cause": cause}
    return registry.get_sample_value("cctv_frames_dropped_total", labels)


def test_a_frame_is_counted_and_shown(intake: Intake, hub: Hub, registry: CollectorRegistry, frame: Make) -> None:
    made = frame(age_ms=40)
    intake.take(made.jpeg, made.headers())
    picture = hub.picture("gate")
    assert picture is not None and picture.jpeg == made.jpeg
    labels = {"stage": "video", "camera": "gate"}
    for name in ("cctv_frames_in_total", "cctv_frames_out_total", "cctv_frame_age_seconds_count"):
        assert registry.get_sample_value(name, labels) == 1
    assert registry.get_sample_value("cctv_frame_age_seconds_sum", labels) == pytest.approx(0.04)


def test_dropped_frames_are_counted_by_cause(intake: Intake, registry: CollectorRegistry, frame: Make) -> None:
    for made in (frame(number=3), frame(number=2), frame(number=4, age_ms=9999)):
        intake.take(made.jpeg, made.headers())
    assert (dropped(registry, "gate", "out_of_order"), dropped(registry, "gate", "stale")) == (1, 1)
    assert registry.get_sample_value("cctv_frames_in_total", {"stage": "video", "camera": "gate"}) == 3


def test_records_that_are_no_frames_are_counted_and_the_rest_flows_on(
    intake: Intake, hub: Hub, registry: CollectorRegistry, frame: Make
) -> None:
    made = frame()
    headers = made.headers()
    intake.take(None, headers)
    intake.take(b"no picture", headers)
    intake.take(made.jpeg[:-20], headers)
    intake.take(bytes(MAX_BYTES + 1), headers)
    intake.take(made.jpeg, None)
    intake.take(made.jpeg, headers[:-1])
    intake.take(made.jpeg, [*headers[1:], ("camera", b"../../etc")])
    intake.take(made.jpeg, [*headers[1:], ("camera", b"\xff\xfe")])
    assert dropped(registry, "", "not_jpeg") == 2
    assert dropped(registry, "", "truncated") == 1
    assert dropped(registry, "", "too_large") == 1
    assert dropped(registry, "", "missing_header") == 2
    assert dropped(registry, "", "bad_header") == 2
    assert hub.picture("gate") is None
    intake.take(made.jpeg, headers)
    assert hub.picture("gate") is not None


@pytest.mark.parametrize(
    ("header", "content"),
    [
        ("predictions", b"{"),
        ("predictions", b"[" * 10_000),
        ("predictions", b'[{"model": "imagenet", "label": "a", "probability": NaN}]'),
        ("predictions", b'[{"model": "imagenet", "label": "a", "probability": 1%b}]' % (b"0" * 400)),
        ("stage_ms", b'{"predict": 1%b}' % (b"0" * 400)),
        ("stage_ms", b"[]"),
    ],
    ids=["open", "deep", "NaN", "too large", "a stage too large", "no object"],
)
def test_json_in_a_header_may_be_anything(
    header: str, content: bytes, intake: Intake, hub: Hub, registry: CollectorRegistry, frame: Make
) -> None:
    made = frame()
    intake.take(made.jpeg, [*made.headers(), (header, content)])
    assert dropped(registry, "", "bad_header") == 1
    intake.take(made.jpeg, made.headers())
    assert hub.picture("gate") is not None


def test_ids_from_records_grow_neither_the_page_nor_the_metrics(
    intake: Intake, hub: Hub, registry: CollectorRegistry, frame: Make, clock: Any
) -> None:
    for turn in range(5):
        for number in range(20):
            made = frame(f"camera-{turn}-{number}")
            intake.take(made.jpeg, made.headers())
        assert len(hub.statuses()) == 2
        clock.now += 61
        intake.tidy()
    assert len(hub.statuses()) == 1
    assert dropped(registry, "", "too_many_cameras") == 5 * 19
    assert b"camera-" not in generate_latest(registry)


class HangingClient:
    """Stands for a client whose calls never return."""

    def __init__(self, __: object) -> None:
        self.ended = threading.Event()

    def poll(self, __: float) -> None:
        self.ended.wait()

    def list_topics(self, __: str, timeout: float) -> None:
        self.ended.wait()
        raise KafkaException("hung")

    def close(self) -> None:
        pass


def test_a_kafka_thread_that_hangs_is_found(monkeypatch: pytest.MonkeyPatch, intake: Intake) -> None:
    made: list[HangingClient] = []
    for kind in ("Consumer", "AdminClient"):
        monkeypatch.setattr(reader, kind, lambda config: made.append(HangingClient(config)) or made[-1])
    health = Health(max_silence_s=0.2)
    stop = threading.Event()
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:9")
    thread = Reader(settings, intake, health, stop, structlog.stdlib.get_logger(), CollectorRegistry())
    assert "kafka" in health.unmet()
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while "kafka" not in health.hanging() and time.monotonic() < deadline:
            stop.wait(0.05)
        assert {"kafka", "partitions"} == set(health.hanging())
    finally:
        stop.set()
        for client in made:
            client.ended.set()
        thread.join(10)
    assert not thread.is_alive()


def test_a_kafka_thread_that_fails_ends_the_service(monkeypatch: pytest.MonkeyPatch, intake: Intake) -> None:
    def broken(__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(reader, "Consumer", broken)
    stop = threading.Event()
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:9")
    thread = Reader(settings, intake, Health(), stop, structlog.stdlib.get_logger(), CollectorRegistry())
    thread.start()
    thread.join(10)
    assert stop.is_set() and thread.failed
