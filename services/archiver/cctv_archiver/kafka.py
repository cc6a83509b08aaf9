"""Reads detection-images as one of a group, at least once: what is committed is in the store."""

from __future__ import annotations

import threading
import time
from typing import cast

from cctv_common.frames import Headers
from cctv_common.group import Member
from cctv_common.health import Health
from cctv_common.kafka import consumer_config
from cctv_common.log import Log
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from prometheus_client import REGISTRY, CollectorRegistry

from cctv_archiver.intake import MAX_IMAGES, Batch, Intake
from cctv_archiver.settings import Settings
from cctv_archiver.writer import Writer

GROUP = "archiver"
POLL_S = 0.1
PATIENCE_S = 1.0
"""While a write takes longer, partitions are paused and polled all the same, or the group would go on without us."""
ASK_BROKER_S = 5.0
LAST_WRITE_S = 5.0


class Source:
    """Hands batches to the writer, and keeps offsets of those that are written."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        writer: Writer,
        health: Health,
        log: Log,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._topic = settings.kafka_detection_images_topic
        self._intake = intake
        self._writer = writer
        self._health = health
        self._log = log
        self._member = Member(GROUP, self._topic, health, log, registry)
        self._batch = Batch()
        self._writing: Batch | None = None
        self._writing_since = 0.0
        self._assigned: list[TopicPartition] = []
        self._paused = False
        self._ask_again = False
        health.set_ready("store", "not looked at yet")
        self._consumer = Consumer(
            consumer_config(settings, "cctv-archiver", GROUP)
            | self._member.callbacks()
            | {
                "auto.offset.reset": "earliest",
                # Sent every second and when partitions go; only those that were stored after their pictures.
                "enable.auto.commit": True,
                "auto.commit.interval.ms": 1000,
                "enable.auto.offset.store": False,
                "fetch.error.backoff.ms": 100,
                # Once there is room again, at once; by default a second after 16 MB of a partition wait to be written.
                "fetch.queue.backoff.ms": 10,
            }
        )
        self._consumer.subscribe([self._topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke)

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set."""
        while not stop.is_set():
            self._health.beat("kafka")
            self._writer.tell()
            self._settle()
            if self._batch.full and not self._paused:
                self._await_writer()
                continue
            if self._ask_again:
                self._begin_writing()
            # What was polled for already is taken even while paused.
            first = self._consumer.poll(POLL_S)
            if first is not None:
                self._take([first, *self._consumer.consume(MAX_IMAGES - 1, 0)])
            self._settle()

    def close(self) -> None:
        """Wait a little for the batch that is being written, and leave the group; the rest comes again."""
        if self._writing is not None and self._writer.well:
            self._writer.idle.wait(LAST_WRITE_S)
        self._settle(submit=False)
        self._consumer.close()

    def _settle(self, *, submit: bool = True) -> None:
        """See what became of the batch that is being written, and hand over the next."""
        if self._writing is not None:
            if not self._writer.idle.is_set():
                return
            self._done(self._writing)
            self._writing = None
            self._pause(False)
        if self._batch.images:
            if not submit:
                return
            self._writing, self._batch = self._batch, Batch()
            self._writing_since = time.monotonic()
            self._writer.submit(self._writing.images)
        elif self._batch.next_offsets:  # bad records only
            self._done(self._batch)
            self._batch = Batch()

    def _await_writer(self) -> None:
        left = self._writing_since + PATIENCE_S - time.monotonic()
        if left <= 0:
            self._pause(True)
        else:
            self._writer.idle.wait(min(left, POLL_S))

    def _done(self, batch: Batch) -> None:
        self._intake.written(batch, time.time() * 1000)
        for partition, offset in batch.next_offsets.items():
            try:
                self._consumer.store_offsets(offsets=[TopicPartition(self._topic, partition, offset)])
            except KafkaException:
                # No longer ours: whoever has it now writes the same pictures once more.
                self._log.debug("partition is gone", partition=partition)

    def _take(self, messages: list[Message]) -> None:
        for message in messages:
            if (problem := message.error()) is not None:
                self._member.error(problem)
                continue
            self._intake.take(
                self._batch,
                cast(int, message.partition()),
                cast(int, message.offset()),
                message.value(),
                cast(Headers | None, message.headers()),
            )

    def _pause(self, paused: bool) -> None:
        if paused == self._paused:
            return
        self._paused = paused
        (self._consumer.pause if paused else self._consumer.resume)(self._assigned)

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned = [TopicPartition(place.topic, place.partition) for place in partitions]
        self._intake.begin()
        self._begin_writing()
        consumer.assign(partitions)
        if self._paused:
            consumer.pause(self._assigned)
        self._member.assigned(partitions)

    def _begin_writing(self) -> None:
        """Find out where the group is: one that has committed nothing has written nothing, so its store may be new."""
        self._ask_again = False
        committed: dict[int, int] = {}
        try:
            known = self._consumer.committed(self._assigned, timeout=ASK_BROKER_S) if self._assigned else []
            committed = {place.partition: place.offset for place in known if place.offset >= 0}
            self._ask_again = any(place.error for place in known)
        except KafkaException as error:
            self._ask_again = True
            self._member.error(error.args[0])
        self._intake.go_on(committed)
        if self._assigned and not self._ask_again:
            self._writer.begin(first=not committed)

    def _revoke(self, __: Consumer, partitions: list[TopicPartition]) -> None:
        # What is not handed over yet comes again, here or elsewhere.
        self._batch = Batch()
        self._assigned = []
        self._member.revoked(partitions)
