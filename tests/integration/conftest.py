"""A real ZooKeeper, Kafka and Elasticsearch for the integration tests, run by the product's own launchers."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from ports import free_port
from waiting import until

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "services" / "kafka"
LAUNCHERS = SERVICE / "bin"
MAX_FRAME_BYTES = 4 * 1024 * 1024
LARGEST_RECORD = MAX_FRAME_BYTES + 64 * 1024


def jars(service: str = "kafka") -> Path:
    """The folder of a service's jars: CCTV_KAFKA_LIBS or the like, or a cache that the role's own module fills."""
    if named := os.environ.get(f"CCTV_{service.upper()}_LIBS"):
        return Path(named)
    lock = (ROOT / "services" / service / "maven.lock.yml").read_text()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cctv-pipeline-tests"
    libs = cache / service / hashlib.sha256(lock.encode()).hexdigest()[:12] / "libs"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{service}.lock").open("w") as lock_file:
        # The first of several test processes fetches for all.
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        if not libs.is_dir():
            arguments = {"artifacts": yaml.safe_load(lock)["maven_artifacts"], "dest": str(libs)}
            subprocess.run(
                [
                    *(sys.executable, "-m", "ansible", "adhoc", "localhost", "--inventory", "localhost,"),
                    *(
                        "--connection",
                        "local",
                        "--module-name",
                        "cctv.pipeline.maven_libs",
                        "--args",
                        json.dumps(arguments),
                    ),
                ],
                env=os.environ
                | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable},
                check=True,
            )
    return libs


class Daemon:
    """A program that can be killed, hung and started again; its log lies in its folder."""

    def __init__(self, program: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.program = program
        self.command: list[str | Path] = [LAUNCHERS / program]
        self.folder = folder
        self.environment = dict(environment)
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it; does not wait until it is usable."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                # Ends with the tests also when these are killed.
                ["setpriv", "--pdeathsig", "KILL", *self.command],
                env=inherited | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def alive(self) -> bool:
        """Whether its process runs, or hangs."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self) -> None:
        """SIGTERM; returns when it is gone, and fails when that takes longer than 30 s."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)

    def stop(self) -> None:
        """SIGSTOP: it hangs, its sockets stay open; returns when no thread of it runs any more."""
        os.kill(self.pid, signal.SIGSTOP)
        threads = Path(f"/proc/{self.pid}/task")
        until("stop", lambda: all(") T " in (each / "stat").read_text() for each in threads.iterdir()))

    def cont(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def answers(self, path: str = "/-/healthy", timeout_s: float = 1.0) -> bool:
        """Whether the HTTP server inside its JVM answers, as a liveness probe would ask."""
        host = self.environment["POD_IP"]
        port = self.environment.get("KAFKA_METRICS_PORT") or self.environment["ZOO_METRICS_PORT"]
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=timeout_s) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def zookeeper_daemon(folder: Path, libs: Path, host: str = "127.0.0.1", **more: str) -> Daemon:
    """A ZooKeeper server, not started yet."""
    return Daemon(
        "zookeeper-server",
        folder,
        {
            "KAFKA_LIBS": str(libs),
            "POD_IP": host,
            "POD_NAME": "zookeeper-0",
            "ZOO_WORK_DIR": str(folder / "work"),
            "ZOO_DATA_DIR": str(folder / "data"),
            "ZOO_CLIENT_PORT": str(free_port(host)),
            "ZOO_CLIENT_PORT_ADDRESS": host,
            "ZOO_METRICS_PORT": str(free_port(host)),
            "ZOO_TICK_TIME": "1000",
            "ZOO_ADMIN__ENABLE_SERVER": "false",
            "ZOO_PRE_ALLOC_SIZE": "4096",
        }
        | more,
    )


def kafka_daemon(
    folder: Path, libs: Path, zookeeper: str, ordinal: int = 0, host: str = "127.0.0.1", **more: str
) -> Daemon:
    """A broker, not started yet."""
    port = free_port(host)
    return Daemon(
        "kafka-server",
        folder,
        {
            "KAFKA_LIBS": str(libs),
            "POD_IP": host,
            "POD_NAME": f"kafka-{ordinal}",
            "KAFKA_WORK_DIR": str(folder / "work"),
            "KAFKA_LOG_DIRS": str(folder / "data"),
            "KAFKA_ZOOKEEPER_CONNECT": zookeeper,
            "KAFKA_ZOOKEEPER_SESSION_TIMEOUT_MS": "6000",
            "KAFKA_ZOOKEEPER_CONNECTION_TIMEOUT_MS": "60000",
            "KAFKA_LISTENERS": f"PLAINTEXT://{host}:{port}",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{host}:{port}",
            "KAFKA_METRICS_PORT": str(free_port(host)),
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "KAFKA_MESSAGE_MAX_BYTES": str(LARGEST_RECORD),
            "KAFKA_REPLICA_FETCH_MAX_BYTES": str(LARGEST_RECORD),
            "KAFKA_SOCKET_REQUEST_MAX_BYTES": str(2 * LARGEST_RECORD + 1024 * 1024),
            "KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS": "1000",
            "KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE": str(2 * 1024 * 1024),
        }
        | more,
    )


class Elasticsearch(Daemon):
    """An Elasticsearch node, from copies of what it is made of where tests are root: it refuses to be."""

    def __init__(self, folder: Path) -> None:
        home, self.port = folder / "home", free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(
            "elasticsearch-server",
            folder,
            {
                "ES_WORK_DIR": str(folder / "work"),
                "ES_PATH_DATA": str(folder / "data"),
                "ES_PATH_REPO": str(folder / "snapshots"),
                "ES_HTTP_PORT": str(self.port),
                "ES_TRANSPORT_HOST": "127.0.0.1",
                "ES_DISCOVERY_TYPE": "single-node",
                "ES_NODE_STORE_ALLOW__MMAP": "false",
                "ES_CLUSTER_ROUTING_ALLOCATION_DISK_THRESHOLD__ENABLED": "false",
                "ES_HEAP_OPTS": "-Xms256m -Xmx256m",
                "POD_IP": "127.0.0.1",
                "POD_NAME": "elasticsearch-0",
            },
        )
        shutil.copytree(ROOT / "services/elasticsearch/bin", home / "bin")
        shutil.copytree(ROOT / "services/elasticsearch/etc", home / "etc")
        shutil.copytree(jars("elasticsearch"), home / "libs")
        self.command = [home / "bin/elasticsearch-server"]
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (folder, *folder.rglob("*")):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            user = ("--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups")
            self.command = ["setpriv", *user, "--pdeathsig", "KILL", *self.command]

    def start(self) -> None:
        """Start it if it does not run, and wait until it has what it had before."""
        if not self.alive():
            super().start()
        until("answer of Elasticsearch", self.ready, 180)

    def ready(self) -> bool:
        """Whether it answers, with all that is in it."""
        assert self.alive(), f"Elasticsearch has ended:\n{self.log[-4000:]}"
        try:
            return bool(self.ask("/_cluster/health?wait_for_no_initializing_shards=true&timeout=1s")["status"] != "red")
        except OSError:
            return False

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Its answer; an HTTPError, which is an OSError, when it refuses."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method or ("GET" if body is None else "POST"),
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def put_template(self) -> None:
        """Have the product's mapping."""
        template = ROOT / "services/indices/cctv_indices/template.json"
        self.ask("/_index_template/detections", json.loads(template.read_text()), "PUT")


