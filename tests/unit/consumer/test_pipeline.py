"""Frames through the whole pipeline, with a model that answers, fails or hangs as the test wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest
from cctv_common.frames import Frame
from cctv_common.health import Health
from cctv_common.metrics import StageMetrics
from cctv_consumer.handlers import BadAnswer, Inputs, Outputs
from cctv_consumer.models import Model, ModelMetrics
from cctv_consumer.pipeline import Pipeline
from cctv_consumer.serving import REFUSED, TIMEOUT, UNAVAILABLE, ModelError
from cctv_consumer.settings import ModelSettings
from prometheus_client import CollectorRegistry
from waiting import until

PICTURE = cv2.imencode(".jpg", np.full((64, 96, 3), 180, np.uint8))[1].tobytes()
POISON = PICTURE[:-4] + b"\xfe\xed\xff\xd9"


class Says:
    """A handler for the test's model: the answer is the number of bytes."""

    outputs = ("sizes",)

    def inputs(self, jpegs: Sequence[bytes]) -> Inputs:
        return {"jpegs": jpegs}

    def read(self, outputs: Outputs, count: int) -> list[tuple[str, float]]:
        if len(outputs["sizes"]) != count:
            raise BadAnswer("not as many")
        return [(f"{size} bytes", 0.5) for size in outputs["sizes"]]


@dataclass
class Server:
    """Stands for the model servers; a call hangs while ``hangs`` holds, until its timeout."""

    fails: str = ""
    hangs: Callable[[int], bool] = lambda _: False
    calls: list[int] = field(default_factory=list)
    held: list[tuple[Future[Outputs], Sequence[bytes]]] = field(default_factory=list)
    manual: bool = False

    def predict(
        self, model: ModelSettings, inputs: Inputs, outputs: Sequence[str], timeout_s: float
    ) -> Future[Outputs]:
        jpegs: Any = inputs["jpegs"]
        future: Future[Outputs] = Future()
        self.calls.append(len(jpegs))
        if self.manual:
            self.held.append((future, jpegs))
        elif self.hangs(len(self.calls)):
            threading.Timer(timeout_s, future.set_exception, [ModelError(TIMEOUT, "hung")]).start()
        elif self.fails:
            future.set_exception(ModelError(self.fails, "told to"))
        elif POISON in jpegs:
            future.set_exception(ModelError(REFUSED, "no picture"))
        else:
            self.answer(future, jpegs)
        return future

    def answer(self, future: Future[Outputs], jpegs: Sequence[bytes]) -> None:
        future.set_result({"sizes": np.array([len(jpeg) for jpeg in jpegs])})

    def close(self) -> None:
        pass


@dataclass
class Policy:
    predict_batch_size: int = 8
    calls: int = 2
    predict_timeout_ms: int = 300
    on_model_failure: Any = "mark"
    frame_max_age_ms: int = 10000
    order_wait_ms: int = 50
    imprint_threads: int = 2
    jpeg_quality: int = 80


# A machine that is busy keeps no frame waiting too long for it, and makes no batch smaller.
PATIENT = Policy(predict_timeout_ms=10000, order_wait_ms=10000)


class Bench:
    """A running pipeline; ``sent`` has what it published."""

    def __init__(self, policy: Policy, server: Server, models: Sequence[str] = ("sizes",)) -> None:
        self.registry = CollectorRegistry()
        self.server = server
        self.sent: list[Frame] = []
        self.skew_ms = 0.0
        self.told: list[tuple[str, str]] = []
        self.logged: list[str] = []
        model_metrics = ModelMetrics(self.registry)
        self.models = [
            Model(
                ModelSettings(name=name, handler="imagenet"),
                Says(),
                server,
                model_metrics,
                lambda *said: self.told.append(said),
            )
            for name in models
        ]
        log: Any = self
        self.pipeline = Pipeline(
            self.models,
            policy,
            lambda frame, _: self.sent.append(frame),
            StageMetrics("consumer", self.registry),
            Health(),
            log,
            self.registry,
            now_ms=lambda: time.time() * 1000 + self.skew_ms,
        )
        model_metrics.work.waiting(self.pipeline.waiting)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.pipeline.run, args=[self._stop])

    def warning(self, event: str, **_: object) -> None:
        self.logged.append(event)

    def start(self) -> None:
        self._thread.start()
        until("answer to the first probe", lambda: all(m.circuit.closed for m in self.models) or self.server.fails)
        self.server.calls.clear()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.pipeline.close()

    def dropped(self, cause: str, camera: str = "a") -> float:
        labels = {"stage": "consumer", "camera": camera, "cause": cause}
        return self.registry.get_sample_value("cctv_frames_dropped_total", labels) or 0.0

    def feed(self, *numbers: int, camera: str = "a", jpeg: bytes = PICTURE, captured_at: float | None = None) -> None:
        at = int(time.time() * 1000 if captured_at is None else captured_at)
        self.pipeline.feed([Frame(camera, 1, number, at, 96, 64, jpeg) for number in numbers])


