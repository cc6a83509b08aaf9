"""A member of a consumer group, as ``/readyz``, the metrics and the log tell of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, TopicPartition
from prometheus_client import REGISTRY, CollectorRegistry

from cctv_common.health import Health
from cctv_common.log import Log
from cctv_common.metrics import KafkaLag

STATISTICS_MS = 2000


class Member:
    """Ready while it was given partitions and a broker answers; each error is logged once until all is well again."""

    def __init__(
        self, stage: str, topic: str, health: Health, log: Log, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._stage = stage
        self._health = health
        self._log = log
        self._lag = KafkaLag(stage, topic, registry)
        self._assigned = False
        self._told: set[int] = set()
        health.set_ready("kafka", "no partitions assigned yet")

    def callbacks(self) -> dict[str, Any]:
        """What librdkafka is to be configured with."""
        return {"statistics.interval.ms": STATISTICS_MS, "stats_cb": self._statistics, "error_cb": self.error}

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Say that these partitions are its own from now on."""
        self._assigned = bool(partitions)
        self._health.set_ready("kafka", "" if partitions else f"others of the group {self._stage} have all partitions")
        self._told.clear()
        self._log.info("partitions assigned", partitions=[place.partition for place in partitions])

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Say that these partitions are its own no longer."""
        self._assigned = False
        self._health.set_ready("kafka", "partitions are being assigned anew")
        self._log.info("partitions revoked", partitions=[place.partition for place in partitions])

    def error(self, error: KafkaError) -> None:
        """Say what is wrong; librdkafka itself tries again for ever."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._health.set_ready("kafka", "no broker answers")
        if error.code() not in self._told:
            self._told.add(error.code())
            self._log.warning("kafka", problem=error.str(), note="said once until it is well again")

    def _statistics(self, text: str) -> None:
        said: dict[str, Any] = json.loads(text)
        # Names that begin with a number are real brokers; others are bootstrap and coordinator aliases.
        if self._assigned and any(b["state"] == "UP" and b["nodeid"] >= 0 for b in said["brokers"].values()):
            self._health.set_ready("kafka")
            self._told.clear()
        self._lag.heard(said)
