"""What becomes of frames, with a client that answers as told."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from cctv_common.frames import Frame
from cctv_common.health import Health
from cctv_common.metrics import StageMetrics
from cctv_producer.publish import Publisher
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry


class Client:
    def __init__(self, error: KafkaError | None = None, refuses: Exception | None = None) -> None:
        self.error = error
        self.refuses = refuses
        self.records: list[tuple[str, bytes, str, Any]] = []
        self.reports: list[Any] = []

    def produce(self, topic: str, value: bytes, key: str, *, headers: Any, on_delivery: Any) -> None:
        if self.refuses:
            raise self.refuses
        self.records.append((topic, value, key, dict(headers)))
        self.reports.append(on_delivery)

    def poll(self, timeout: float) -> int:
        for report in self.reports:
            report(self.error, SimpleNamespace(latency=lambda: 0.02))
        self.reports.clear()
        return 0

    def flush(self, timeout: float) -> int:
        return self.poll(timeout)

    def list_topics(self, topic: str, timeout: float) -> Any:
        if self.error:
            raise KafkaException(self.error)
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None)})


class Log:
    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, event: str, **fields: object) -> None:
        self.said.append(f"{event} {fields.get('cause', '')}".strip())

    warning = info


class Bench:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.registry = CollectorRegistry()
        self.log = Log()
        self.publisher = Publisher(
            client,
            "videocam",
            max_bytes=1000,
            max_age_ms=500,
            stage=StageMetrics("producer", self.registry),
            log=self.log,  # type: ignore[arg-type]
        )

    def send(self, size: int = 100, age_ms: int = 0, times: int = 1) -> None:
        for number in range(times):
            self.publisher.send(Frame("door", 5, number, int(time.time() * 1000) - age_ms, 64, 48, b"x" * size))
            self.publisher.poll()

    def out(self) -> float | None:
        return self.registry.get_sample_value("cctv_frames_out_total", {"stage": "producer", "camera": "door"})

    def dropped(self, cause: str) -> float | None:
        labels = {"stage": "producer", "camera": "door", "cause": cause}
        return self.registry.get_sample_value("cctv_frames_dropped_total", labels)


def test_a_frame_is_a_record_keyed_by_its_camera() -> None:
    bench = Bench(Client())
    bench.send()
    ((topic, value, key, headers),) = bench.client.records
    assert (topic, value, key) == ("videocam", b"x" * 100, "door")
    assert headers["epoch"] == b"5" and headers["frame"] == b"0" and headers["width"] == b"64"
    assert bench.out() == 1


def test_age_is_that_at_the_broker() -> None:
    bench = Bench(Client())
    bench.send(age_ms=100)
    age = bench.registry.get_sample_value("cctv_frame_age_seconds_sum", {"stage": "producer", "camera": "door"})
    assert age is not None and age >= 0.12


def test_too_large_a_frame_is_dropped_and_told_once() -> None:
    bench = Bench(Client())
    bench.send(size=1001, times=3)
    assert bench.dropped("too_large") == 3
    assert bench.client.records == []
    assert bench.log.said == ["frame dropped too_large"]


def test_the_largest_frame_is_sent() -> None:
    bench = Bench(Client())
    bench.send(size=1000)
    assert bench.out() == 1


def test_an_old_frame_is_not_sent() -> None:
    bench = Bench(Client())
    bench.send(age_ms=501)
    assert bench.dropped("stale") == 1 and bench.client.records == []


@pytest.mark.parametrize(
    ("client", "cause"),
    [
        (Client(error=KafkaError(KafkaError._MSG_TIMED_OUT)), "kafka_timeout"),
        (Client(error=KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)), "kafka_error"),
        (Client(refuses=BufferError("Local: Queue full")), "queue_full"),
        (Client(refuses=KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))), "kafka_error"),
    ],
)
def test_what_kafka_does_not_take_is_counted_by_cause(client: Client, cause: str) -> None:
    bench = Bench(client)
    bench.send(times=2)
    assert bench.dropped(cause) == 2
    assert bench.out() is None
    assert len(bench.log.said) <= 1


def test_readiness_follows_kafka_and_each_change_is_told_once() -> None:
    client, health = Client(), Health()
    bench = Bench(client)
    answers = iter([None, None, KafkaError(KafkaError._TRANSPORT), KafkaError(KafkaError._TRANSPORT), None])
    ready: list[bool] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            ready.append(not health.unmet())
            client.error = next(answers, None)
            return len(ready) == 6

    bench.publisher.watch(health, Stop())
    assert ready == [True, True, True, False, False, True]
    assert bench.log.said == ["Kafka is reachable", "Kafka is not reachable", "Kafka is reachable"]


def test_frames_that_arrive_say_that_kafka_is_there_and_it_is_asked_only_without_them() -> None:
    client, health = Client(), Health()
    bench = Bench(client)
    client.error = KafkaError(KafkaError._TRANSPORT)  # for whoever asks
    ready: list[bool] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            ready.append(not health.unmet())
            return len(ready) == 2

    bench.publisher.delivered.set()
    bench.publisher.watch(health, Stop())
    assert ready == [True, False]


def test_only_a_frame_that_a_broker_took_counts_as_delivered() -> None:
    lost, taken = Bench(Client(error=KafkaError(KafkaError._MSG_TIMED_OUT))), Bench(Client())
    for bench in (lost, taken):
        bench.send()
    assert (lost.publisher.delivered.is_set(), taken.publisher.delivered.is_set()) == (False, True)
