#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_topic
short_description: Make Kafka topics be as described
version_added: 1.0.0
description:
  - Creates topics, adds partitions to them and sets their configuration, many topics in one call.
  - Waits until the brokers answer and are as many as the topics need, and then until every partition has a leader.
  - Partitions are never removed, and the replication factor of a topic that exists is never changed; both are refused.
author: The cctv.pipeline contributors (@cctv-pipeline)
requirements:
  - confluent-kafka >= 2.2
options:
  bootstrap_servers:
    description: C(host:port) of one or more brokers, separated by commas.
    type: str
    required: true
  topics:
    description: The topics.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The topic's name.
        type: str
        required: true
      partitions:
        description: How many partitions it has.
        type: int
        default: 1
      replication_factor:
        description: How many brokers hold each partition.
        type: int
        default: 1
      config:
        description: Configuration of the topic, such as C(retention.ms). What is not named is left as it is.
        type: dict
        default: {}
  state:
    description: Whether the topics should be there. Of a topic that should not, only the name counts.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description: Seconds within which the brokers must answer, and the topics be usable.
    type: int
    default: 60
  client_config:
    description: Further settings of the client, by librdkafka's names, such as C(security.protocol).
    type: dict
    default: {}
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: The brokers are asked whether they would take each change.
  diff_mode:
    description: Returns details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Have a topic for frames that nobody wants after a minute
  cctv.pipeline.kafka_topic:
    bootstrap_servers: 127.0.0.1:9092
    topics:
      - name: videocam
        partitions: 2
        config:
          retention.ms: 60000
          segment.ms: 10000

- name: Have it no more
  cctv.pipeline.kafka_topic:
    bootstrap_servers: 127.0.0.1:9092
    topics:
      - name: videocam
    state: absent
"""

RETURN = r"""
topics:
  description: The topics as they are now, or would be in check mode, by name.
  returned: success
  type: dict
  sample:
    videocam:
      partitions: 2
      replication_factor: 1
      config:
        retention.ms: "60000"
changed_topics:
  description: Names of the topics that were changed, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

import time
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

KAFKA_ERROR = None
try:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import (
        AdminClient,
        AlterConfigOpType,
        ConfigEntry,
        ConfigResource,
        NewPartitions,
        NewTopic,
    )
except ImportError:
    KAFKA_ERROR = traceback.format_exc()

PAUSE_S = 0.1


class Failed(Exception):
    """Something that the user has to know."""


def as_text(value):
    """Return a configuration's value as Kafka writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def refusals(wanted, current):
    """Return a line for each difference that cannot be made good."""
    for name, topic in sorted(wanted.items()):
        if topic["partitions"] < 1 or topic["replication_factor"] < 1:
            yield "topic %s: partitions and replication_factor are %d and %d, expected 1 or more" % (
                name,
                topic["partitions"],
                topic["replication_factor"],
            )
        there = current.get(name)
        if not there:
            continue
        if topic["partitions"] < there["partitions"]:
            yield (
                "topic %s: partitions is %d, but it has %d, and Kafka cannot remove any; expected %d or more, or another name"
                % (
                    name,
                    topic["partitions"],
                    there["partitions"],
                    there["partitions"],
                )
            )
        if topic["replication_factor"] != there["replication_factor"]:
            yield "topic %s: replication_factor is %d, but it has %d; moving replicas is not done by this module" % (
                name,
                topic["replication_factor"],
                there["replication_factor"],
            )


def changes(topic, there):
    """Return the configuration's entries that differ."""
    return {key: value for key, value in topic["config"].items() if there["config"].get(key) != value}


