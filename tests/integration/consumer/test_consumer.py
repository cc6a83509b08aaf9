"""From videocam to videodisplay."""

from __future__ import annotations

import signal
import time
from typing import Any

import cv2
import numpy as np
import pytest
from cctv_common.frames import Frame
from cctv_common.jpeg import dimensions
from waiting import until

from .conftest import Camera, Serving, Start, get


def predicted(frame: Frame) -> bool:
    return not any(p.error for p in frame.predictions)


def marked(frame: Frame) -> bool:
    return not predicted(frame)


def pixels(jpeg: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).astype(int)


def without_pixels(jpeg: bytes) -> bytes:
    """A frame header and an end, and nothing between them: only decoding finds out."""
    return jpeg[: jpeg.index(b"\xff\xda")] + b"\xff\xd9"


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_the_coffee_photo_comes_out_as_espresso(
    start_consumer: Start, camera: Camera, coffee: bytes, protocol: str
) -> None:
    start_consumer(PREDICT_PROTOCOL=protocol)
    frame = camera.frame(camera.send(coffee))
    (prediction,) = frame.predictions
    assert prediction.model == "imagenet"
    assert prediction.label == "espresso"
    assert prediction.probability > 0.8
    assert set(frame.stage_ms) >= {"wait", "predict", "imprint"}
    assert (frame.width, frame.height) == dimensions(coffee) == dimensions(frame.jpeg)
    change = np.abs(pixels(coffee) - pixels(frame.jpeg)).mean(axis=(1, 2))
    assert change[-20:].mean() > 20  # the strip
    assert change[: frame.height // 2].mean() < 5  # the picture


def test_several_models_have_their_say(start_consumer: Start, camera: Camera, coffee: bytes) -> None:
    start_consumer(
        wait=False,
        MODELS='[{"name": "imagenet"}, {"name": "absent", "handler": "imagenet"}]',
        PREDICT_TIMEOUT_MS="5000",
    )
    frame = camera.until("prediction", lambda f: not f.predictions[0].error, coffee)
    assert [(p.model, p.label, p.error) for p in frame.predictions] == [
        ("imagenet", "espresso", ""),
        ("absent", "", "not served"),
    ]


def test_bad_records_are_counted_skipped_and_told_once(
    kafka: Any, start_consumer: Start, camera: Camera, coffee: bytes
) -> None:
    consumer = start_consumer()
    headers = Frame("front", 1, 1, 1, 600, 400, coffee).headers()
    bomb = bytearray(coffee)
    at = next(i for i in range(len(bomb)) if bomb[i] == 0xFF and bomb[i + 1] == 0xC0)
    bomb[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    poison: dict[str, tuple[bytes | None, Any]] = {
        "not_jpeg": (b"GIF89a and so on", headers),
        "missing_header": (coffee, [h for h in headers if h[0] != "epoch"]),
        "bad_header": (coffee, [(k, b"many" if k == "frame" else v) for k, v in headers]),
        "truncated": (coffee[: len(coffee) // 2], headers),
        "too_large": (coffee + bytes(kafka.max_frame_bytes + 1000 - len(coffee)), headers),
        "bomb": (bytes(bomb), headers),
    }
    for __ in range(3):
        for value, said in poison.values():
            camera.raw(value, said)
        camera.raw(None, None)
        camera.send(coffee, "blank", change=without_pixels)
        number = camera.send(coffee)
        assert camera.frame(number).predictions[0].label == "espresso"
    for cause in poison:
        wanted = 9 if cause == "not_jpeg" else 3  # no start of a JPEG, no value, no pixels
        until(
            f"count of {cause}",
            lambda cause=cause, wanted=wanted: (
                consumer.metric("cctv_frames_dropped_total", cause=cause, camera="") == wanted
            ),
        )
    told = [e["cause"] for e in consumer.events() if e["event"] == "bad record"]
    assert sorted(told) == sorted(set(told)) and set(told) >= set(poison)
    assert "Traceback" not in consumer.said()


def test_a_broken_picture_of_one_camera_spoils_no_other(start_consumer: Start, camera: Camera, coffee: bytes) -> None:
    """A model refuses the whole batch that has one picture which it cannot decode."""
    consumer = start_consumer(PREDICT_IN_FLIGHT="1")
    for __ in range(10):
        camera.send(coffee, "broken", change=without_pixels)
        last = camera.send(coffee, "front")
    assert camera.frame(last).predictions[0].label == "espresso"
    assert all(predicted(f) for f in camera.shown)
    assert {f.camera for f in camera.shown} == {"front"}
    assert consumer.metric("cctv_frames_dropped_total", cause="not_jpeg") > 0
    assert consumer.metric("cctv_model_up") == 1


def test_both_replicas_share_the_load_and_cameras_share_batches(
    serving: Serving, start_consumer: Start, camera: Camera, coffee: bytes
) -> None:
    consumer = start_consumer()
    before = [replica.predictions() for replica in serving.replicas]
    names = ("a", "b", "c", "d", "e", "f")

    def calls() -> list[float]:
        return [replica.predictions() - b for replica, b in zip(serving.replicas, before, strict=True)]

    def ten_calls() -> bool:
        """Send frames of all cameras at once; return whether the replicas were asked often enough to compare."""
        for name in names * 10:
            camera.send(coffee, name)
        return sum(calls()) >= 10

    until("ten calls", ten_calls)
    camera.until("predicted frame", predicted, coffee)
    assert min(calls()) >= 0.3 * sum(calls())
    frames = consumer.metric("cctv_batch_frames_sum")
    assert consumer.metric("cctv_batch_frames_count") < 0.7 * frames
    for name in names:
        order = [f.frame for f in camera.shown if f.camera == name]
        assert order == sorted(set(order))


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_one_dead_replica_costs_no_prediction(
    serving: Serving, start_consumer: Start, camera: Camera, coffee: bytes, protocol: str
) -> None:
    start_consumer(PREDICT_PROTOCOL=protocol)
    assert predicted(camera.frame(camera.send(coffee)))
    serving.replicas[0].kill()
    numbers = [camera.frame(camera.send(coffee)).frame for __ in range(20)]
    assert all(predicted(f) for f in camera.shown if f.frame in numbers)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_while_all_models_are_dead_frames_flow_marked_and_are_predicted_again_after(
    serving: Serving, start_consumer: Start, camera: Camera, coffee: bytes, protocol: str
) -> None:
    consumer = start_consumer(PREDICT_PROTOCOL=protocol)
    assert predicted(camera.frame(camera.send(coffee)))
    serving.kill()
    frame = camera.until("marked frame", marked, coffee)
    assert frame.predictions[0].error == "unavailable"
    until("unreadiness", lambda: camera.send(coffee) and get(f"{consumer.url}/readyz")[0] == 503)
    shown = len(camera.shown)
    for __ in range(10):
        camera.frame(camera.send(coffee))
    assert all(marked(f) for f in camera.shown[shown:])
    serving.start()
    camera.until("predicted frame", predicted, coffee)
    until("readiness", consumer.ready)
    assert get(f"{consumer.url}/healthz")[0] == 200


def test_one_hung_replica_leaves_the_rotation_and_comes_back(
    serving: Serving, start_consumer: Start, camera: Camera, coffee: bytes
) -> None:
    start_consumer(PREDICT_TIMEOUT_MS="3000")
    hung, well = serving.replicas
    camera.until("predicted frame", predicted, coffee)
    hung.signal(signal.SIGSTOP)

    def asks_the_other_only() -> bool:
        """Whether ten frames, one after the other, were all predicted and none overtaken."""
        seen, before = len(camera.shown), well.predictions()
        sent = set()
        for __ in range(10):
            sent.add(camera.send(coffee))
            camera.look(0.5)
        return {f.frame for f in camera.shown[seen:] if predicted(f)} >= sent and well.predictions() - before >= 10

    until("rotation without the hung replica", asks_the_other_only)
    hung.signal(signal.SIGCONT)
    before = hung.predictions()
    camera.until("prediction by the replica that is back", lambda _: hung.predictions() > before + 3, coffee)


def test_while_all_models_hang_frames_flow_marked_and_are_predicted_again_after(
    serving: Serving, start_consumer: Start, camera: Camera, coffee: bytes
) -> None:
    consumer = start_consumer(PREDICT_TIMEOUT_MS="3000")
    camera.until("predicted frame", predicted, coffee)
    for replica in serving.replicas:
        replica.signal(signal.SIGSTOP)
    camera.until("marked frame", marked, coffee)
    until("open circuit", lambda: camera.send(coffee) and consumer.metric("cctv_model_up") == 0)
    numbers = []
    for __ in range(20):
        numbers.append(camera.send(coffee))
        frame = camera.frame(numbers[-1])
        assert marked(frame)
        assert frame.stage_ms["predict"] < 2000  # nobody waits for the timeout any more
    for replica in serving.replicas:
        replica.signal(signal.SIGCONT)
    camera.until("predicted frame", predicted, coffee)
    until("readiness", consumer.ready)


def test_frames_without_prediction_are_dropped_when_told_so(
    serving: Serving, start_consumer: Start, camera: Camera, coffee: bytes
) -> None:
    consumer = start_consumer(ON_MODEL_FAILURE="drop")
    serving.kill()
    until(
        "dropped frame",
        lambda: camera.send(coffee) and consumer.metric("cctv_frames_dropped_total", cause="no_prediction") > 5,
    )
    camera.look(0.5)
    assert camera.shown == []


def test_after_a_pause_stale_frames_are_skipped_and_fresh_ones_flow(
    start_consumer: Start, camera: Camera, coffee: bytes
) -> None:
    consumer = start_consumer(FRAME_MAX_AGE_MS="5000", PREDICT_TIMEOUT_MS="4000")
    assert predicted(camera.frame(camera.send(coffee)))
    assert consumer.process is not None
    consumer.signal(signal.SIGSTOP)
    last_stale = 0
    for __ in range(300):
        last_stale = camera.send(coffee)
    camera.flush()
    sent_at = time.monotonic()
    until("end of the budget", lambda: time.monotonic() - sent_at > 5.2)
    consumer.signal(signal.SIGCONT)
    camera.until("fresh frame", lambda f: f.frame > last_stale and predicted(f), coffee)
    assert not [f for f in camera.shown if 1 < f.frame <= last_stale]


def test_only_what_comes_after_its_start_is_read(start_consumer: Start, camera: Camera, coffee: bytes) -> None:
    old = [camera.send(coffee) for __ in range(20)]
    camera.flush()
    start_consumer()
    new = camera.send(coffee)
    assert predicted(camera.frame(new))
    assert not [f for f in camera.shown if f.frame in old]


def test_kafka_away_and_back(kafka: Any, start_consumer: Start, camera: Camera, coffee: bytes) -> None:
    consumer = start_consumer()
    assert predicted(camera.frame(camera.send(coffee)))
    kafka.kill()
    until("unreadiness", lambda: get(f"{consumer.url}/readyz")[0] == 503)
    assert get(f"{consumer.url}/healthz")[0] == 200
    kafka.start()
    camera.until("predicted frame", predicted, coffee, timeout_s=90)
    until("readiness", consumer.ready)
    assert "Traceback" not in consumer.said()


def test_sigterm_ends_it_cleanly_and_soon(start_consumer: Start, camera: Camera, coffee: bytes) -> None:
    consumer = start_consumer()
    assert predicted(camera.frame(camera.send(coffee)))
    consumer.signal(signal.SIGTERM)
    assert consumer.process is not None
    assert consumer.process.wait(timeout=5) == 0
    assert "stopped" in [e["event"] for e in consumer.events()]


def test_a_wrong_environment_is_one_line_a_variable(start_consumer: Start) -> None:
    consumer = start_consumer(wait=False, PREDICT_BATCH_SIZE="none", MODELS="resnet", IMAGENET_LABELS_FILE="")
    assert consumer.process is not None
    assert consumer.process.wait(timeout=20) == 78
    said = consumer.said().splitlines()
    assert len(said) == 2
    assert any("PREDICT_BATCH_SIZE='none'" in line for line in said)
    assert any(line.startswith("MODELS") for line in said)
    consumer = start_consumer(wait=False, IMAGENET_LABELS_FILE="/nowhere/labels.json")
    assert consumer.process is not None
    assert consumer.process.wait(timeout=20) == 78
    assert consumer.said().startswith("IMAGENET_LABELS_FILE: /nowhere/labels.json")