Start = Callable[..., Bench]


@pytest.fixture
def start() -> Iterator[Start]:
    benches: list[Bench] = []

    def make(policy: Policy | None = None, server: Server | None = None, models: Sequence[str] = ("sizes",)) -> Bench:
        benches.append(Bench(policy or Policy(), server or Server(), models))
        benches[-1].start()
        return benches[-1]

    yield make
    for bench in benches:
        bench.stop()


def test_a_frame_comes_out_predicted_imprinted_and_with_its_times(start: Start) -> None:
    bench = start()
    bench.feed(7)
    until("frame", lambda: bench.sent)
    (frame,) = bench.sent
    assert frame.id == "a-1-7"
    assert [(p.model, p.label, p.probability) for p in frame.predictions] == [("sizes", f"{len(PICTURE)} bytes", 0.5)]
    assert frame.jpeg != PICTURE
    assert set(frame.stage_ms) == {"arrive", "wait", "predict", "imprint", "order"}
    assert all(ms >= -1 for ms in frame.stage_ms.values())


def test_frames_that_wait_share_calls_and_leave_in_order(start: Start) -> None:
    bench = start(PATIENT)
    bench.server.manual = True
    bench.feed(0)
    bench.feed(0, camera="b")
    until("two calls", lambda: len(bench.server.held) == 2)
    for number in range(1, 4):
        bench.feed(number)
        bench.feed(number, camera="b")
    bench.server.manual = False
    for future, jpegs in reversed(bench.server.held):
        bench.server.answer(future, jpegs)
    until("eight frames", lambda: len(bench.sent) == 8)
    for camera in "ab":
        assert [f.frame for f in bench.sent if f.camera == camera] == [0, 1, 2, 3]
    assert sum(bench.server.calls) == 8
    assert max(bench.server.calls) > 1  # six frames came while both calls were taken


def test_a_call_that_hangs_lets_later_frames_overtake_and_is_never_shown_after_them(start: Start) -> None:
    bench = start(server=Server(hangs=lambda call: call == 1))
    bench.server.calls.clear()
    bench.feed(1)
    until("first call", lambda: bench.server.calls)
    bench.feed(2)
    until("second frame", lambda: bench.sent)
    until("end of the first", lambda: bench.dropped("overtaken") == 1)
    assert [f.frame for f in bench.sent] == [2]


def test_while_the_model_is_dead_frames_flow_marked_without_waiting_and_it_is_noticed_when_back(start: Start) -> None:
    bench = start()
    bench.server.hangs = lambda _: True
    number = 0

    def fed() -> bool:
        nonlocal number
        number += 1
        bench.feed(number)
        return not bench.models[0].circuit.closed

    until("open circuit", fed)
    assert bench.told[-1] == ("sizes", TIMEOUT)
    until("end of the calls under way", lambda: bench.registry.get_sample_value("cctv_predict_in_flight") == 0)
    asked, shown = len(bench.server.calls), len(bench.sent)
    for more in range(20):
        bench.feed(10**6 + more)
        until("marked frame", lambda more=more: len(bench.sent) > shown + more)
    assert {p.error for f in bench.sent[-20:] for p in f.predictions} == {TIMEOUT}
    assert len(bench.server.calls) - asked < 5  # probes only
    bench.server.hangs = lambda _: False
    until("closed circuit", lambda: bench.models[0].circuit.closed)
    bench.feed(2 * 10**6)
    until("predicted frame", lambda: bench.sent[-1].frame == 2 * 10**6)
    assert bench.sent[-1].predictions[0].label