class Topics:
    """The topics of one cluster, within a deadline."""

    def __init__(self, bootstrap_servers, client_config, timeout):
        self.bootstrap_servers = bootstrap_servers
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.last_error = ""
        settings = {"bootstrap.servers": bootstrap_servers, "reconnect.backoff.max.ms": 1000, "log_level": 0}
        settings.update(client_config)
        settings["error_cb"] = self._heard
        try:
            self.admin = AdminClient(settings)
        except KafkaException as error:
            raise Failed("client_config: %s" % error.args[0].str()) from error

    def _heard(self, error):
        self.last_error = error.str()

    def left(self):
        """Return the seconds until the deadline, at least a moment."""
        return max(self.deadline - time.monotonic(), PAUSE_S)

    def _wait(self, condition, problem):
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > self.deadline:
                raise Failed(problem())
            time.sleep(PAUSE_S)

    def _metadata(self):
        try:
            # A hung broker takes the connection and says nothing: several short tries find one that comes back.
            return self.admin.list_topics(timeout=min(self.left(), 5))
        except KafkaException as error:
            self.last_error = self.last_error or error.args[0].str()
            return None

    def wait_for_brokers(self, count):
        """Return the cluster's metadata, once ``count`` brokers are registered."""
        seen = {"brokers": 0}

        def enough():
            metadata = self._metadata()
            if metadata is None:
                return None
            seen["brokers"] = len(metadata.brokers)
            return metadata if seen["brokers"] >= count else None

        def problem():
            if seen["brokers"]:
                return "%d brokers answer at %s after %d s, but replication_factor wants %d" % (
                    seen["brokers"],
                    self.bootstrap_servers,
                    self.timeout,
                    count,
                )
            return "no broker answers at %s within %d s%s" % (
                self.bootstrap_servers,
                self.timeout,
                ": " + self.last_error if self.last_error else "",
            )

        return self._wait(enough, problem)

    def _results(self, futures, what):
        problems = []
        for key, future in futures.items():
            try:
                future.result(self.left() + 5)
            except KafkaException as error:
                name = key if isinstance(key, str) else key.name
                problems.append("topic %s: %s: %s" % (name, what, error.args[0].str() or error.args[0].name()))
        if problems:
            raise Failed("; ".join(problems))
        return {key: future.result() for key, future in futures.items()}

    def read(self, metadata, names):
        """Return those of the topics ``names`` that exist, in the form of the result."""
        there = [name for name in names if name in metadata.topics and metadata.topics[name].partitions]
        if not there:
            return {}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in there]
        described = self._results(
            self.admin.describe_configs(resources, request_timeout=self.left()), "its configuration cannot be read"
        )
        configs = {
            resource.name: {key: entry.value for key, entry in entries.items()}
            for resource, entries in described.items()
        }
        return {
            name: {
                "partitions": len(metadata.topics[name].partitions),
                "replication_factor": len(metadata.topics[name].partitions[0].replicas),
                "config": configs[name],
            }
            for name in there
        }

    def create(self, topics, dry):
        """Create topics (name -> description)."""
        new = [
            NewTopic(
                name, num_partitions=t["partitions"], replication_factor=t["replication_factor"], config=t["config"]
            )
            for name, t in sorted(topics.items())
        ]
        self._results(
            self.admin.create_topics(
                new, operation_timeout=self.left(), request_timeout=self.left(), validate_only=dry
            ),
            "cannot be created",
        )

    def grow(self, topics, dry):
        """Raise topics (name -> description) to their number of partitions."""
        new = [NewPartitions(name, topic["partitions"]) for name, topic in sorted(topics.items())]
        self._results(
            self.admin.create_partitions(
                new, operation_timeout=self.left(), request_timeout=self.left(), validate_only=dry
            ),
            "cannot have more partitions",
        )

    def configure(self, entries, dry):
        """Set configuration (name -> key -> value)."""
        resources = [
            ConfigResource(
                ConfigResource.Type.TOPIC,
                name,
                incremental_configs=[
                    ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                    for key, value in sorted(config.items())
                ],
            )
            for name, config in sorted(entries.items())
        ]
        self._results(
            self.admin.incremental_alter_configs(resources, request_timeout=self.left(), validate_only=dry),
            "cannot be configured",
        )

    def delete(self, names):
        """Delete topics, and wait until they are gone."""
        self._results(
            self.admin.delete_topics(sorted(names), operation_timeout=self.left(), request_timeout=self.left()),
            "cannot be deleted",
        )

        def gone():
            metadata = self._metadata()
            return metadata is not None and not set(names) & set(metadata.topics)

        self._wait(gone, lambda: "after %d s there are still topics that were deleted" % self.timeout)

    def wait_for_leaders(self, topics):
        """Return once every partition of ``topics`` (name -> description) has a leader."""
        missing = []

        def led():
            metadata = self._metadata()
            if metadata is None:
                return False
            missing[:] = [
                name
                for name, topic in sorted(topics.items())
                if name not in metadata.topics
                or len(metadata.topics[name].partitions) < topic["partitions"]
                or any(partition.leader < 0 for partition in metadata.topics[name].partitions.values())
            ]
            return not missing

        self._wait(
            led, lambda: "after %d s partitions have no leader, of topics: %s" % (self.timeout, ", ".join(missing))
        )


