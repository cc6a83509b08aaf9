"""Which frames are shown to the models, and which are given up."""

from __future__ import annotations

from collections import Counter

from cctv_common.frames import Frame
from cctv_consumer.backlog import EPOCH_SILENCE_S, Arrivals, Backlog, Waiting
from cctv_consumer.batching import BatchSize


def frame(camera: str, number: int, captured_at: int = 0, epoch: int = 1) -> Frame:
    return Frame(camera, epoch, number, captured_at, 64, 64, b"")


class Drops(Counter[tuple[str, str]]):
    def __call__(self, camera: str, cause: str, count: int) -> None:
        self[camera, cause] += count


def backlog(keep: int = 8, max_age_ms: float = 1000) -> tuple[Backlog, Drops]:
    drops = Drops()
    return Backlog(keep, max_age_ms, drops), drops


def add(waiting: Backlog, *frames: Frame) -> None:
    for one in frames:
        waiting.add(Waiting(one, 0.0, 0.0))


def ids(taken: list[Waiting]) -> list[tuple[str, int]]:
    return [(w.frame.camera, w.frame.frame) for w in taken]


def test_frames_of_all_cameras_share_a_batch_in_their_order() -> None:
    waiting, drops = backlog()
    add(waiting, frame("a", 1), frame("b", 1), frame("a", 2), frame("c", 1))
    taken = ids(waiting.take(8, 8, now_ms=0))
    assert set(taken) == {("a", 1), ("a", 2), ("b", 1), ("c", 1)}
    assert taken.index(("a", 1)) < taken.index(("a", 2))
    assert not drops
    assert len(waiting) == 0


def test_when_behind_every_camera_gets_its_newest_frame_first() -> None:
    waiting, drops = backlog()
    add(waiting, *(frame(camera, number) for number in range(5) for camera in "ab"))
    assert sorted(ids(waiting.take(4, 4, now_ms=0))) == [("a", 3), ("a", 4), ("b", 3), ("b", 4)]
    assert drops == {("a", "superseded"): 3, ("b", "superseded"): 3}
    assert len(waiting) == 0


def test_cameras_that_found_no_room_are_next() -> None:
    waiting, drops = backlog()
    add(waiting, frame("a", 1), frame("b", 1), frame("c", 1))
    assert ids(waiting.take(2, 2, now_ms=0)) == [("a", 1), ("b", 1)]
    add(waiting, frame("a", 2), frame("b", 2))
    assert ids(waiting.take(2, 2, now_ms=0)) == [("c", 1), ("a", 2)]
    assert not drops


def test_only_the_newest_frames_of_a_camera_wait() -> None:
    waiting, drops = backlog(keep=3)
    add(waiting, *(frame("a", number) for number in range(10)))
    assert len(waiting) == 3
    assert drops == {("a", "superseded"): 7}
    assert ids(waiting.take(8, 8, now_ms=0)) == [("a", 7), ("a", 8), ("a", 9)]


def test_frames_beyond_the_budget_are_not_predicted() -> None:
    waiting, drops = backlog(max_age_ms=500)
    add(waiting, frame("a", 1, captured_at=0), frame("a", 2, captured_at=400), frame("b", 1, captured_at=100))
    assert ids(waiting.take(8, 8, now_ms=800)) == [("a", 2)]
    assert drops == {("a", "stale"): 1, ("b", "stale"): 1}
    assert waiting.take(8, 8, now_ms=800) == []


def test_what_is_forgotten_is_counted() -> None:
    waiting, drops = backlog()
    add(waiting, frame("a", 1), frame("a", 2))
    waiting.clear("superseded")
    assert len(waiting) == 0
    assert drops == {("a", "superseded"): 2}


def test_repeated_and_earlier_frames_do_not_pass() -> None:
    arrivals = Arrivals()
    assert arrivals.passes(frame("a", 5), now=0)
    assert not arrivals.passes(frame("a", 5), now=0)
    assert not arrivals.passes(frame("a", 4), now=100)
    assert arrivals.passes(frame("b", 4), now=0)
    assert arrivals.passes(frame("a", 6), now=0)


def test_a_producer_that_began_again_takes_over_from_the_one_before() -> None:
    arrivals = Arrivals()
    assert arrivals.passes(frame("a", 900, epoch=1), now=0)
    assert arrivals.passes(frame("a", 0, epoch=2), now=1)
    assert not arrivals.passes(frame("a", 901, epoch=1), now=1)


def test_a_producer_whose_clock_was_set_back_is_seen_again() -> None:
    arrivals = Arrivals()
    assert arrivals.passes(frame("a", 900, epoch=2), now=0)
    assert not arrivals.passes(frame("a", 0, epoch=1), now=EPOCH_SILENCE_S / 2)
    assert arrivals.passes(frame("a", 1, epoch=1), now=EPOCH_SILENCE_S)
    assert arrivals.passes(frame("a", 2, epoch=1), now=EPOCH_SILENCE_S)


def test_frames_that_another_free_call_has_room_for_are_left_to_it() -> None:
    waiting, drops = backlog()
    add(waiting, *(frame("a", number) for number in range(5)), frame("b", 0))
    assert ids(waiting.take(2, 4, now_ms=0)) == [("a", 2), ("b", 0)]
    assert ids(waiting.take(2, 2, now_ms=0)) == [("a", 3), ("a", 4)]
    assert drops == {("a", "superseded"): 2}
    assert len(waiting) == 0


def test_batches_of_a_slow_model_are_small() -> None:
    size = BatchSize(8, target_s=0.2)
    assert size.now == 8
    size.answered(frames=8, seconds=0.4)
    assert size.now == 4
    size.given_up(frames=4, seconds=0.5)
    assert size.now == 1


def test_batches_grow_again_with_a_model_that_is_well_again() -> None:
    size = BatchSize(8, target_s=0.2)
    size.given_up(frames=1, seconds=0.5)
    for __ in range(40):
        size.answered(frames=1, seconds=0.01)
    assert size.now == 8
