"""The topics that the brokers have, and changes to them."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cctv_common.kafka import client_config
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from cctv_topics.settings import Settings, Topic

# A hung broker takes the connection and says nothing: several short tries find one that comes back.
TIMEOUT_S = 5.0


class Unable(Exception):
    """The brokers did not do, or not say, what they were asked."""


@dataclass(frozen=True)
class There:
    """One topic, as it is."""

    partitions: int
    replication_factor: int
    leaderless: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class State:
    """What the brokers have."""

    brokers: int
    topics: Mapping[str, There]


class Cluster:
    """Kafka, as its administrator sees it; every call takes seconds at most, and raises Unable."""

    def __init__(self, settings: Settings) -> None:
        self._refused = ""
        # An outage is told once by who uses this, and not by each attempt to connect.
        self._admin = AdminClient(client_config(settings, "cctv-topics") | {"log_level": 0, "error_cb": self._heard})

    def _heard(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            self._refused = str(error.str())

    def read(self, names: list[str]) -> State:
        """How many brokers there are, and those of the topics ``names`` that exist."""
        try:
            metadata = self._admin.list_topics(timeout=TIMEOUT_S)
        except KafkaException as error:
            self._admin.poll(0)  # which is when it hears of errors
            raise Unable(self._refused or _text(error)) from None
        self._refused = ""
        found = {name: metadata.topics[name].partitions for name in names if name in metadata.topics}
        found = {name: partitions for name, partitions in found.items() if partitions}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in found]
        configs: dict[str, dict[str, str]] = {}
        if resources:
            for resource, future in self._admin.describe_configs(resources, request_timeout=TIMEOUT_S).items():
                configs[resource.name] = {key: entry.value for key, entry in _result(future).items()}
        return State(
            len(metadata.brokers),
            {
                name: There(
                    partitions=len(partitions),
                    replication_factor=len(partitions[0].replicas),
                    leaderless=sum(partition.leader < 0 for partition in partitions.values()),
                    config=configs[name],
                )
                for name, partitions in found.items()
            },
        )

    def lags(self, names: list[str]) -> dict[tuple[str, str], int]:
        """How many records of each topic in ``names`` each group has left, of the partitions it has committed to."""
        listed = _result(self._admin.list_consumer_groups(request_timeout=TIMEOUT_S))
        done: dict[tuple[str, str, int], int] = {}
        for group in (said.group_id for said in listed.valid):
            asked = [ConsumerGroupTopicPartitions(group)]
            (future,) = self._admin.list_consumer_group_offsets(asked, request_timeout=TIMEOUT_S).values()
            for place in _result(future).topic_partitions:
                if place.topic in names and place.offset >= 0:
                    done[group, place.topic, place.partition] = place.offset
        latest: Any = OffsetSpec
        ends = {TopicPartition(topic, partition): latest.latest() for __, topic, partition in done}
        last: dict[tuple[str, int], int] = {}
        for place, future in (self._admin.list_offsets(ends, request_timeout=TIMEOUT_S) if ends else {}).items():
            last[place.topic, place.partition] = _result(future).offset
        lags: dict[tuple[str, str], int] = {}
        for (group, topic, partition), offset in done.items():
            # A topic that was made anew ends before what was committed of the one before.
            lags[group, topic] = lags.get((group, topic), 0) + max(0, last[topic, partition] - offset)
        return lags

    def create(self, topic: Topic) -> None:
        """Make a topic."""
        new = NewTopic(topic.name, topic.partitions, topic.replication_factor, config=topic.config)
        (future,) = self._admin.create_topics([new], operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S).values()
        _result(future)

    def grow(self, topic: Topic) -> None:
        """Raise a topic to its number of partitions."""
        (future,) = self._admin.create_partitions(
            [NewPartitions(topic.name, topic.partitions)], operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S
        ).values()
        _result(future)

    def configure(self, name: str, config: Mapping[str, str]) -> None:
        """Set some of a topic's configuration."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in sorted(config.items())
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        (future,) = self._admin.incremental_alter_configs([resource], request_timeout=TIMEOUT_S).values()
        _result(future)


def _result(future: concurrent.futures.Future[Any]) -> Any:
    try:
        return future.result(2 * TIMEOUT_S)
    except KafkaException as error:
        raise Unable(_text(error)) from None
    except concurrent.futures.TimeoutError:
        raise Unable("the brokers do not answer") from None


def _text(error: KafkaException) -> str:
    return str(error.args[0].str() or error.args[0].name())
