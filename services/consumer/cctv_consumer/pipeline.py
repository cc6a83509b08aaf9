"""Frames in, imprinted frames out; knows nothing of Kafka.

A frame waits in the backlog until a Predict call is free, is shown to the models in a batch with other cameras' frames,
is imprinted in a small thread pool (OpenCV works outside the GIL) and leaves in its camera's order. Nothing in here
waits for a model: calls are futures, and what they answer moves frames on.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

from cctv_common.frames import Frame, Prediction
from cctv_common.health import Health
from cctv_common.jpeg import BadFrame
from cctv_common.log import Log
from cctv_common.metrics import StageMetrics
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from cctv_consumer.backlog import Arrivals, Backlog, Waiting
from cctv_consumer.batching import BatchSize
from cctv_consumer.imprint import imprint
from cctv_consumer.models import Model
from cctv_consumer.order import Order, Ticket
from cctv_consumer.serving import REFUSED, TIMEOUT, ModelError

TICK_S = 0.01
"""How often finished frames that wait for an earlier one are looked at, while there are any."""
IDLE_S = 0.25
TARGET = 1 / 3
"""Batches are made so large that they take this part of the timeout."""
GATHERED = 1 / 2
"""Replicas that are all busy are sent no batch of less than this part of the largest."""
OVERDUE = 1 / 2
"""A call that takes longer than this part of the timeout is no longer counted on."""


class Policy(Protocol):
    """The settings that the pipeline goes by."""

    predict_batch_size: int
    predict_timeout_ms: int
    on_model_failure: Literal["mark", "drop"]
    frame_max_age_ms: int
    order_wait_ms: int
    imprint_threads: int
    jpeg_quality: int

    @property
    def calls(self) -> int:
        """How many Predict calls may be under way at once."""


@dataclasses.dataclass(slots=True)
class _Item:
    """A frame that is being worked on."""

    waiting: Waiting
    ticket: Ticket[_Item]
    predictions: list[Prediction]
    jpeg: bytes = b""
    asked: float = 0.0
    answered: float = 0.0
    finished: float = 0.0

    @property
    def frame(self) -> Frame:
        return self.waiting.frame


class _Batch:
    """Frames that were sent to the models together."""

    def __init__(self, items: list[_Item], models: int, began: float) -> None:
        self.items = items
        self.began = began
        self.missing = models
        self.lock = threading.Lock()


class Pipeline:
    """The consumer's work. ``feed`` it from one thread and ``run`` it in another; ``publish`` gets finished frames.

    ``publish`` must not block. ``now_ms``: ms since 1970.
    """

    def __init__(
        self,
        models: Sequence[Model],
        policy: Policy,
        publish: Callable[[Frame, float], None],
        metrics: StageMetrics,
        health: Health,
        log: Log,
        registry: CollectorRegistry = REGISTRY,
        now_ms: Callable[[], float] = lambda: time.time() * 1000,
    ) -> None:
        self._models = models
        self._policy = policy
        self._publish = publish
        self._metrics = metrics
        self._health = health
        self._log = log
        self._now_ms = now_ms
        self._changed = threading.Condition()
        self._arrivals = Arrivals()
        self._backlog = Backlog(policy.predict_batch_size, policy.frame_max_age_ms, metrics.dropped)
        self._order: Order[_Item] = Order(self._emit, self._late, policy.order_wait_ms / 1000)
        self._calls: dict[_Batch, None] = {}
        self._working = 0  # frames between their dispatch and their end
        self._imprinting = 0
        self._size = BatchSize(policy.predict_batch_size, policy.predict_timeout_ms / 1000 * TARGET)
        self._pool = ThreadPoolExecutor(policy.imprint_threads, thread_name_prefix="imprint")
        Gauge("cctv_predict_in_flight", "Batches that models are working on", registry=registry).set_function(
            lambda: len(self._calls)
        )

    def feed(self, frames: Sequence[Frame]) -> None:
        """Take frames as they come."""
        now, now_ms = time.monotonic(), self._now_ms()
        with self._changed:
            for frame in frames:
                self._metrics.received(frame.camera)
                if self._arrivals.passes(frame, now):
                    self._backlog.add(Waiting(frame, now, now_ms))
                else:
                    self._metrics.dropped(frame.camera, "superseded")
            self._changed.notify_all()

    def waiting(self) -> int:
        """How many frames wait for a model."""
        return len(self._backlog)

    def forget(self) -> None:
        """Give up what waits: its cameras are another consumer's now."""
        with self._changed:
            self._backlog.clear("superseded")

    def run(self, stop: threading.Event) -> None:
        """Dispatch until ``stop`` is set."""
        while not stop.is_set():
            for model in self._models:
                model.probe()
            self._order.tick()
            with self._changed:
                if not self._stuck():
                    self._health.beat("dispatch")
                if not self._may_dispatch():
                    self._backlog.expire(self._now_ms())
                    self._changed.wait(TICK_S if self._working else IDLE_S)
                batch = self._next_batch() if self._may_dispatch() else None
            if batch:
                self._ask(batch)

    def close(self) -> None:
        """Wait for pictures that are being imprinted; nothing must be fed any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    # -- dispatching; callers hold the lock

    def _slots(self) -> int:
        """Calls that may be added.

        Once every replica has one, each may have another wait with it, to go on with at once; but only frames that
        gathered, as large batches cost less. A call that is overdue waits for a replica that hangs: it does not count,
        so that the others are kept busy, up to a limit.
        """
        overdue = time.monotonic() - self._policy.predict_timeout_ms / 1000 * OVERDUE
        lively = sum(batch.began > overdue for batch in self._calls)
        limit = self._policy.calls
        free = limit - lively
        if free <= 0 and lively < 2 * limit and len(self._backlog) >= self._policy.predict_batch_size * GATHERED:
            free = 1
        return min(free, 4 * limit - len(self._calls))

    def _may_dispatch(self) -> bool:
        # Imprinting that lags behind must not gather frames, or their memory and age would know no bound.
        return len(self._backlog) > 0 and self._slots() > 0 and self._imprinting <= self._policy.predict_batch_size

    def _next_batch(self) -> _Batch | None:
        free = self._slots()
        room = free * self._size.now
        # Few frames are shared out between the free calls: two replicas take one frame each, not one of them both.
        share = -(-min(room, len(self._backlog)) // free)
        taken = self._backlog.take(share, room, self._now_ms())
        if not taken:
            return None
        now = time.monotonic()
        items = [_Item(w, self._order.take(w.frame.camera), [], asked=now) for w in taken]
        batch = _Batch(items, len(self._models), now)
        self._working += len(items)
        self._calls[batch] = None
        return batch

    def _stuck(self) -> bool:
        """Whether a batch outlived every timeout: something hangs that only a restart helps."""
        limit = time.monotonic() - 5 * self._policy.predict_timeout_ms / 1000 - 10
        return any(batch.began < limit for batch in self._calls)

    # -- predicting

    def _ask(self, batch: _Batch) -> None:
        jpegs = [item.frame.jpeg for item in batch.items]
        for model in self._models:
            model.ask(
                jpegs,
                self._policy.predict_timeout_ms / 1000,
                lambda answer, model=model: self._answered(batch, model, answer),  # type: ignore[misc]
            )

    def _answered(self, batch: _Batch, model: Model, answer: list[Prediction] | ModelError) -> None:
        if isinstance(answer, ModelError) and answer.cause == REFUSED and len(batch.items) > 1:
            # One bad picture spoils the whole batch: ask about each alone, so that it spoils itself only.
            self._ask_one_by_one(batch, model)
            return
        if isinstance(answer, ModelError):
            answer = [model.failed(answer)] * len(batch.items)
        self._merge(batch, answer)

    def _ask_one_by_one(self, batch: _Batch, model: Model) -> None:
        answers: list[Prediction | None] = [None] * len(batch.items)

        def answered(index: int, answer: list[Prediction] | ModelError) -> None:
            with batch.lock:
                answers[index] = model.failed(answer) if isinstance(answer, ModelError) else answer[0]
                complete = [a for a in answers if a is not None]
            if len(complete) == len(answers):
                self._merge(batch, complete)

        left = self._policy.predict_timeout_ms / 1000 - (time.monotonic() - batch.began)
        for index, item in enumerate(batch.items):
            model.ask([item.frame.jpeg], max(left, 0.001), lambda answer, index=index: answered(index, answer))  # type: ignore[misc]

    def _merge(self, batch: _Batch, predictions: Sequence[Prediction]) -> None:
        with batch.lock:
            for item, prediction in zip(batch.items, predictions, strict=True):
                item.predictions.append(prediction)
            batch.missing -= 1
            if batch.missing:
                return
        now = time.monotonic()
        with self._changed:
            del self._calls[batch]
            errors = {p.error for item in batch.items for p in item.predictions} - {""}
            if TIMEOUT in errors and now - batch.began > TARGET * self._policy.predict_timeout_ms / 1000:
                self._size.given_up(len(batch.items), now - batch.began)
            elif not errors:
                self._size.answered(len(batch.items), now - batch.began)
            self._imprinting += len(batch.items)
            self._changed.notify_all()
        for item in batch.items:
            item.answered = now
            try:
                self._pool.submit(self._imprint, item)
            except RuntimeError:  # closing
                self._end(item, None)

    # -- imprinting and sending

    def _imprint(self, item: _Item) -> None:
        finished: _Item | None = None
        try:
            finished = self._imprinted(item)
        except BadFrame as error:
            self._metrics.bad_record(error.cause, str(error), self._log)
        except Exception as error:
            self._metrics.dropped(item.frame.camera, "imprint_failed")
            self._log.warning("a frame could not be imprinted", camera=item.frame.camera, problem=repr(error))
        finally:
            self._end(item, finished)

    def _imprinted(self, item: _Item) -> _Item | None:
        frame = item.frame
        if self._policy.on_model_failure == "drop" and any(p.error for p in item.predictions):
            self._metrics.dropped(frame.camera, "no_prediction")
            return None
        if self._stale(frame):
            return None
        order = {model.name: place for place, model in enumerate(self._models)}
        item.predictions.sort(key=lambda p: order[p.model])
        item.jpeg = imprint(frame.jpeg, item.predictions, self._policy.jpeg_quality)
        item.finished = time.monotonic()
        return item

    def _end(self, item: _Item, finished: _Item | None) -> None:
        self._order.done(item.ticket, finished)
        with self._changed:
            self._working -= 1
            self._imprinting -= 1
            self._changed.notify_all()

    def _emit(self, item: _Item) -> None:
        frame, waiting = item.frame, item.waiting
        if self._stale(frame):
            return
        stages = {
            **frame.stage_ms,
            "arrive": waiting.came_ms - frame.captured_at - sum(frame.stage_ms.values()),
            "wait": 1000 * (item.asked - waiting.came),
            "predict": 1000 * (item.answered - item.asked),
            "imprint": 1000 * (item.finished - item.answered),
            "order": 1000 * (time.monotonic() - item.finished),
        }
        self._publish(
            dataclasses.replace(frame, jpeg=item.jpeg, predictions=tuple(item.predictions), stage_ms=stages),
            frame.age_ms(self._now_ms()),
        )

    def _late(self, item: _Item) -> None:
        self._metrics.dropped(item.frame.camera, "overtaken")

    def _stale(self, frame: Frame) -> bool:
        if frame.age_ms(self._now_ms()) <= self._policy.frame_max_age_ms:
            return False
        self._metrics.dropped(frame.camera, "stale")
        return True
