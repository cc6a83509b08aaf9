"""Pacing on a clock that the tests turn."""

from __future__ import annotations

import pytest
from cctv_producer.pacing import Backoff, KeyFrames, Moments, Pacer, Timetable


class FakeTime:
    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def picked(pacer: Pacer, times: list[float]) -> list[float]:
    return [time for time in times if pacer.wants(time)]


@pytest.mark.parametrize("camera_fps", [10.5, 15, 24.7, 25, 29.97, 60])
def test_faster_camera_is_thinned_out_to_the_wanted_rate_without_drift(camera_fps: float) -> None:
    times = [500 + number / camera_fps for number in range(int(600 * camera_fps))]
    chosen = picked(Pacer(10), times)
    assert len(chosen) == pytest.approx(6000, abs=1)
    assert all(abs(time - 500 - number / 10) <= 0.05 + 1e-6 for number, time in enumerate(chosen))


def test_camera_of_just_the_wanted_rate_loses_nothing_to_jitter() -> None:
    jitter = [0.0, 0.03, -0.03, 0.01, -0.02]
    times = [number / 10 + jitter[number % 5] for number in range(1000)]
    assert picked(Pacer(10), times) == times


@pytest.mark.parametrize("camera_fps", [1, 8, 9.99])
def test_slower_camera_gives_all_it_has(camera_fps: float) -> None:
    times = [number / camera_fps for number in range(1000)]
    assert picked(Pacer(10), times) == times


def test_camera_that_drifts_against_the_clock_loses_only_what_is_too_much() -> None:
    times = [number / 10.001 for number in range(100_000)]
    assert len(picked(Pacer(10), times)) == pytest.approx(99_990, abs=2)


def test_frames_after_a_gap_come_no_faster_than_wanted() -> None:
    pacer = Pacer(10)
    assert pacer.wants(0)
    burst = [60 + number / 100 for number in range(100)]
    assert len(picked(pacer, burst)) == pytest.approx(10, abs=1)


def test_rate_0_takes_every_frame() -> None:
    times = [0.0, 0.0, 0.001, 7.0, 7.0]
    assert picked(Pacer(0), times) == times


def test_timetable_keeps_time_however_long_the_work_between_takes() -> None:
    time = FakeTime()
    timetable = Timetable(time.pause, time.clock)
    arrivals = []
    for number in range(1000):
        timetable.wait(number / 25)
        arrivals.append(time.now)
        time.now += 0.035 if number % 3 else 0.0
    assert arrivals == pytest.approx([1000 + number / 25 for number in range(1000)])


def test_timetable_catches_up_a_little_lateness() -> None:
    time = FakeTime()
    timetable = Timetable(time.pause, time.clock)
    timetable.wait(0)
    time.now += 0.1
    timetable.wait(0.04)
    timetable.wait(0.08)
    assert time.pauses == []
    timetable.wait(0.12)
    assert time.now == pytest.approx(1000.12)


def test_timetable_does_not_rush_after_a_long_stop() -> None:
    time = FakeTime()
    timetable = Timetable(time.pause, time.clock)
    timetable.wait(0)
    time.now += 60
    timetable.wait(0.04)
    timetable.wait(0.08)
    assert time.now == pytest.approx(1060.04)


def test_backoff_doubles_its_ceiling_up_to_the_most_and_starts_anew() -> None:
    backoff = Backoff(0.5, 10, uniform=lambda least, most: most)
    assert [backoff.next() for __ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]
    backoff.reset()
    assert backoff.next() == 0.5


def test_backoff_has_full_jitter() -> None:
    backoff = Backoff(10, 10)
    waits = [backoff.next() for __ in range(1000)]
    assert all(0 <= wait <= 10 for wait in waits)
    assert min(waits) < 1 and max(waits) > 9


def test_backoff_may_be_shorter_than_its_first_wait() -> None:
    assert Backoff(0.5, 0.1, uniform=lambda least, most: most).next() == 0.1


