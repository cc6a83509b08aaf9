from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cctv_common.frames import Frame
from cctv_video.hub import Full, Hub, Picture, Viewer

Make = Callable[..., Frame]


@pytest.fixture
def hub(clock: Any) -> Hub:
    return Hub(
        ["gate", "yard"],
        max_cameras=2,
        max_viewers=3,
        max_age_s=2.0,
        silent_after_s=3.0,
        forget_after_s=60.0,
        clock=clock,
        wall_ms=clock.ms,
    )


def statuses(hub: Hub) -> dict[str, dict[str, Any]]:
    return {status["id"]: status for status in hub.statuses()}


async def numbers(viewer: Viewer, count: int) -> list[int]:
    pictures = [await viewer.next() for __ in range(count)]
    return [picture.key[1] for picture in pictures if picture is not None]


async def nothing(viewer: Viewer) -> bool:
    waiting = asyncio.ensure_future(viewer.next())
    await asyncio.sleep(0)
    waiting.cancel()
    return not waiting.done()


def test_an_older_frame_never_follows_a_newer_one(hub: Hub, frame: Make) -> None:
    assert isinstance(hub.offer(frame(number=5)), Picture)
    assert hub.offer(frame(number=4)) == "out_of_order"
    assert hub.offer(frame(number=5)) == "out_of_order"
    assert isinstance(hub.offer(frame(number=0, epoch=2)), Picture)
    assert hub.offer(frame(number=6, epoch=1)) == "out_of_order"
    picture = hub.picture("gate")
    assert picture is not None and picture.key == (2, 0)


def test_a_producer_whose_clock_was_set_back_is_shown_once_its_camera_is_silent(
    hub: Hub, frame: Make, clock: Any
) -> None:
    hub.offer(frame(epoch=9))
    assert hub.offer(frame(epoch=2)) == "out_of_order"
    clock.now += 4
    assert isinstance(hub.offer(frame(epoch=2, number=1)), Picture)


def test_a_stale_frame_is_dropped(hub: Hub, frame: Make) -> None:
    assert hub.offer(frame(age_ms=2001)) == "stale"
    assert isinstance(hub.offer(frame(age_ms=1999)), Picture)


def test_a_clock_ahead_of_ours_does_not_hide_a_camera(hub: Hub, frame: Make) -> None:
    assert isinstance(hub.offer(frame(age_ms=-5000)), Picture)


def test_unexpected_cameras_are_capped_and_expected_ones_always_have_room(hub: Hub, frame: Make) -> None:
    assert isinstance(hub.offer(frame("one")), Picture)
    assert isinstance(hub.offer(frame("two")), Picture)
    assert hub.offer(frame("three")) == "too_many_cameras"
    assert isinstance(hub.offer(frame("yard")), Picture)
    assert list(statuses(hub)) == ["gate", "yard", "one", "two"]


def test_an_unexpected_camera_that_is_gone_makes_room(hub: Hub, frame: Make, clock: Any) -> None:
    hub.offer(frame("one"))
    hub.offer(frame("two"))
    clock.now += 50
    hub.offer(frame("two", 1))
    clock.now += 15
    assert hub.forget_silent() == ["one"]
    assert list(statuses(hub)) == ["gate", "yard", "two"]
    assert isinstance(hub.offer(frame("three")), Picture)


def test_states(hub: Hub, frame: Make, clock: Any) -> None:
    hub.offer(frame(age_ms=30))
    said = statuses(hub)
    assert (said["gate"]["state"], said["yard"]["state"]) == ("live", "waiting")
    assert (said["gate"]["age_ms"], said["gate"]["frames"]) == (30.0, 1)
    assert said["gate"]["last_frame_at"] == "1970-01-01T00:16:40.000Z"
    assert said["yard"]["age_ms"] is said["yard"]["last_frame_at"] is None
    clock.now += 4
    said = statuses(hub)
    assert said["gate"]["state"] == "silent"
    assert said["gate"]["last_frame_at"] == "1970-01-01T00:16:40.000Z"
    hub.offer(frame(number=1))
    assert statuses(hub)["gate"]["state"] == "live"


