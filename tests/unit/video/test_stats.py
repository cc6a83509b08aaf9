from __future__ import annotations

from typing import Any

import pytest
from cctv_video.stats import MOST_SAMPLES, Window


@pytest.fixture
def window(clock: Any) -> Window:
    return Window(5.0, clock)


def run(window: Window, clock: Any, seconds: float, fps: float, *, first: int = 0, step: int = 1) -> int:
    """Frames at a steady rate, of which each ``step``-th of the producer's arrives; returns the next number."""
    for i in range(round(seconds * fps / step)):
        clock.now += step / fps
        window.arrived(1, first + step * i)
        window.delivered(20.0)
    return first + step * round(seconds * fps / step)


def test_before_the_first_frame_there_are_no_figures(window: Window) -> None:
    said = window.summary()
    assert (said.fps, said.fps_in) == (0.0, 0.0)
    assert (said.age_p50_ms, said.age_p95_ms, said.label, said.probability) == (None, None, None, None)


@pytest.mark.parametrize("seconds", [1, 3, 30])
def test_a_steady_camera_has_its_rate_from_the_start(window: Window, clock: Any, seconds: float) -> None:
    run(window, clock, seconds, 10)
    said = window.summary()
    # A frame on the window's edge may or may not be in it.
    assert said.fps == pytest.approx(10, abs=0.2)
    assert said.fps_in == pytest.approx(10, abs=0.2)


def test_frames_lost_on_the_way_are_in_fps_in_only(window: Window, clock: Any) -> None:
    run(window, clock, 20, 30, step=3)
    said = window.summary()
    assert said.fps == pytest.approx(10, abs=0.2)
    assert said.fps_in == pytest.approx(30, abs=0.6)


def test_dropped_frames_are_in_fps_in_only(window: Window, clock: Any) -> None:
    for i in range(100):
        clock.now += 0.1
        window.arrived(1, i)
        if i % 2:
            window.delivered(5.0)
    said = window.summary()
    assert said.fps == pytest.approx(5, abs=0.2)
    assert said.fps_in == pytest.approx(10, abs=0.2)


def test_a_gap_counts_only_as_far_as_it_lies_in_the_window(window: Window, clock: Any) -> None:
    following = run(window, clock, 10, 10)
    clock.now += 60  # 600 frames are lost while Kafka is away
    window.arrived(1, following + 600)
    window.delivered(20.0)
    assert window.summary().fps_in == pytest.approx(10, abs=0.2)


def test_a_restarted_producer_counts_anew(window: Window, clock: Any) -> None:
    run(window, clock, 10, 10, first=5000)
    for number in range(20):
        clock.now += 0.1
        window.arrived(2, number)
        window.delivered(20.0)
    assert window.summary().fps_in == pytest.approx(10, abs=0.2)


def test_late_and_repeated_numbers_are_not_counted_twice(window: Window, clock: Any) -> None:
    for number in (0, 1, 1, 0, 2, 3, 2):
        clock.now += 0.1
        window.arrived(1, number)
    window.delivered(1.0)
    clock.now += 1
    assert window.summary().fps_in == 3.0


def test_a_silent_camera_has_no_rate(window: Window, clock: Any) -> None:
    run(window, clock, 10, 10)
    clock.now += 6
    said = window.summary()
    assert (said.fps, said.fps_in, said.age_p50_ms) == (0.0, 0.0, None)


def test_percentiles_are_ages_that_occurred(window: Window, clock: Any) -> None:
    window.delivered(0.0)
    for age in range(100, 0, -1):
        clock.now += 0.01
        window.delivered(float(age))
    said = window.summary()
    assert (said.age_p50_ms, said.age_p95_ms) == (50.0, 95.0)


def test_the_label_is_the_most_frequent_one(window: Window, clock: Any) -> None:
    for label, probability in [("", 0), ("espresso", 0.9), ("cup", 0.99), ("espresso", 0.7), ("", 0), ("", 0), ("", 0)]:
        clock.now += 0.1
        window.delivered(1.0, label, probability)
    said = window.summary()
    assert (said.label, said.probability) == ("espresso", 0.8)


def test_memory_is_bounded(window: Window, clock: Any) -> None:
    for number in range(3 * MOST_SAMPLES):
        window.arrived(1, number)
        window.delivered(1.0)
    assert len(window._arrivals) == len(window._deliveries) == MOST_SAMPLES