def decoded(frames: KeyFrames, start: float, keys: int, every_s: float, fps: int = 25) -> list[tuple[bool, bool]]:
    """Of a stream of ``keys`` key frames, whether each frame was one, and whether it is decoded."""
    between = round(every_s * fps)
    return [
        (number % between == 0, frames.wants(number % between == 0, start + number / fps))
        for number in range(keys * between)
    ]


def test_key_frames_that_come_as_often_as_wanted_are_enough() -> None:
    frames = KeyFrames(rate=1)
    decoded(frames, 0, keys=4, every_s=1)
    assert frames.alone
    assert all(wanted == key for key, wanted in decoded(frames, 4, keys=10, every_s=1))


@pytest.mark.parametrize(("rate", "every_s"), [(0, 1), (2, 1), (1, 2)])
def test_all_is_decoded_where_key_frames_are_too_rare(rate: float, every_s: float) -> None:
    assert all(wanted for __, wanted in decoded(KeyFrames(rate), 0, keys=10, every_s=every_s))


def test_key_frames_that_become_rare_are_waited_for_once_and_then_all_is_decoded() -> None:
    frames = KeyFrames(rate=1)
    decoded(frames, 0, keys=6, every_s=1)
    rare = decoded(frames, 6, keys=3, every_s=4)
    # What was passed over leaves nothing to go on from until the next key frame.
    assert all(wanted == key for key, wanted in rare[:100])
    assert all(wanted for __, wanted in rare[100:])


def test_a_busy_machine_that_reads_them_late_still_decodes_key_frames_alone() -> None:
    frames = KeyFrames(rate=1)
    for number in range(1000):
        late = 0.7 if number % 75 < 25 else 0.0
        wanted = frames.wants(number % 25 == 0, number / 25 + late, stamp=5000 + number / 25)
        assert number < 100 or wanted == (number % 25 == 0)


@pytest.mark.parametrize("speed", [0.5, 0.0])
def test_a_stream_whose_clock_is_slow_is_soon_decoded_whole(speed: float) -> None:
    frames = KeyFrames(rate=2)
    wanted = [frames.wants(number % 25 == 0, number / 25, stamp=speed * number / 25) for number in range(1000)]
    assert not all(wanted[:250])
    assert all(wanted[250:])


def test_all_are_wanted_whatever_the_stream_s_clock_says() -> None:
    frames = KeyFrames(rate=0)
    assert all(frames.wants(number % 25 == 0, number / 25, stamp=0.0) for number in range(500))


def test_frames_that_are_shown_before_their_key_frame_change_nothing() -> None:
    frames = KeyFrames(rate=1)
    order = [0, -2, -1, *range(1, 23)]
    wanted = [
        frames.wants(number == 0, second + place / 25, stamp=second + number / 25)
        for second in range(20)
        for place, number in enumerate(order)
    ]
    assert sum(wanted[100:]) == 16


def test_a_stream_without_any_key_frame_is_decoded() -> None:
    frames = KeyFrames(rate=1)
    assert all(frames.wants(False, number / 25) for number in range(100))


def test_moments_follow_this_host_s_clock() -> None:
    clock = iter([1_000_000_000_000, 1_040_000_000, 2_000_000_000_000])
    moments = Moments(lambda: next(clock))
    assert [moments.now(), moments.now(), moments.now()] == [1_000_000, 1_040, 2_000_000]


def test_moments_go_on_while_the_clock_is_behind_what_it_was() -> None:
    clock = iter([10_000, 10_040, 7_080, 7_120, 10_041, 10_500])
    moments = Moments(lambda: next(clock) * 1_000_000)
    assert [moments.now() for __ in range(6)] == [10_000, 10_040, 10_041, 10_042, 10_043, 10_500]


def test_two_pictures_of_one_millisecond_are_one_after_the_other() -> None:
    moments = Moments(lambda: 10_000 * 1_000_000)
    assert [moments.now(), moments.now()] == [10_000, 10_001]


def test_key_frames_that_are_none_are_not_tried_again() -> None:
    frames = KeyFrames(rate=1)
    decoded(frames, 0, keys=6, every_s=1)
    frames.give_up()
    assert all(wanted for __, wanted in decoded(frames, 6, keys=10, every_s=1))
