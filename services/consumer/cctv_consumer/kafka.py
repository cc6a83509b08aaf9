"""Kafka at both ends: reads the newest camera frames, publishes imprinted ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import cast

from cctv_common.frames import Frame, Headers
from cctv_common.group import Member
from cctv_common.health import Health
from cctv_common.jpeg import BadFrame
from cctv_common.kafka import consumer_config, producer_config
from cctv_common.log import Log
from cctv_common.metrics import StageMetrics
from confluent_kafka import (
    OFFSET_END,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from prometheus_client import REGISTRY, CollectorRegistry

from cctv_consumer.settings import Settings

GROUP = "consumer"
READ_AT_ONCE = 64
POLL_S = 0.1
SEEK_EVERY_S = 2.0
WORTH_A_SEEK = 32
"""Fewer records than these are read and dropped faster than a broker is asked where to go on."""
ASK_BROKER_S = 2.0


class Source:
    """Reads frames, from the newest on; hands each lot to ``feed`` and bad records to the metrics."""

    def __init__(
        self,
        settings: Settings,
        feed: Callable[[list[Frame]], None],
        forget: Callable[[], None],
        metrics: StageMetrics,
        health: Health,
        log: Log,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._settings = settings
        self._feed = feed
        self._forget = forget
        self._metrics = metrics
        self._health = health
        self._log = log
        self._member = Member(GROUP, settings.kafka_videocam_topic, health, log, registry)
        self._sought_at = 0.0
        self._consumer = Consumer(
            consumer_config(settings, "cctv-consumer", GROUP)
            | self._member.callbacks()
            | {
                # Offsets are only for those who watch the group's lag: reading always begins at the newest frame.
                "enable.auto.commit": True,
                "auto.commit.interval.ms": 5000,
                # A second's pause after a burst that filled the queue would be a second's standstill of the picture.
                "fetch.queue.backoff.ms": 20,
                "fetch.error.backoff.ms": 100,
            }
        )
        self._consumer.subscribe(
            [settings.kafka_videocam_topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
        )

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set."""
        while not stop.is_set():
            self._health.beat("kafka")
            # consume() waits until it has as many records as asked for, so the first one is polled for alone.
            first = self._consumer.poll(POLL_S)
            if first is not None:
                self._take([first, *self._consumer.consume(READ_AT_ONCE - 1, 0)])

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _take(self, messages: list[Message]) -> None:
        frames = []
        newest: Message | None = None
        for message in messages:
            if (problem := message.error()) is not None:
                self._member.error(problem)
                continue
            newest = message
            try:
                frames.append(
                    Frame.from_record(
                        message.value(),
                        cast(Headers | None, message.headers()),
                        max_bytes=self._settings.kafka_max_frame_bytes,
                        max_pixels=self._settings.frame_max_pixels,
                    )
                )
            except BadFrame as error:
                self._metrics.bad_record(error.cause, str(error), self._log)
        if frames:
            self._feed(frames)
        if newest is not None and self._behind(newest):
            self._seek()

    def _behind(self, message: Message) -> bool:
        """Whether even the newest record read is stale; by Kafka's time stamp, as a seek goes by that too."""
        kind, stamp = message.timestamp()
        if kind == TIMESTAMP_NOT_AVAILABLE or time.time() * 1000 - stamp <= self._settings.frame_max_age_ms:
            return False
        return time.monotonic() - self._sought_at >= SEEK_EVERY_S

    def _seek(self) -> None:
        """Go on with the first record that is not stale, rather than read through megabytes of old pictures."""
        self._sought_at = time.monotonic()
        try:
            at = {p.partition: p.offset for p in self._consumer.position(self._consumer.assignment())}
            topic = self._settings.kafka_videocam_topic
            # Only partitions that have many records left: with a clock that is wrong, all look old, and are not.
            far = []
            for partition, offset in at.items():
                __, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
                if offset >= 0 and high - offset >= WORTH_A_SEEK:
                    far.append(partition)
            if not far:
                return
            since = int(time.time() * 1000) - self._settings.frame_max_age_ms
            found = self._consumer.offsets_for_times(
                [TopicPartition(topic, partition, since) for partition in far], timeout=ASK_BROKER_S
            )
            for place in found:
                if place.error is not None:
                    continue
                target = place.offset
                if target < 0:  # no record is so new
                    target = self._end(TopicPartition(topic, place.partition))
                if target > at[place.partition]:
                    self._consumer.seek(TopicPartition(topic, place.partition, target))
                    self._metrics.dropped("", "stale", target - at[place.partition])
                    self._log.info(
                        "skipped stale records", partition=place.partition, records=target - at[place.partition]
                    )
        except KafkaException as error:
            self._member.error(error.args[0])

    def _end(self, partition: TopicPartition) -> int:
        offsets = self._consumer.get_watermark_offsets(partition, timeout=ASK_BROKER_S)
        return int(offsets[1]) if offsets else OFFSET_END

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            # Resolved now, not by the first fetch: what comes once this service says that it is ready is read.
            try:
                partition.offset = self._end(partition)
            except KafkaException:
                partition.offset = OFFSET_END
        consumer.assign(partitions)
        self._member.assigned(partitions)

    def _revoke(self, __: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget()
        self._member.revoked(partitions)


class Sink:
    """Publishes frames without waiting; a thread collects the brokers' receipts."""

    def __init__(self, settings: Settings, metrics: StageMetrics, health: Health, log: Log) -> None:
        self._topic = settings.kafka_videodisplay_topic
        self._metrics = metrics
        self._health = health
        self._log = log
        self._stop = threading.Event()
        self._producer = Producer(
            producer_config(settings, "cctv-consumer", settings.frame_max_age_ms)
            # A retried frame would come after later ones, or twice.
            | {"retries": 0, "error_cb": lambda _: None}
        )
        self._thread = threading.Thread(target=self._receipts, name="receipts", daemon=True)
        self._thread.start()

    def publish(self, frame: Frame, age_ms: float) -> None:
        """Send a frame; ``age_ms`` is its age now."""

        def delivered(error: KafkaError | None, __: Message) -> None:
            if error is None:
                self._metrics.sent(frame_camera, age_ms)
            else:
                self._metrics.dropped(frame_camera, "not_delivered")

        frame_camera = frame.camera  # and not the frame, whose picture would live as long as the receipt
        try:
            self._producer.produce(
                self._topic, value=frame.jpeg, key=frame.camera, headers=frame.headers(), on_delivery=delivered
            )
        except BufferError:
            self._metrics.dropped(frame.camera, "kafka_queue_full")
        except KafkaException as error:
            cause = "too_large" if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE else "not_delivered"
            self._metrics.dropped(frame.camera, cause)

    def close(self) -> None:
        """Give the last frames half a second to leave."""
        self._stop.set()
        self._thread.join(timeout=2)
        self._producer.flush(0.5)

    def _receipts(self) -> None:
        while not self._stop.is_set():
            self._health.beat("receipts")
            self._producer.poll(0.2)