def test_frames_that_come_too_late_leave_a_camera_silent(hub: Hub, frame: Make, clock: Any) -> None:
    hub.offer(frame())
    for number in range(1, 40):
        clock.now += 0.1
        hub.offer(frame(number=number, age_ms=10_000))
    assert statuses(hub)["gate"]["state"] == "silent"


async def test_the_last_frame_is_there_at_once(hub: Hub, frame: Make) -> None:
    hub.offer(frame(number=7))
    with hub.watch("gate") as viewer:
        assert await numbers(viewer, 1) == [7]
        assert await nothing(viewer)


async def test_a_viewer_who_is_slow_gets_the_newest_frame(hub: Hub, frame: Make) -> None:
    hub.attach(asyncio.get_running_loop())
    with hub.watch("gate") as slow, hub.watch("gate") as quick:
        seen = []
        for number in range(5):
            hub.offer(frame(number=number))
            seen += await numbers(quick, 1)
        assert seen == [0, 1, 2, 3, 4]
        assert await numbers(slow, 1) == [4]
        assert await nothing(slow)


async def test_a_frame_from_another_thread_wakes_all_its_viewers(hub: Hub, frame: Make) -> None:
    hub.attach(asyncio.get_running_loop())
    with hub.watch("gate") as one, hub.watch("gate") as two, hub.watch() as everything:
        waiting = [asyncio.ensure_future(numbers(viewer, 1)) for viewer in (one, two, everything)]
        await asyncio.sleep(0)
        await asyncio.to_thread(hub.offer, frame(number=3))
        assert await asyncio.wait_for(asyncio.gather(*waiting), 10) == [[3], [3], [3]]


async def test_no_camera_starves_when_a_viewer_is_slower_than_all_together(hub: Hub, frame: Make) -> None:
    seen = []
    with hub.watch() as viewer:
        for number in range(10):
            for camera in ("gate", "yard", "one"):
                hub.offer(frame(camera, number))
            picture = await viewer.next()
            assert picture is not None
            seen.append(picture.camera)
    assert {camera: seen.count(camera) for camera in sorted(set(seen))} == {"gate": 4, "one": 3, "yard": 3}


async def test_viewers_are_capped_and_leave_room(hub: Hub) -> None:
    viewers = [hub.watch() for __ in range(3)]
    with pytest.raises(Full):
        hub.watch()
    with viewers[0]:
        pass
    assert hub.viewers() == 2
    hub.watch()


async def test_closing_ends_every_stream(hub: Hub, frame: Make) -> None:
    hub.attach(asyncio.get_running_loop())
    with hub.watch() as viewer:
        waiting = asyncio.ensure_future(viewer.next())
        await asyncio.sleep(0)
        hub.close()
        assert await asyncio.wait_for(waiting, 10) is None
    hub.offer(frame())  # the Kafka thread may be a moment behind


@pytest.mark.parametrize("label", ["evil\r\nSet-Cookie: a=b", "Kaffeetasse ☕", "x" * 5000])
def test_a_label_cannot_break_the_stream(hub: Hub, frame: Make, label: str) -> None:
    picture = hub.offer(frame(label=label))
    assert isinstance(picture, Picture)
    head, rest = picture.part.split(b"\r\n\r\n", 1)
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n"))
    assert set(lines) == {b"Content-Type", b"Content-Length", b"X-Camera", b"X-Frame", b"X-Captured-At", b"X-Label"}
    assert len(lines[b"X-Label"]) < 1000
    assert rest == picture.jpeg + b"\r\n--frame\r\n"
    assert statuses(hub)["gate"]["label"] is None  # one frame only starts the clock
