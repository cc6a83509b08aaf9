from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cctv_common.frames import Frame
from cctv_video.hub import Full, Hub, Viewer
from cctv_video.picture import Picture

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


def taken(viewer: Viewer) -> int | None:
    picture = viewer.take()
    return None if picture is None else picture.key[1]


def told(viewer: Viewer) -> asyncio.Event:
    news = asyncio.Event()
    viewer.on_news = lambda __: news.set()
    return news


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


def test_the_last_frame_is_there_at_once(hub: Hub, frame: Make) -> None:
    hub.offer(frame(number=7))
    with hub.watch(["gate"]) as viewer:
        assert taken(viewer) == 7
        assert taken(viewer) is None


def test_a_viewer_who_is_slow_gets_the_newest_frame(hub: Hub, frame: Make) -> None:
    with hub.watch(["gate"]) as slow, hub.watch(["gate"]) as quick:
        seen = []
        for number in range(5):
            hub.offer(frame(number=number))
            seen.append(taken(quick))
        assert seen == [0, 1, 2, 3, 4]
        assert taken(slow) == 4
        assert taken(slow) is None


async def test_a_frame_from_another_thread_tells_those_who_watch_its_camera(hub: Hub, frame: Make) -> None:
    hub.attach(asyncio.get_running_loop())
    with hub.watch(["yard", "gate"]) as both, hub.watch() as all, hub.watch(["yard"]) as other:
        news = [told(viewer) for viewer in (both, all, other)]
        await asyncio.to_thread(hub.offer, frame(number=3))
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in news[:2])), 10)
        assert [taken(viewer) for viewer in (both, all, other)] == [3, 3, None]
        assert not news[2].is_set()


def test_no_camera_starves_when_a_viewer_is_slower_than_all_together(hub: Hub, frame: Make) -> None:
    seen = []
    with hub.watch() as viewer:
        for number in range(10):
            for camera in ("gate", "yard", "one"):
                hub.offer(frame(camera, number))
            picture = viewer.take()
            assert picture is not None
            seen.append(picture.camera)
    assert {camera: seen.count(camera) for camera in sorted(set(seen))} == {"gate": 4, "one": 3, "yard": 3}


@pytest.mark.parametrize(("fps", "expected"), [(1, 10), (3, 30), (4, 40), (10, 100), (50, 100)])
def test_a_viewer_who_wants_fewer_frames_gets_so_many(
    hub: Hub, frame: Make, clock: Any, fps: float, expected: int
) -> None:
    """Of a camera at 10/s, for ten seconds."""
    seen = []
    with hub.watch(fps=fps) as viewer:
        for number in range(100):
            hub.offer(frame(number=number))
            seen.append(taken(viewer))
            clock.now += 0.1
    assert len([number for number in seen if number is not None]) == pytest.approx(expected, abs=1)


def test_the_last_frame_comes_once_it_is_due_though_no_other_follows(hub: Hub, frame: Make, clock: Any) -> None:
    with hub.watch(fps=1) as viewer:
        hub.offer(frame(number=1))
        assert taken(viewer) == 1
        hub.offer(frame(number=2))
        assert taken(viewer) is None
        clock.now += 1.0
        assert taken(viewer) == 2


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
    hub.offer(frame())
    with hub.watch() as viewer:
        hub.close()
        await asyncio.wait_for(viewer.ended.wait(), 10)
        assert viewer.take() is None
    hub.offer(frame(number=1))  # the Kafka thread may be a moment behind


@pytest.mark.parametrize("label", ["evil\r\nSet-Cookie: a=b", "Kaffeetasse ☕", "x" * 5000])
def test_a_label_cannot_break_the_stream(hub: Hub, frame: Make, label: str) -> None:
    picture = hub.offer(frame(label=label))
    assert isinstance(picture, Picture)
    size, part = picture.chunk.split(b"\r\n", 1)
    assert int(size, 16) == len(part) - 2
    head, rest = part.split(b"\r\n\r\n", 1)
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n"))
    assert set(lines) == {b"Content-Type", b"Content-Length", b"X-Camera", b"X-Frame", b"X-Captured-At", b"X-Label"}
    assert len(lines[b"X-Label"]) < 1000
    assert rest == picture.jpeg + b"\r\n--frame\r\n\r\n"
    assert statuses(hub)["gate"]["label"] is None  # one frame only starts the clock
