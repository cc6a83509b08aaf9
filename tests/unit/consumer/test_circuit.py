"""Nobody waits for a model that does not answer."""

from __future__ import annotations

from cctv_consumer.circuit import Circuit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def circuit() -> tuple[Circuit, Clock, list[str]]:
    clock, told = Clock(), list[str]()
    return Circuit(told.append, threshold=3, probe_every_s=0.5, clock=clock), clock, told


def test_a_model_is_probed_before_frames_wait_for_it() -> None:
    subject, __, told = circuit()
    assert not subject.closed
    assert subject.take_probe()
    subject.answered()
    assert subject.closed
    assert told == [""]
    assert not subject.take_probe()


def test_it_opens_after_failures_in_a_row_and_says_so_once() -> None:
    subject, __, told = circuit()
    subject.answered()
    for __ in range(2):
        subject.failed("no answer")
    subject.answered()  # one replica of two is well
    for __ in range(2):
        subject.failed("no answer")
    assert subject.closed
    for __ in range(5):
        subject.failed("no answer")
    assert not subject.closed
    assert subject.cause == "no answer"
    assert told == ["", "no answer"]


def test_while_open_it_probes_now_and_then_and_closes_with_an_answer() -> None:
    subject, clock, told = circuit()
    subject.answered()
    for __ in range(3):
        subject.failed("unavailable")
    assert not subject.take_probe()
    clock.now += 0.6
    assert subject.take_probe()
    assert not subject.take_probe()
    subject.failed("no answer")
    clock.now += 0.6
    assert subject.take_probe()
    subject.answered()
    assert subject.closed
    assert told == ["", "unavailable", ""]
