"""ZooKeeper and Kafka exactly as the roles describe them, and modules as Ansible calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.local_pods import Store
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.integration.conftest import Daemon, free_port, wait_for

ROOT = Path(__file__).resolve().parents[3]
RENDER = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars_files:
    - {root}/roles/zookeeper/defaults/main.yml
    - {root}/roles/kafka/defaults/main.yml
    - {root}/roles/kafka/vars/main.yml
  tasks:
    - ansible.builtin.copy:
        dest: "{{{{ rendered_to }}}}"
        content: >-
          {{{{ {{'zookeeper': __zookeeper | from_yaml_all | list | cctv.pipeline.complete('zookeeper', 'cctv'),
                'kafka': __kafka | from_yaml_all | list | cctv.pipeline.complete('kafka', 'cctv'),
                'topics': __kafka_all_topics, 'bootstrap_servers': __kafka_bootstrap_servers}} | to_json }}}}
      vars:
        __zookeeper: "{{{{ lookup('template', '{root}/roles/zookeeper/templates/zookeeper.yaml.j2') }}}}"
        __kafka: "{{{{ lookup('template', '{root}/roles/kafka/templates/kafka.yaml.j2') }}}}"
"""


def call_module(module: str, check: bool = False, diff: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run a module of the collection; returns what it says."""
    said = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.cctv.pipeline.plugins.modules.{module}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "collections"), *sys.path])},
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments | {"_ansible_check_mode": check, "_ansible_diff": diff}}),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert said.stdout, said.stderr
    return json.loads(said.stdout)  # type: ignore[no-any-return]


class Stack:
    """ZooKeeper servers and brokers from the roles' manifests, as the local runtime translates them."""

    def __init__(self, folder: Path, libs: Path, **variables: Any) -> None:
        network = "127.77"
        ports = ("zookeeper_port", "zookeeper_peer_port", "zookeeper_election_port", "zookeeper_metrics_port")
        ports += ("kafka_port", "kafka_metrics_port")
        self.variables = {port: free_port() for port in ports} | {"local_runtime_network": network} | variables
        self.libs = libs
        self.folder = folder
        self.rendered = self._render()
        applied = {
            component: {"manifests": self.rendered[component], "environment": {"KAFKA_LIBS": str(libs)}}
            for component in ("zookeeper", "kafka")
        }
        self.daemons = {
            pod.name: Daemon(
                pod.argv[0], folder / pod.name, {key: self._placed(pod.name, value) for key, value in pod.env.items()}
            )
            for pod in Store(applied, network).pods()
        }
        self.bootstrap_servers: str = self.rendered["bootstrap_servers"]
        self.topics: list[dict[str, Any]] = self.rendered["topics"]
        self.admin = AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "reconnect.backoff.max.ms": 500, "log_level": 0}
        )

    def _render(self) -> Any:
        playbook, rendered = self.folder / "render.yml", self.folder / "rendered.json"
        playbook.write_text(RENDER.format(root=ROOT))
        variables = json.dumps(self.variables | {"rendered_to": str(rendered)})
        subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(playbook), "-e", variables],
            env=os.environ
            | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable},
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        return json.loads(rendered.read_text())

    def _placed(self, pod: str, value: str) -> str:
        if not value.startswith("\0"):
            return value
        __, volume, rest = value.split("\0")
        return f"{self.folder}/{pod}/{volume}{rest}"

    def __getitem__(self, name: str) -> Daemon:
        return self.daemons[name]

    def start(self) -> None:
        """Start what does not run, and wait until all brokers are there."""
        for daemon in self.daemons.values():
            if not daemon.alive():
                daemon.start()
        wait_for("usable Kafka", self.usable, 60)

    def usable(self) -> bool:
        """Whether all brokers are registered and answer."""
        for name, daemon in self.daemons.items():
            assert daemon.alive(), f"{name} has ended:\n{daemon.log[-4000:]}"
        return self.brokers() == sum(name.startswith("kafka-") for name in self.daemons)

    def brokers(self) -> int:
        """How many brokers there are, by one that answers."""
        try:
            return len(self.admin.list_topics(timeout=1.0).brokers)
        except KafkaException:
            return 0

    def close(self) -> None:
        """Kill all."""
        for daemon in self.daemons.values():
            daemon.kill()


@pytest.fixture(scope="session")
def call() -> Callable[..., dict[str, Any]]:
    """Calls a module."""
    return call_module


@pytest.fixture(scope="module")
def stack_of(tmp_path_factory: pytest.TempPathFactory, kafka_libs: Path) -> Iterator[Callable[..., Stack]]:
    """Makes stacks with variables of the roles; ends them."""
    stacks: list[Stack] = []

    def make(**variables: Any) -> Stack:
        stacks.append(Stack(tmp_path_factory.mktemp("stack"), kafka_libs, **variables))
        return stacks[-1]

    try:
        yield make
    finally:
        for stack in stacks:
            stack.close()
