"""What the launchers of Elasticsearch and Filebeat make of their environment, with programs that only tell of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

SERVICES = Path(__file__).resolve().parents[3] / "services"
TELL = '#!/bin/sh\nprintf "%s\\n" "$@"\n'
FILEBEAT = '#!/bin/sh\nprintf "%s" "$FILEBEAT_KAFKA_TLS|$FILEBEAT_KAFKA_PASSWORD|$FILEBEAT_KAFKA_CA"\n'


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.libs = folder / "libs"
        self.bin.mkdir()
        self.libs.mkdir()
        for name in ("lucene-core-8.jar", "elasticsearch-7.jar", "netty-common-4.jar", "transport-netty4-client-7.jar"):
            (self.libs / name).write_text(name)
        for name, text in (("java", TELL), ("filebeat", FILEBEAT)):
            self.program(name, text)
        self.environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "POD_IP": "127.0.4.2", "POD_NAME": "any-0"}

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, launcher: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [launcher],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def elasticsearch(self, **environment: str) -> subprocess.CompletedProcess[str]:
        # Tests may be root, which the launcher refuses.
        self.program("id", "#!/bin/sh\necho ${TEST_UID:-1000}\n")
        said = {
            "ELASTICSEARCH_LIBS": str(self.libs),
            "ES_WORK_DIR": str(self.folder / "work"),
            "ES_PATH_DATA": str(self.folder / "data"),
        }
        return self.run(SERVICES / "elasticsearch/bin/elasticsearch-server", **said | environment)

    def filebeat(self, **environment: str) -> subprocess.CompletedProcess[str]:
        said = {
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
            "KAFKA_DETECTIONS_TOPIC": "detections",
            "ELASTICSEARCH_URL": "http://127.0.0.1:9200",
            "FILEBEAT_TEMPLATE": '{"priority": 200}',
            "FILEBEAT_WORK_DIR": str(self.folder / "work"),
            "HTTP_PORT": "8080",
        }
        return self.run(SERVICES / "filebeat/bin/filebeat-shipper", **said | environment)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_environment_becomes_elasticsearchs_settings(machine: Machine) -> None:
    done = machine.elasticsearch(
        ES_NODE_STORE_ALLOW__MMAP="false", ES_HTTP_PORT="9201", ES_CLUSTER_NAME='a "b" \\c', ES_HEAP_OPTS="-Xmx77m"
    )
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load((machine.folder / "work/home/config/elasticsearch.yml").read_text())
    assert settings == {
        "cluster.name": 'a "b" \\c',
        "http.host": "127.0.4.2",
        "http.port": "9201",
        "node.name": "any-0",
        "node.store.allow_mmap": "false",
        "path.data": str(machine.folder / "data"),
    }
    assert "-Xmx77m" in done.stdout.splitlines()


def test_a_modules_jars_are_not_on_the_class_path(machine: Machine) -> None:
    words = machine.elasticsearch().stdout.splitlines()
    class_path = words[words.index("-cp") + 1].split(":")
    assert [Path(jar).name for jar in class_path] == ["elasticsearch-7.jar", "lucene-core-8.jar"]
    module = machine.folder / "work/home/modules/transport-netty4"
    assert {path.name for path in module.iterdir()} == {
        "netty-common-4.jar",
        "transport-netty4-client-7.jar",
        "plugin-descriptor.properties",
        "plugin-security.policy",
    }


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"ES_PATH_DATA": ""}, "ES_PATH_DATA is not set"),
        ({"TEST_UID": "0"}, "runs as root"),
        ({"ELASTICSEARCH_LIBS": "/nowhere"}, "ELASTICSEARCH_LIBS=/nowhere: is no folder of jars"),
        ({"JAVA_HOME": "/nowhere"}, "JAVA_HOME=/nowhere: has no bin/java"),
    ],
)
def test_elasticsearch_refuses_a_wrong_setting_by_one_line(
    machine: Machine, environment: dict[str, str], problem: str
) -> None:
    done = machine.elasticsearch(**environment)
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert problem in line


def test_filebeat_gets_a_password_as_it_reads_one(machine: Machine) -> None:
    done = machine.filebeat(
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_USERNAME="cctv",
        KAFKA_SASL_PASSWORD='[1, "2"], \\3',
        KAFKA_SSL_CA="-----BEGIN",
    )
    ca = machine.folder / "work/ca.pem"
    assert done.stdout == rf'true|"[1, \x222\x22], \x5c3"|{ca}'
    assert ca.read_text() == "-----BEGIN\n"
    assert (machine.folder / "work/template.json").read_text() == '{"priority": 200}'


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"ELASTICSEARCH_URL": ""}, "ELASTICSEARCH_URL is not set"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_SECURITY_PROTOCOL=SSL: expected PLAINTEXT or SASL_SSL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME is not set"),
    ],
)
def test_filebeat_refuses_a_wrong_setting_by_one_line(
    machine: Machine, environment: dict[str, str], problem: str
) -> None:
    done = machine.filebeat(**environment)
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert problem in line
