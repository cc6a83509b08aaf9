"""A producer whose Kafka dies or hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_frames_are_given_up_and_flow_again(start: Start, kafka: Any, how: str) -> None:
    producer = start("bikes", CAMERA_URL="sample:bikes", FRAME_MAX_AGE_MS="500")
    producer.frames(10)
    producer.until("readiness", lambda: producer.get("/readyz") == 200)
    getattr(kafka, how)()
    producer.until("frames given up", lambda: producer.metric("cctv_frames_dropped_total", cause="kafka_timeout") >= 50)
    producer.until("word in /readyz", lambda: producer.get("/readyz") == 503)
    assert producer.get("/healthz") == 200
    before = producer.resident_kib()
    lost = producer.metric("cctv_frames_dropped_total")
    producer.until("more frames given up", lambda: producer.metric("cctv_frames_dropped_total") >= lost + 100)
    assert producer.resident_kib() < before + 20 * 1024
    if how == "kill":
        kafka.start()
    else:
        kafka.cont()
    producer.until("readiness", lambda: producer.get("/readyz") == 200)
    producer.forget()
    numbers = [frame.frame for frame in producer.frames(10)]
    assert numbers[0] > 100
    assert producer.said("Kafka is not reachable") == 1
    assert producer.said("Kafka is reachable") == 2


def test_frames_too_large_are_dropped_and_told_once(start: Start) -> None:
    producer = start("bikes", CAMERA_URL="sample:bikes", KAFKA_MAX_FRAME_BYTES="4096")
    producer.until("drops", lambda: producer.metric("cctv_frames_dropped_total", cause="too_large") >= 10)
    assert producer.said("frame dropped") == 1
    assert "KAFKA_MAX_FRAME_BYTES=4096" in producer.log


def test_producer_starts_and_ends_without_kafka(start: Start, kafka: Any) -> None:
    producer = start("bikes", CAMERA_URL="sample:bikes", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    producer.until("health", lambda: producer.get("/healthz") == 200 and producer.get("/readyz") == 503)
    producer.until("frames given up", lambda: producer.metric("cctv_frames_dropped_total", cause="kafka_timeout") >= 10)
    assert producer.terminate() == 0


def test_port_that_is_taken_is_named(start: Start) -> None:
    first = start("bikes", CAMERA_URL="sample:bikes")
    first.until("health", lambda: first.get("/healthz") == 200)
    second = start("carphone", CAMERA_URL="sample:carphone", HTTP_PORT=str(first.port))
    assert second.process.wait(30) == 1
    assert f"HTTP_PORT={first.port}" in second.log
