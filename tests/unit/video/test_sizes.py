"""Smaller pictures: true to the original, and made once for all who want them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from cctv_common.frames import Frame
from cctv_video import sizes
from cctv_video.hub import Hub, Viewer
from cctv_video.picture import Picture
from cctv_video.sizes import WIDTHS, rung, smaller

Make = Callable[..., Frame]


def jpeg(width: int, height: int) -> bytes:
    """Left half red, right half blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (0, 0, 255)
    pixels[:, width // 2 :] = (255, 0, 0)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


@pytest.fixture
def large(frame: Make) -> Callable[..., Frame]:
    def make(camera: str = "gate", number: int = 0) -> Frame:
        return replace(frame(camera, number), jpeg=jpeg(1280, 720), width=1280, height=720)

    return make


@pytest.fixture
def hub(clock: Any) -> Hub:
    return Hub(["gate", "yard"], clock=clock, wall_ms=clock.ms)


@pytest.mark.parametrize(("asked", "made"), [(1, 160), (160, 160), (161, 240), (600, 640), (1920, 1920), (1921, None)])
def test_widths_are_rounded_up_to_few(asked: int, made: int | None) -> None:
    assert rung(asked) == made


@pytest.mark.parametrize("width", WIDTHS)
def test_a_smaller_picture_shows_the_same(frame: Make, width: int) -> None:
    picture = Picture.of(replace(frame(label="cup"), jpeg=jpeg(3840, 2160), width=3840, height=2160), 5.0)
    small = smaller(picture, width)
    pixels = cv2.imdecode(np.frombuffer(small.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[:2] == (width * 9 // 16, width)
    left, right = pixels[10, 10].astype(int), pixels[-10, -10].astype(int)
    assert left[2] > 240 > 20 > left[0] and right[0] > 240 > 20 > right[2]
    assert (small.key, small.width, small.headers()) == (picture.key, width, picture.headers())
    assert small.jpeg in small.chunk and len(small.chunk) < len(picture.chunk)


def test_a_picture_that_cannot_be_decoded_is_left_as_it_is(frame: Make) -> None:
    picture = Picture.of(replace(frame(), jpeg=b"\xff\xd8 nothing \xff\xd9", width=1280, height=720), 5.0)
    assert smaller(picture, 160) is picture


async def get(viewer: Viewer, hub: Hub) -> Picture:
    """Wait for a picture as a stream does."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Picture] = loop.create_future()

    def news(made: Picture | None) -> None:
        if not found.done() and (picture := viewer.take(made)) is not None:
            found.set_result(picture)

    viewer.on_news = news
    news(None)
    return await asyncio.wait_for(found, 10)


async def test_each_size_of_a_picture_is_made_once_for_all(
    hub: Hub, large: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, int, int]] = []

    def counted(picture: Picture, width: int) -> Picture:
        made.append((picture.camera, picture.key[1], width))
        return smaller(picture, width)

    monkeypatch.setattr(sizes, "smaller", counted)
    hub.attach(asyncio.get_running_loop())
    viewers = [hub.watch(["gate"], width=width) for width in (160, 320, 320, 320)] + [hub.watch(["gate"])]
    for number in range(3):
        hub.offer(large(number=number))
        pictures = await asyncio.gather(*(get(viewer, hub) for viewer in viewers))
        assert [picture.width for picture in pictures] == [160, 320, 320, 320, 1280]
        assert pictures[1] is pictures[2] is pictures[3]
        assert {picture.key[1] for picture in pictures} == {number}
        assert await hub.snapshot("gate", 320) is pictures[1]
    assert sorted(made) == [("gate", number, width) for number in range(3) for width in (160, 320)]


async def test_nothing_is_made_for_who_is_not_ready(hub: Hub, large: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "smaller", lambda *__: pytest.fail("made for nobody"))
    hub.attach(asyncio.get_running_loop())
    with hub.watch(["gate"], width=320):
        for number in range(3):
            hub.offer(large(number=number))
            await asyncio.sleep(0)


async def test_a_camera_that_is_quicker_than_the_making_is_still_shown(
    hub: Hub, large: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(picture: Picture, width: int) -> Picture:
        hub.offer(large(number=picture.key[1] + 1))  # while this one is made
        return smaller(picture, width)

    monkeypatch.setattr(sizes, "smaller", overtaken)
    hub.attach(asyncio.get_running_loop())
    hub.offer(large())
    with hub.watch(["gate"], width=320) as viewer:
        seen = [(await get(viewer, hub)).key[1] for __ in range(5)]
    assert seen == sorted(set(seen))


async def test_a_picture_that_is_small_already_is_sent_as_it_is(hub: Hub, frame: Make) -> None:
    made = frame()
    hub.offer(made)
    with hub.watch(["gate"], width=160) as viewer:
        picture = viewer.take()
    assert picture is not None and picture.jpeg is made.jpeg
