"""Frames leave in their camera's order."""

from __future__ import annotations

import itertools
import random

import pytest
from cctv_consumer.order import Order


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    def __init__(self, max_wait_s: float = 0.1) -> None:
        self.clock = Clock()
        self.sent: list[str] = []
        self.late: list[str] = []
        self.order: Order[str] = Order(self.sent.append, self.late.append, max_wait_s, self.clock)


def test_a_finished_frame_waits_for_the_one_before() -> None:
    bench = Bench()
    first, second = bench.order.take("a"), bench.order.take("a")
    bench.order.done(second, "2")
    assert bench.sent == []
    bench.order.done(first, "1")
    assert bench.sent == ["1", "2"]


def test_cameras_do_not_wait_for_each_other() -> None:
    bench = Bench()
    bench.order.take("a")
    bench.order.done(bench.order.take("b"), "b1")
    assert bench.sent == ["b1"]


def test_a_dropped_frame_holds_nothing_back() -> None:
    bench = Bench()
    first, second = bench.order.take("a"), bench.order.take("a")
    bench.order.done(second, "2")
    bench.order.done(first, None)
    assert bench.sent == ["2"]
    assert bench.late == []


def test_a_frame_that_hangs_is_overtaken_and_never_sent_after() -> None:
    bench = Bench(max_wait_s=0.1)
    first, second, third = (bench.order.take("a") for __ in range(3))
    bench.order.done(second, "2")
    bench.clock.now += 0.09
    bench.order.tick()
    assert bench.sent == []
    bench.clock.now += 0.02
    bench.order.tick()
    assert bench.sent == ["2"]
    bench.order.done(first, "1")
    assert bench.sent == ["2"]
    assert bench.late == ["1"]
    bench.order.done(third, "3")
    assert bench.sent == ["2", "3"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nothing_is_sent_out_of_order_and_nothing_is_lost(seed: int) -> None:
    bench, chance = Bench(), random.Random(seed)
    open_tickets = []
    numbers = itertools.count()
    for __ in range(300):
        action = chance.random()
        if action < 0.4:
            open_tickets.append((next(numbers), bench.order.take("a")))
        elif action < 0.8 and open_tickets:
            number, ticket = open_tickets.pop(chance.randrange(len(open_tickets)))
            bench.order.done(ticket, f"{number:04}")
        else:
            bench.clock.now += chance.random() * 0.05
            bench.order.tick()
    for number, ticket in open_tickets:
        bench.order.done(ticket, f"{number:04}")
    assert bench.sent == sorted(bench.sent)
    assert sorted(bench.sent + bench.late) == [f"{n:04}" for n in range(next(numbers))]