class Kafka:
    """One broker and its ZooKeeper; what is killed or stopped in a test is brought back by its end."""

    max_frame_bytes = MAX_FRAME_BYTES
    videocam_topic = "videocam"
    videodisplay_topic = "videodisplay"

    def __init__(self, folder: Path, libs: Path) -> None:
        self.zookeeper = zookeeper_daemon(folder / "zookeeper", libs)
        self.broker = kafka_daemon(folder / "kafka", libs, f"127.0.0.1:{self.zookeeper.environment['ZOO_CLIENT_PORT']}")
        self.bootstrap_servers = self.broker.environment["KAFKA_ADVERTISED_LISTENERS"].removeprefix("PLAINTEXT://")
        self.admin = AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "reconnect.backoff.max.ms": 500, "log_level": 0}
        )

    def start(self, timeout_s: float = 90.0) -> None:
        """Start what does not run, and wait until the broker answers."""
        for daemon in (self.zookeeper, self.broker):
            if not daemon.alive():
                daemon.start()
        self.wait_usable(timeout_s)

    def kill(self) -> None:
        """SIGKILL the broker."""
        self.broker.kill()

    def stop(self) -> None:
        """SIGSTOP the broker."""
        self.broker.stop()

    def cont(self) -> None:
        """SIGCONT the broker."""
        self.broker.cont()

    def usable(self) -> bool:
        """Whether the broker is registered and answers a client."""
        for daemon in (self.zookeeper, self.broker):
            assert daemon.alive(), f"{daemon.program} has ended:\n{daemon.log[-4000:]}"
        try:
            return bool(self.admin.list_topics(timeout=1.0).brokers)
        except KafkaException:
            return False

    def wait_usable(self, timeout_s: float = 90.0) -> None:
        """Return once the broker answers."""
        until("answer of the broker", self.usable, timeout_s)

    def create_topic(self, name: str, partitions: int = 1, **config: str) -> None:
        """Create a topic and wait until it has leaders; one that exists is left alone."""
        config = {"max.message.bytes": str(LARGEST_RECORD)} | {k.replace("_", "."): v for k, v in config.items()}
        if name not in self.admin.list_topics(timeout=10).topics:
            self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(30)

        def led() -> bool:
            topic = self.admin.list_topics(timeout=10).topics.get(name)
            return (
                topic is not None
                and len(topic.partitions) >= partitions
                and all(part.leader >= 0 for part in topic.partitions.values())
            )

        until(f"leader of the topic {name}", led)

    def close(self) -> None:
        """Kill both, whatever state they are in."""
        for daemon in (self.broker, self.zookeeper):
            daemon.kill()