def test_frames_without_an_answer_are_dropped_when_told_so(start: Start) -> None:
    bench = start(Policy(on_model_failure="drop"))
    bench.server.fails = UNAVAILABLE
    bench.feed(1)
    until("dropped frame", lambda: bench.dropped("no_prediction") == 1)
    bench.server.fails = ""
    bench.feed(2)
    until("frame", lambda: bench.sent)
    assert [f.frame for f in bench.sent] == [2]


def test_stale_frames_are_dropped_before_prediction_and_before_sending(start: Start) -> None:
    bench = start()
    bench.feed(1, captured_at=time.time() * 1000 - 20000)
    until("stale frame", lambda: bench.dropped("stale") == 1)
    assert bench.server.calls == []
    bench.server.manual = True
    bench.feed(2)
    until("call", lambda: bench.server.held)
    bench.skew_ms = 20000
    bench.server.answer(*bench.server.held[0])
    until("stale frame", lambda: bench.dropped("stale") == 2)
    assert bench.sent == []


def test_one_picture_that_a_model_refuses_spoils_no_other(start: Start) -> None:
    bench = start(PATIENT)
    bench.server.manual = True
    bench.feed(1)
    bench.feed(1, camera="b")
    until("two calls", lambda: len(bench.server.held) == 2)
    bench.server.manual = False
    bench.feed(2)
    bench.feed(3, jpeg=POISON)
    bench.feed(2, camera="b")
    for future, jpegs in bench.server.held:
        bench.server.answer(future, jpegs)
    until("five frames", lambda: len(bench.sent) == 5)
    assert {(f.camera, f.frame): f.predictions[0].error for f in bench.sent} == {
        ("a", 1): "",
        ("b", 1): "",
        ("a", 2): "",
        ("a", 3): REFUSED,
        ("b", 2): "",
    }
    assert bench.models[0].circuit.closed


def test_pixels_that_cannot_be_decoded_are_counted_and_told_once(start: Start) -> None:
    bench = start()
    for number in range(3):
        bench.feed(number, jpeg=b"\xff\xd8 no picture \xff\xd9")
    bench.feed(3)
    until("good frame", lambda: bench.sent)
    assert bench.dropped("not_jpeg", camera="") == 3
    assert bench.logged == ["bad record"]
    assert [f.frame for f in bench.sent] == [3]


def test_every_model_has_its_say_in_the_order_of_the_settings(start: Start) -> None:
    bench = start(models=("one", "two", "three"))
    bench.feed(1)
    until("frame", lambda: bench.sent)
    assert [p.model for p in bench.sent[0].predictions] == ["one", "two", "three"]


def test_a_wrong_answer_marks_the_frame(start: Start) -> None:
    bench = start()
    bench.server.manual = True
    bench.feed(1)
    until("call", lambda: bench.server.held)
    bench.server.held[0][0].set_result({"sizes": np.zeros(5)})
    until("frame", lambda: bench.sent)
    assert bench.sent[0].predictions[0].error == "bad answer"


def test_a_flood_is_held_back_to_the_newest_frames(start: Start) -> None:
    bench = start(PATIENT)
    bench.server.manual = True
    bench.feed(*range(1000))
    bench.feed(*range(1000, 2000))
    assert bench.registry.get_sample_value("cctv_frames_waiting", {"stage": "consumer"}) <= 8
    until("calls", lambda: len(bench.server.held) >= 2)
    bench.server.manual = False
    for future, jpegs in bench.server.held:
        bench.server.answer(future, jpegs)
    until("newest frame", lambda: bench.sent and bench.sent[-1].frame == 1999)
    assert len(bench.sent) + bench.dropped("superseded") == 2000
