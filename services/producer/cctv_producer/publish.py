"""Frames into ``videocam``: at once or not at all."""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

from cctv_common.frames import Frame, Headers
from cctv_common.health import Health
from cctv_common.log import Log
from cctv_common.metrics import StageMetrics
from confluent_kafka import KafkaError, KafkaException, Message


class Kafka(Protocol):
    """What is used of confluent_kafka.Producer."""

    def produce(self, topic: str, value: bytes, key: str, *, headers: Any, on_delivery: Any) -> None:
        """Queue a record; raises BufferError when the queue is full."""

    def poll(self, timeout: float) -> int:
        """Serve delivery reports."""

    def flush(self, timeout: float) -> int:
        """Wait for what is queued; return how much is still."""

    def list_topics(self, topic: str, timeout: float) -> Any:
        """Ask the brokers; raises KafkaException."""


class Publisher:
    """Sends frames, and counts each as sent or dropped. Not for several threads, but for ``watch``."""

    def __init__(self, kafka: Kafka, topic: str, *, max_bytes: int, max_age_ms: int, stage: StageMetrics, log: Log):
        self._kafka = kafka
        self._topic = topic
        self._max_bytes = max_bytes
        self._max_age_ms = max_age_ms
        self._stage = stage
        self._log = log
        self._told: set[str] = set()
        self.delivered = threading.Event()
        """Set whenever a broker has taken a frame."""

    def send(self, frame: Frame) -> None:
        """Give ``frame`` to Kafka unless it is too large or too old; what became of it is learnt in ``poll``."""
        now_ms = time.time() * 1000
        if len(frame.jpeg) > self._max_bytes:
            self._drop(
                frame,
                "too_large",
                f"a frame has {len(frame.jpeg)} bytes, KAFKA_MAX_FRAME_BYTES={self._max_bytes}; "
                "expected a smaller CAMERA_WIDTH or JPEG_QUALITY",
            )
            return
        if frame.age_ms(now_ms) > self._max_age_ms:
            self._drop(frame, "stale", f"a frame was older than FRAME_MAX_AGE_MS={self._max_age_ms} before it was sent")
            return

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self.delivered.set()
                # Until the broker had it, not until this was called: reports are served between frames.
                self._stage.sent(frame.camera, frame.age_ms(now_ms) + 1000 * (message.latency() or 0))
            elif error.code() == KafkaError._MSG_TIMED_OUT:
                self._drop(frame, "kafka_timeout")
            else:
                self._drop(frame, "kafka_error", f"Kafka refuses a frame: {error.str()}")

        headers: Headers = frame.headers()
        try:
            self._kafka.produce(self._topic, frame.jpeg, frame.camera, headers=headers, on_delivery=delivered)
        except BufferError:
            self._drop(frame, "queue_full")
        except KafkaException as error:
            self._drop(frame, "kafka_error", f"Kafka's client refuses a frame: {error}")

    def poll(self) -> None:
        """Count what became of frames sent before."""
        self._kafka.poll(0)

    def close(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for frames on their way."""
        self._kafka.flush(timeout)

    def watch(self, health: Health, stop: threading.Event, every_s: float = 2.0) -> None:
        """Keep ``/readyz`` true about Kafka until ``stop``. Runs in a thread.

        ``delivered`` is cleared each time. Where no frame was, which may be rare, brokers are asked.
        """
        reachable: bool | None = None
        while True:
            unmet = "" if self.delivered.is_set() else self._unmet(every_s)
            self.delivered.clear()
            health.set_ready("kafka", unmet)
            if reachable is not (not unmet):
                reachable = not unmet
                if reachable:
                    self._log.info("Kafka is reachable")
                else:
                    self._log.warning("Kafka is not reachable", reason=unmet, note="frames are dropped until it is")
            if stop.wait(every_s):
                return

    def _unmet(self, timeout_s: float) -> str:
        try:
            found = self._kafka.list_topics(self._topic, timeout=timeout_s).topics[self._topic].error
        except KafkaException as error:
            return f"brokers do not answer: {error.args[0].str()}"
        return f"topic {self._topic}: {found.str()}" if found else ""

    def _drop(self, frame: Frame, cause: str, problem: str = "") -> None:
        self._stage.dropped(frame.camera, cause)
        if problem and cause not in self._told:
            self._told.add(cause)
            self._log.warning(
                "frame dropped", cause=cause, problem=problem, note="logged once per cause, counted always"
            )
