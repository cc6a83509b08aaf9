"""What is told of a camera by what it shows: footage of the real world, as encoders leave it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from cameras.process import sample_clip
from cctv_producer.image import Image
from cctv_producer.lookout import Lookout
from cctv_producer.metrics import CameraMetrics
from prometheus_client import CollectorRegistry

AFTER_S = 10.0


@pytest.fixture(scope="module")
def street() -> list[Image]:
    """Frames of a camera that moves little."""
    capture = cv2.VideoCapture(str(sample_clip("carphone_pristine")))
    return [capture.read()[1].astype(np.uint8) for __ in range(60)]


def encoded(image: Image, quality: int) -> Image:
    """The picture as it comes through an encoder."""
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


class Log:
    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **more: Any) -> None:
        self.said.append((event, more))

    warning = info

    def told(self) -> list[str]:
        return [event for event, __ in self.said if event != "camera's pictures"]


class Watched:
    """A camera that is looked at once a second."""

    def __init__(self, after_s: float = AFTER_S) -> None:
        self.log, self.registry = Log(), CollectorRegistry()
        self.lookout = Lookout(after_s, CameraMetrics("door", self.registry), self.log)  # type: ignore[arg-type]
        self.now = 1000.0
        self.held: list[bool] = []

    def shows(self, *images: Image, codec: str = "h264") -> None:
        for image in images:
            self.held.append(self.lookout.look(image, codec, self.now) == "grey")
            self.now += 1

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"cctv_camera_{name}", {"camera": "door"})


def test_a_camera_that_moves_is_not_frozen(street: list[Image]) -> None:
    watched = Watched()
    watched.shows(*street)
    assert (watched.metric("frozen"), watched.log.told()) == (0, [])


@pytest.mark.parametrize("quality", [95, 60])
def test_one_picture_is_frozen_however_often_it_is_encoded(street: list[Image], quality: int) -> None:
    watched = Watched()
    watched.shows(*street[:5])
    once = encoded(street[5], quality)
    watched.shows(*[once, encoded(once, quality)] * 15)
    assert watched.metric("frozen") == 1
    watched.shows(*street[6:9])
    assert watched.metric("frozen") == 0
    assert watched.log.told() == ["camera is frozen", "camera moves again"]
    assert dict(watched.log.said)["camera is frozen"]["since_s"] == AFTER_S


def test_dusk_is_not_frozen(street: list[Image]) -> None:
    watched = Watched()
    # Each is like the one before, to less than what encoding changes.
    watched.shows(*(np.clip(street[0] * (1 - 0.001 * second), 0, 255).astype(np.uint8) for second in range(60)))
    assert watched.log.told() == []


def test_a_noisy_picture_of_nothing_is_not_frozen() -> None:
    noise = np.random.default_rng(7)
    watched = Watched()
    watched.shows(*(noise.normal(40, 2, (360, 640, 3)).clip(0, 255).astype(np.uint8) for __ in range(30)))
    assert watched.log.told() == []


def test_frozen_is_never_told_where_nobody_wants_to_know(street: list[Image]) -> None:
    watched = Watched(after_s=0)
    watched.shows(*[street[0]] * 100)
    assert (watched.metric("frozen"), watched.log.told()) == (0, [])


def test_two_like_pictures_hours_apart_are_not_frozen(street: list[Image]) -> None:
    watched = Watched()
    watched.shows(street[0])
    watched.now += 7200
    watched.shows(street[0])
    assert watched.metric("frozen") == 0


def test_a_camera_that_is_away_is_neither_frozen_nor_grey(street: list[Image]) -> None:
    watched = Watched()
    watched.shows(*[street[0]] * 20)
    assert watched.metric("frozen") == 1
    watched.lookout.lost()
    assert watched.metric("frozen") == 0
    watched.shows(np.full_like(street[0], 128))
    assert watched.metric("grey") == 1
    watched.lookout.lost()
    assert watched.metric("grey") == 0
    watched.shows(*[street[0]] * 20)
    assert watched.metric("frozen") == 1


@pytest.mark.parametrize("level", [128, 130])
def test_grey_is_held_back_until_there_is_a_picture(street: list[Image], level: int) -> None:
    grey = np.full_like(street[0], level)
    # Of a picture whose changes alone came, some shows through.
    ghost = grey.copy()
    ghost[:40, :40] = street[0][:40, :40]
    watched = Watched()
    watched.shows(street[0], grey, ghost, encoded(grey, 85), street[1])
    assert watched.held == [False, True, True, True, False]
    assert (watched.metric("grey"), watched.log.told()) == (0, ["camera shows grey"])


def test_grey_for_long_is_what_there_is_to_be_seen(street: list[Image]) -> None:
    grey = np.full_like(street[0], 128)
    watched = Watched()
    watched.shows(*[grey] * 30, street[0], *[grey] * 5)
    assert watched.held == [True] * 11 + [False] * 25
    assert watched.metric("grey") == 1


def test_a_grey_world_is_no_grey_picture(street: list[Image]) -> None:
    watched = Watched()
    colourless = [cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) for image in street]
    fog = np.random.default_rng(7).normal(129, 6, (360, 640, 1)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    watched.shows(*colourless, fog, np.zeros_like(fog), np.full_like(fog, 255))
    assert not any(watched.held)


def test_a_change_of_size_or_codec_is_told(street: list[Image]) -> None:
    watched = Watched()
    larger = cv2.resize(street[0], (352, 288))
    watched.shows(street[0], street[1])
    watched.shows(larger)
    watched.shows(larger, codec="hevc")
    assert [more["now"] for __, more in watched.log.said] == ["h264 176x144", "h264 352x288", "hevc 352x288"]
    assert watched.metric("changes_total") == 2
