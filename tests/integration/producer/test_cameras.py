"""Frames from real cameras into a real Kafka, also when the cameras die or hang."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cameras.process import Camera

Start = Callable[..., Any]


@pytest.fixture(params=["rtsp", "mjpeg"])
def camera(request: pytest.FixtureRequest, h264: Path, jpegs: Path) -> Iterator[Camera]:
    made = Camera.rtsp(h264) if request.param == "rtsp" else Camera.mjpeg(jpegs, fps=25, login="admin:hunter2")
    with made:
        yield made


def test_camera_that_dies_and_hangs_comes_back(start: Start, camera: Camera) -> None:
    producer = start("street", CAMERA_URL=camera.url, CAMERA_FPS="10")
    first = producer.frames(5)
    assert {(frame.width, frame.height) for frame in first} == {(640, 272)}

    camera.kill()
    producer.until("word that the camera is away", lambda: producer.said("camera is away") == 1)
    producer.until("several tries", lambda: producer.metric("cctv_camera_reconnects_total") >= 5)
    assert producer.metric("cctv_camera_up", camera="street") == 0
    assert (producer.get("/healthz"), producer.get("/readyz")) == (200, 200)
    camera.start()
    producer.until("the camera back", lambda: producer.said("camera is back") == 1)
    producer.forget()
    after_kill = producer.frames(5)

    camera.hang()
    producer.until("word that the camera hangs", lambda: producer.said("camera is away") == 2)
    assert producer.get("/healthz") == 200
    camera.resume()
    producer.until("the camera back", lambda: producer.said("camera is back") == 2)
    producer.forget()
    after_hang = producer.frames(5)

    frames = first + after_kill + after_hang
    assert [frame.frame for frame in frames] == sorted({frame.frame for frame in frames})
    assert len({frame.epoch for frame in frames}) == 1
    assert producer.metric("cctv_camera_up", camera="street") == 1
    assert (producer.said("camera is away"), producer.said("camera is back")) == (2, 2)
    assert "hunter2" not in producer.log and "admin" not in producer.log


def test_camera_that_takes_connections_and_says_nothing_is_away_but_the_producer_is_well(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        producer = start("mute", CAMERA_URL=f"rtsp://127.0.0.1:{silent.getsockname()[1]}/", CAMERA_TIMEOUT_MS="500")
        producer.until("several tries", lambda: producer.get("/readyz") == 200 and _tries(producer) >= 3)
        assert producer.get("/healthz") == 200
        assert producer.said("camera is away") == 1
        assert producer.terminate() == 0


def _tries(producer: Any) -> float:
    return float(producer.metric("cctv_camera_reconnects_total"))


def test_producer_ends_while_it_waits_for_a_camera_that_hangs(start: Start, camera: Camera) -> None:
    producer = start("street", CAMERA_URL=camera.url, CAMERA_TIMEOUT_MS="30000")
    producer.frames(1)
    camera.hang()
    assert producer.terminate() == 0


def test_wrong_password_is_an_outage_told_without_it(start: Start, jpegs: Path) -> None:
    with Camera.mjpeg(jpegs, fps=25, login="admin:right") as camera:
        producer = start("door", CAMERA_URL=camera.url.replace("right", "hunter2"))
        producer.until("word of the outage", lambda: producer.said("camera is away") == 1)
        assert "user or password is wrong" in producer.log
        assert "hunter2" not in producer.log


def test_clip_is_looped_and_every_missing_number_is_a_counted_drop(start: Start) -> None:
    producer = start("carphone", CAMERA_URL="sample:carphone")
    producer.until("more frames than the clip has", lambda: producer.metric("cctv_camera_frames_read_total") > 150)
    numbers = [frame.frame for frame in producer.frames(100)]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] + 1 - len(numbers) <= producer.metric("cctv_frames_dropped_total")
    assert producer.said("camera is away") == 0


def test_every_frame_read_is_accounted_for(start: Start) -> None:
    producer = start("bikes", CAMERA_URL="sample:bikes", CAMERA_FPS="10")
    producer.frames(20)
    # Read once, so the four numbers are of one moment, but for frames on their way.
    read, skipped, came, out, lost = (
        producer.metric(f"cctv_{name}_total")
        for name in ("camera_frames_read", "camera_frames_skipped", "frames_in", "frames_out", "frames_dropped")
    )
    assert read > 2 * came and abs(read - skipped - came) <= 3
    assert abs(came - out - lost) <= 3


def test_photos_come_in_turn(start: Start) -> None:
    producer = start("photos", CAMERA_URL="sample:photos", CAMERA_FPS="20")
    frames = producer.frames(8)
    sizes = [(600, 400), (512, 512), (451, 300), (640, 427)]
    assert [(frame.width, frame.height) for frame in frames] == [sizes[frame.frame % 4] for frame in frames]


def test_operations_change_what_is_sent(start: Start) -> None:
    producer = start(
        "bikes", CAMERA_URL="sample:bikes", CAMERA_CROP="0,0,0.5,1", CAMERA_ROTATE="90", CAMERA_WIDTH="136"
    )
    (frame,) = producer.frames(1)
    assert (frame.width, frame.height) == (136, 160)
