"""Compares what is wanted with what is there, and makes good what can be."""

from __future__ import annotations

from collections.abc import Sequence

from cctv_common.conditions import Conditions
from cctv_common.health import Health
from cctv_common.log import Log
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from cctv_topics.cluster import Cluster, There, Unable
from cctv_topics.settings import Topic


class Keeper:
    """Keeps topics as they should be; ready when they are, and one that cannot be stops no other.

    Partitions are never removed and replicas never moved: a topic that would need it is left as it is.
    """

    def __init__(
        self,
        wanted: Sequence[Topic],
        cluster: Cluster,
        health: Health,
        log: Log,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._wanted = wanted
        self._cluster = cluster
        self._health = health
        self._log = log
        self._right = Gauge("cctv_topic_as_wanted", "1 when the topic is as described", ["topic"], registry=registry)
        self._lag = Gauge(
            "cctv_kafka_group_lag_records",
            "Records of the topic that the group has not committed",
            ["group", "topic"],
            registry=registry,
        )
        self._changes = Counter("cctv_topic_changes", "What was made of topics", ["topic", "change"], registry=registry)
        self._conditions = Conditions(("kafka", *(f"topic {topic.name}" for topic in wanted)), health, log)

    def look(self) -> bool:
        """Look at all topics once and make good what differs; whether all were found to be as they should."""
        try:
            state = self._cluster.read([topic.name for topic in self._wanted])
        except Unable as unable:
            self._conditions.say("kafka", f"no broker answers: {unable}")
            return False
        self._conditions.say("kafka", "")
        right = True
        for topic in self._wanted:
            self._health.beat()
            try:
                problem = self._settle(topic, state.topics.get(topic.name), state.brokers)
            except Unable as unable:
                problem = str(unable)
            self._conditions.say(f"topic {topic.name}", problem)
            self._right.labels(topic.name).set(not problem)
            right = right and not problem
        self._look_at_groups()
        return right

    def _look_at_groups(self) -> None:
        """Count what groups have left: of some, as Filebeat, nobody else knows."""
        try:
            lags = self._cluster.lags([topic.name for topic in self._wanted])
        except Unable:  # no topic is worse for it
            return
        self._lag.clear()
        for (group, topic), records in lags.items():
            self._lag.labels(group, topic).set(records)

    def _settle(self, topic: Topic, there: There | None, brokers: int) -> str:
        """Bring one topic nearer to what it should be; why it is not there yet, or an empty string."""
        if there is None:
            if brokers < topic.replication_factor:
                return (
                    f"replication_factor is {topic.replication_factor}, but {brokers} brokers answer; waiting for more"
                )
            self._cluster.create(topic)
            self._changed(topic, "created")
            return "just created"
        refused = refusal(topic, there)
        if refused:
            return refused
        differing = {key: value for key, value in topic.config.items() if there.config.get(key) != value}
        if topic.partitions > there.partitions:
            self._cluster.grow(topic)
            self._changed(topic, "partitions added", before=there.partitions, now=topic.partitions)
        if differing:
            self._cluster.configure(topic.name, differing)
            self._changed(topic, "configured", config=differing)
        if topic.partitions > there.partitions or differing:
            return "just changed"
        if there.leaderless:
            return f"{there.leaderless} of its {there.partitions} partitions have no leader"
        return ""

    def _changed(self, topic: Topic, change: str, **more: object) -> None:
        self._changes.labels(topic.name, change).inc()
        self._log.info(f"topic {change}", topic=topic.name, **more)


def refusal(topic: Topic, there: There) -> str:
    """What of the difference cannot be made good, or an empty string."""
    if topic.partitions < there.partitions:
        return (
            f"partitions is {topic.partitions}, but it has {there.partitions}, and Kafka cannot remove any;"
            f" expected {there.partitions} or more, or another name"
        )
    if topic.replication_factor != there.replication_factor:
        return (
            f"replication_factor is {topic.replication_factor}, but it has {there.replication_factor};"
            " its replicas have to be moved by kafka-reassign-partitions"
        )
    return ""
