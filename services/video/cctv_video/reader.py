"""Reads every partition of `videodisplay` from its end: each replica of the service sees every frame."""

from __future__ import annotations

import json
import threading
import uuid
from typing import cast

from cctv_common.frames import Frame, Headers
from cctv_common.health import Health
from cctv_common.jpeg import BadFrame
from cctv_common.kafka import client_config, consumer_config
from cctv_common.log import Log
from cctv_common.metrics import KafkaLag, StageMetrics
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client import REGISTRY, CollectorRegistry

from cctv_video.hub import Hub
from cctv_video.picture import Picture
from cctv_video.settings import Settings

POLL_S = 0.2
METADATA_TIMEOUT_S = 2.0
LOOK_FOR_TOPIC_S = 0.5
LOOK_FOR_PARTITIONS_S = 2.0  # with the timeout above, less than the silence that is taken for hanging


class Intake:
    """Turns records into pictures, and counts what it cannot or need not show."""

    def __init__(self, hub: Hub, metrics: StageMetrics, max_bytes: int, log: Log) -> None:
        self._hub = hub
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._log = log

    def take(self, value: bytes | None, headers: Headers | None) -> None:
        """Publish one record's frame, or count why not."""
        try:
            frame = Frame.from_record(value, headers, max_bytes=self._max_bytes)
        except BadFrame as error:
            self._metrics.bad_record(error.cause, str(error), self._log)
            return
        outcome = self._hub.offer(frame)
        if outcome == "too_many_cameras":  # its id must not grow the metrics either
            self._metrics.bad_record(outcome, f"camera {frame.camera} is one too many", self._log)
            return
        self._metrics.received(frame.camera)
        if isinstance(outcome, Picture):
            self._metrics.sent(frame.camera, outcome.age_ms)
        else:
            self._metrics.dropped(frame.camera, outcome)

    def tidy(self) -> None:
        """Let go of unexpected cameras that are gone, in the metrics too."""
        for camera in self._hub.forget_silent():
            self._metrics.forget(camera)
            self._log.info("camera forgotten", camera=camera)


class Reader(threading.Thread):
    """The Kafka thread. It outlives brokers and topics; ``failed`` says that it ended by an error of its own."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        health: Health,
        stop: threading.Event,
        log: Log,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        super().__init__(name="kafka", daemon=True)
        self._topic = settings.kafka_videodisplay_topic
        self._lag = KafkaLag("video", self._topic, registry)
        self._brokers = settings.kafka_bootstrap_servers
        # The client insists on a group. Partitions are assigned by hand, so nobody ever joins it.
        self._config = consumer_config(settings, "video", f"video-{uuid.uuid4().hex}") | {
            "error_cb": self._on_error,
            "statistics.interval.ms": 2000,
            "stats_cb": lambda said: self._lag.heard(json.loads(said)),
            "fetch.queue.backoff.ms": 20,
            "fetch.error.backoff.ms": 100,
        }
        # Nobody polls this client, so its words would pile up; the consumer says what is wrong with Kafka.
        self._admin_config = client_config(settings, "video-partitions") | {"log_level": 0}
        del self._admin_config["logger"]
        self._intake = intake
        self._health = health
        self._stop_event = stop
        self._log = log
        self._wanted: frozenset[int] = frozenset()
        self._assigned: frozenset[int] = frozenset()
        self._troubled = False
        self.failed = False
        health.set_ready("kafka", f"no partition of {self._topic} found on {self._brokers} yet")

    def run(self) -> None:
        """Read until the stop event is set."""
        try:
            consumer = Consumer(self._config)
            finder = threading.Thread(target=self._find_partitions, name="partitions", daemon=True)
            finder.start()
            try:
                self._read(consumer)
            finally:
                finder.join(METADATA_TIMEOUT_S + 1)
                consumer.close()
        except Exception:
            self.failed = True
            self._log.exception("the Kafka thread failed")
            self._stop_event.set()

    def _read(self, consumer: Consumer) -> None:
        polls = 0
        while not self._stop_event.is_set():
            self._health.beat("kafka")
            if self._wanted != self._assigned:
                self._assign(consumer, self._wanted)
            polls += 1
            if polls % 100 == 0:
                self._intake.tidy()
            message = consumer.poll(POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                self._on_error(error)
                continue
            self._recovered()
            self._intake.take(message.value(), cast(Headers | None, message.headers()))

    def _assign(self, consumer: Consumer, wanted: frozenset[int]) -> None:
        # Incrementally: the partitions that are read already go on undisturbed.
        gone, new = self._assigned - wanted, wanted - self._assigned
        if gone:
            consumer.incremental_unassign([TopicPartition(self._topic, p) for p in gone])
        if new:
            consumer.incremental_assign([TopicPartition(self._topic, p, OFFSET_END) for p in new])
            self._health.set_ready("kafka")
        self._assigned = wanted
        self._log.info("partitions assigned", topic=self._topic, partitions=sorted(wanted))

    def _find_partitions(self) -> None:
        """Ask for the topic's partitions again and again.

        Aside and by a client of its own: the question blocks while Kafka is away, and a consumer that is asked while
        it polls answers late or never.
        """
        admin = AdminClient(self._admin_config)
        while not self._stop_event.is_set():
            self._health.beat("partitions")
            try:
                topic = admin.list_topics(self._topic, timeout=METADATA_TIMEOUT_S).topics[self._topic]
            except KafkaException:
                pass  # Kafka is away, which _on_error says; what was assigned stays
            else:
                self._wanted = frozenset(topic.partitions) if topic.error is None else frozenset()
            self._stop_event.wait(LOOK_FOR_PARTITIONS_S if self._wanted else LOOK_FOR_TOPIC_S)

    def _on_error(self, error: KafkaError) -> None:
        """Say once that Kafka is in trouble; librdkafka itself tries again for ever."""
        if not self._troubled:
            self._troubled = True
            self._log.warning("Kafka is in trouble, trying again", brokers=self._brokers, problem=error.str())

    def _recovered(self) -> None:
        if self._troubled:
            self._troubled = False
            self._log.info("frames flow from Kafka again")