@pytest.fixture(scope="session")
def kafka_libs() -> Path:
    """The folder of Kafka's jars."""
    return jars()


@pytest.fixture(scope="session")
def kafka_session(kafka_libs: Path) -> Iterator[Kafka]:
    """The session's one Kafka; tests take ``kafka``."""
    with tempfile.TemporaryDirectory(prefix="cctv-kafka-", ignore_cleanup_errors=True) as folder:
        kafka = Kafka(Path(folder), kafka_libs)
        try:
            kafka.start()
            for topic in (kafka.videocam_topic, kafka.videodisplay_topic):
                kafka.create_topic(topic)
            yield kafka
        finally:
            kafka.close()


@pytest.fixture
def kafka(kafka_session: Kafka) -> Iterator[Kafka]:
    """A Kafka with the topics videocam and videodisplay; what the test did to it is undone."""
    try:
        yield kafka_session
    finally:
        for daemon in (kafka_session.zookeeper, kafka_session.broker):
            if daemon.alive():
                daemon.cont()
        kafka_session.start()


@pytest.fixture(scope="session")
def elasticsearch_session() -> Iterator[Elasticsearch]:
    """The session's one Elasticsearch; tests take ``elasticsearch``."""
    with tempfile.TemporaryDirectory(prefix="cctv-elasticsearch-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        node = Elasticsearch(Path(folder) / "node")
        try:
            node.start()
            yield node
        finally:
            node.kill()


@pytest.fixture
def elasticsearch(elasticsearch_session: Elasticsearch) -> Iterator[Elasticsearch]:
    """An Elasticsearch; what the test did to its process is undone."""
    try:
        yield elasticsearch_session
    finally:
        if elasticsearch_session.alive():
            elasticsearch_session.cont()
        elasticsearch_session.start()
