from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from cctv_serving.engine import Engine, Metrics
from cctv_serving.status import ServingError
from prometheus_client import CollectorRegistry
from waiting import until

ANSWER = [np.array([1])]


def make_engine(max_in_flight: int = 2, slots: int = 1) -> Engine:
    return Engine(max_in_flight, slots, Metrics(CollectorRegistry()))


def test_a_full_house_says_so_at_once_and_takes_in_again_later() -> None:
    engine = make_engine(max_in_flight=1)
    with engine.admitted("grpc"), pytest.raises(ServingError) as told, engine.admitted("rest"):
        pass
    assert told.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert told.value.http_status == 429
    with engine.admitted("grpc"):
        pass


def test_one_runs_and_others_wait_their_turn_until_their_time_is_over() -> None:
    engine = make_engine()
    runs, may_end = threading.Event(), threading.Event()

    def slow() -> list[np.ndarray]:
        runs.set()
        may_end.wait(10)
        return ANSWER

    first = threading.Thread(target=engine.run, args=(slow, None, lambda: True))
    first.start()
    assert runs.wait(10)
    with pytest.raises(ServingError) as told:
        engine.run(lambda: ANSWER, 0.01, lambda: True)
    assert told.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    second = ThreadPoolExecutor(1).submit(engine.run, lambda: ANSWER, float(2**63), lambda: True)  # no deadline
    until("second that waits", lambda: engine.waiting == 1)
    may_end.set()
    first.join(10)
    assert second.result(10) is ANSWER
    assert engine.run(lambda: ANSWER, 5, lambda: True) is ANSWER
    assert engine.waiting == 0


def test_what_nobody_waits_for_is_not_run() -> None:
    engine = make_engine()

    def never() -> list[np.ndarray]:
        raise AssertionError("was run")

    with pytest.raises(ServingError) as told:
        engine.run(never, None, lambda: False)
    assert told.value.code is grpc.StatusCode.CANCELLED


def test_a_failing_run_gives_its_turn_back() -> None:
    engine = make_engine(max_in_flight=1)

    def fail() -> list[np.ndarray]:
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "no image")

    for __ in range(3):
        with pytest.raises(ServingError, match="no image"), engine.admitted("grpc"):
            engine.run(fail, None, lambda: True)
