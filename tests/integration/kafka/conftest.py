"""ZooKeeper, Kafka and the topics service exactly as the roles describe them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.local_pods import Pod, Store
from cctv_common.kafka import client_config
from cctv_common.settings import KafkaSettings
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from ports import free_port
from waiting import until

from tests.integration.conftest import Daemon

ROOT = Path(__file__).resolve().parents[3]
SOURCES = os.pathsep.join(str(ROOT / "services" / name) for name in ("common", "topics"))
RENDER = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars_files:
    - {root}/roles/zookeeper/defaults/main.yml
    - {root}/roles/kafka/defaults/main.yml
    - {root}/roles/kafka/vars/main.yml
  tasks:
    - ansible.builtin.include_tasks: {root}/roles/kafka/tasks/tls.yml
      when: __kafka_tls_made
    - ansible.builtin.copy:
        dest: "{{{{ rendered_to }}}}"
        content: >-
          {{{{ {{'zookeeper': __zookeeper | from_yaml_all | list | cctv.pipeline.complete('zookeeper', 'cctv'),
                'kafka': (__kafka | from_yaml_all | list + __topics | from_yaml_all | list)
                         | cctv.pipeline.complete('kafka', 'cctv'),
                'bootstrap_servers': __kafka_bootstrap_servers}} | to_json }}}}
      vars:
        __zookeeper: "{{{{ lookup('template', '{root}/roles/zookeeper/templates/zookeeper.yaml.j2') }}}}"
        __kafka: "{{{{ lookup('template', '{root}/roles/kafka/templates/kafka.yaml.j2') }}}}"
        __topics: "{{{{ lookup('template', '{root}/roles/kafka/templates/topics.yaml.j2') }}}}"
"""


class Topics(Daemon):
    """The topics service, from the checkout's sources."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__("cctv-topics", folder, {**environment, "PYTHONPATH": SOURCES})
        self.command = [sys.executable, "-m", "cctv_topics"]

    def unmet(self) -> dict[str, str]:
        """Why it is not ready; nothing when it is."""
        url = f"http://{self.environment['HTTP_HOST']}:{self.environment['HTTP_PORT']}/readyz"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            said = json.load(error)
        except OSError as error:
            return {"service": str(error)}
        return dict(said["unmet"])

    def metrics(self) -> str:
        """What it counts."""
        url = f"http://{self.environment['HTTP_HOST']}:{self.environment['HTTP_PORT']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())

    def ready(self) -> bool:
        """Whether the topics are as described."""
        assert self.alive(), f"the topics service has ended:\n{self.log[-4000:]}"
        return not self.unmet()

    def said(self, event: str) -> list[dict[str, Any]]:
        """Its log's lines of one kind."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


class Stack:
    """ZooKeeper servers and brokers from the roles' manifests, as the local runtime translates them."""

    def __init__(self, folder: Path, libs: Path, **variables: Any) -> None:
        network = "127.77"
        ports = ("zookeeper_port", "zookeeper_peer_port", "zookeeper_election_port", "zookeeper_metrics_port")
        ports += ("kafka_port", "kafka_metrics_port", "kafka_topics_port")
        self.variables = {port: free_port() for port in ports} | {"local_runtime_network": network} | variables
        self.libs = libs
        self.folder = folder
        self.rendered = self._render()
        applied = {
            component: {"manifests": self.rendered[component], "environment": {"KAFKA_LIBS": str(libs)}}
            for component in ("zookeeper", "kafka")
        }
        self.daemons = {pod.name: self._daemon(pod) for pod in Store(applied, network).pods()}
        self.bootstrap_servers: str = self.rendered["bootstrap_servers"]
        # As any client in the pipeline: the services read these by their environment.
        names = ("KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SSL_CA")
        said = {name.lower(): self.topics.environment[name] for name in names if name in self.topics.environment}
        self.settings = KafkaSettings(kafka_bootstrap_servers=self.bootstrap_servers, **said)
        self.admin = AdminClient(
            client_config(self.settings, "tests") | {"reconnect.backoff.max.ms": 500, "log_level": 0}
        )

    def _daemon(self, pod: Pod) -> Daemon:
        folder = self.folder / pod.name
        for volume, files in pod.files.items():
            for name, content in files.items():
                (folder / volume).mkdir(parents=True, exist_ok=True)
                (folder / volume / name).write_text(content)
        environment = {key: self._placed(pod.name, value) for key, value in pod.env.items()}
        if pod.workload == "kafka-topics":
            return Topics(folder, environment)
        return Daemon(pod.argv[0], folder, environment)

    def _render(self) -> Any:
        playbook, rendered = self.folder / "render.yml", self.folder / "rendered.json"
        playbook.write_text(RENDER.format(root=ROOT))
        variables = json.dumps(self.variables | {"rendered_to": str(rendered)})
        subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(playbook), "-e", variables],
            env=os.environ
            | {"XDG_DATA_HOME": str(self.folder / "data")}
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

    @property
    def topics(self) -> Topics:
        """The topics service."""
        daemon = self["kafka-topics-0"]
        assert isinstance(daemon, Topics)
        return daemon

    def start(self) -> None:
        """Start what does not run, and wait until all brokers are there, and the topics."""
        for daemon in self.daemons.values():
            if not daemon.alive():
                daemon.start()
        until("usable Kafka", self.usable, 180)
        until("topics as described", self.topics.ready, 180)

    def usable(self) -> bool:
        """Whether all brokers are registered and answer."""
        for name, daemon in self.daemons.items():
            assert daemon.alive(), f"{name} has ended:\n{daemon.log[-4000:]}"
        return self.brokers() == sum(daemon.program == "kafka-server" for daemon in self.daemons.values())

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
