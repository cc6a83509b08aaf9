"""The slot of one."""

from __future__ import annotations

import threading

from cctv_producer.slot import Slot


def test_only_the_newest_is_kept_and_the_replaced_one_told() -> None:
    slot: Slot[int] = Slot()
    assert slot.put(1) is None
    assert slot.put(2) == 1
    assert slot.put(3) == 2
    assert slot.take(0) == 3
    assert slot.take(0) is None


def test_taken_items_are_not_lost() -> None:
    slot: Slot[int] = Slot()
    slot.put(1)
    assert slot.take(0) == 1
    assert slot.put(2) is None


def test_taker_wakes_when_something_is_put() -> None:
    slot: Slot[int] = Slot()
    taken: list[int | None] = []
    taker = threading.Thread(target=lambda: taken.append(slot.take(timeout=60)))
    taker.start()
    slot.put(7)
    taker.join(timeout=30)
    assert taken == [7]