def shown(topics, wanted):
    """Return topics with no more configuration than what ``wanted`` names."""
    out = {}
    for name, topic in sorted(topics.items()):
        config = {key: topic["config"].get(key) for key in sorted(wanted[name]["config"])}
        out[name] = dict(topic, config=config)
    return out


def present(cluster, wanted, dry):
    """Make the topics ``wanted`` be there; return (before, after, names of changed topics)."""
    metadata = cluster.wait_for_brokers(max(topic["replication_factor"] for topic in wanted.values()))
    current = cluster.read(metadata, wanted)
    problems = list(refusals(wanted, current))
    if problems:
        raise Failed("; ".join(problems))
    new = {name: topic for name, topic in wanted.items() if name not in current}
    grown = {
        name: topic
        for name, topic in wanted.items()
        if name in current and topic["partitions"] > current[name]["partitions"]
    }
    configured = {name: changes(topic, current[name]) for name, topic in wanted.items() if name in current}
    configured = {name: config for name, config in configured.items() if config}
    # What the brokers would refuse is found before anything changes.
    for apply in (True,) if dry else (True, False):
        if new:
            cluster.create(new, apply)
        if grown:
            cluster.grow(grown, apply)
        if configured:
            cluster.configure(configured, apply)
    if not dry:
        cluster.wait_for_leaders(wanted)
    return shown(current, wanted), shown(wanted, wanted), sorted(set(new) | set(grown) | set(configured))


def absent(cluster, wanted, dry):
    """Make the topics ``wanted`` not be there; return (before, after, names of changed topics)."""
    metadata = cluster.wait_for_brokers(1)
    current = cluster.read(metadata, wanted)
    if current and not dry:
        cluster.delete(current)
    return shown(current, wanted), {}, sorted(current)


def main():
    topic = {
        "name": {"type": "str", "required": True},
        "partitions": {"type": "int", "default": 1},
        "replication_factor": {"type": "int", "default": 1},
        "config": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(
        argument_spec={
            "bootstrap_servers": {"type": "str", "required": True},
            "topics": {"type": "list", "elements": "dict", "required": True, "options": topic},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "timeout": {"type": "int", "default": 60},
            "client_config": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    if KAFKA_ERROR:
        module.fail_json(msg=missing_required_lib("confluent-kafka"), exception=KAFKA_ERROR)
    wanted = {}
    for entry in module.params["topics"]:
        if entry["name"] in wanted:
            module.fail_json(msg="topics names %s twice" % entry["name"])
        config = {key: as_text(value) for key, value in (entry["config"] or {}).items()}
        wanted[entry["name"]] = {
            "partitions": entry["partitions"],
            "replication_factor": entry["replication_factor"],
            "config": config,
        }
    if not wanted:
        module.exit_json(changed=False, topics={}, changed_topics=[])
    make = present if module.params["state"] == "present" else absent
    try:
        cluster = Topics(module.params["bootstrap_servers"], module.params["client_config"], module.params["timeout"])
        before, after, changed = make(cluster, wanted, module.check_mode)
    except Failed as error:
        module.fail_json(msg=str(error))
    except KafkaException as error:
        module.fail_json(msg=error.args[0].str())
    result = {"changed": bool(changed), "topics": after, "changed_topics": changed}
    if module._diff:
        result["diff"] = {"before": before, "after": after}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
