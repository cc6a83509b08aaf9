"""A configured model: its handler, the client that reaches it, and the circuit that says whether to ask it at all."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import cv2
import numpy as np
from cctv_common.frames import Prediction
from cctv_common.metrics import WorkMetrics
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from cctv_consumer.circuit import Circuit
from cctv_consumer.handlers import BadAnswer, Handler, Outputs
from cctv_consumer.serving import BAD_ANSWER, REFUSED, UNAVAILABLE, Client, ModelError
from cctv_consumer.settings import ModelSettings

PROBE_TIMEOUT_S = 2.0
"""A model's first answer may take longer than a frame can wait."""

Answered = Callable[[list[Prediction] | ModelError], None]


class ModelMetrics:
    """How models do, by model."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.work = WorkMetrics("consumer", registry)
        self.failures = Counter(
            "cctv_predict_failures", "Predict calls without an answer", ["model", "cause"], registry=registry
        )
        self.up = Gauge("cctv_model_up", "1 while the model answers", ["model"], registry=registry)


class Model:
    """Asks one model about batches of frames."""

    def __init__(
        self,
        settings: ModelSettings,
        handler: Handler,
        client: Client,
        metrics: ModelMetrics,
        changed: Callable[[str, str], None],
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._handler = handler
        self._client = client
        self._work = metrics.work
        self._failures = metrics.failures
        self._up = metrics.up.labels(self.name)
        self._tell = changed
        self.circuit = Circuit(self._changed)

    def failed(self, error: ModelError) -> Prediction:
        """The prediction that stands for none."""
        return Prediction(self.name, error=error.cause)

    def ask(self, jpegs: Sequence[bytes], timeout_s: float, answered: Answered) -> None:
        """Ask about a batch; ``answered`` is called once, with a prediction for each picture, or why there is none.

        Does not ask at all, and says so at once, while the circuit is open.
        """
        if not self.circuit.closed:
            answered(ModelError(self.circuit.cause, "the model does not answer"))
            return
        self._work.batch(len(jpegs))
        self._ask(jpegs, timeout_s, answered)

    def probe(self) -> None:
        """Ask about a grey picture when it is time: a model that is back is noticed without a frame waiting."""
        if self.circuit.take_probe():
            self._ask([_probe_picture()], PROBE_TIMEOUT_S, lambda _: None)

    def _ask(self, jpegs: Sequence[bytes], timeout_s: float, answered: Answered) -> None:
        began = time.monotonic()

        def done(future: Future[Outputs]) -> None:
            answer = self._read(future, len(jpegs))
            if isinstance(answer, ModelError):
                self._failures.labels(self.name, answer.cause).inc()
                if answer.cause == REFUSED:  # of these pictures, so it lives
                    self.circuit.answered()
                else:
                    self.circuit.failed(answer.cause)
            else:
                self._work.model(self.name, time.monotonic() - began)
                self.circuit.answered()
            answered(answer)

        try:
            inputs = self._handler.inputs(jpegs)
            future = self._client.predict(self._settings, inputs, self._handler.outputs, timeout_s)
        except Exception as error:  # a handler's mistake, or a client that is closing
            future = Future()
            future.set_exception(error)
        future.add_done_callback(done)

    def _read(self, future: Future[Outputs], count: int) -> list[Prediction] | ModelError:
        try:
            said = self._handler.read(future.result(), count)
        except ModelError as error:
            return error
        except BadAnswer as error:
            return ModelError(BAD_ANSWER, str(error))
        except BaseException as error:  # a cancelled future, or a handler's mistake: frames are not lost with it
            return ModelError(UNAVAILABLE, repr(error))
        return [Prediction(self.name, label, probability) for label, probability in said]

    def _changed(self, cause: str) -> None:
        self._up.set(0 if cause else 1)
        self._tell(self.name, cause)


@functools.cache
def _probe_picture() -> bytes:
    __, jpeg = cv2.imencode(".jpg", np.full((64, 64, 3), 127, np.uint8))
    return jpeg.tobytes()
