"""What the launchers make of their environment, with a java that only tells how it was called."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LAUNCHERS = ROOT / "services" / "kafka" / "bin"
JAVA = """\
#!/bin/sh
case "$*" in *ConfigCommand*)
  for word; do file=$word; done
  echo "$*" >> "$ASKED.users"
  cat "$file" >> "$ASKED.users"
  exit ;;
esac
case "$*" in *ZooKeeperMain*)
  echo asked >> "$ASKED"
  [ "$(wc -l < "$ASKED")" -ge 3 ] && echo "Node does not exist: /brokers/ids/2" || echo "ephemeralOwner = 0x1"
  exit ;;
esac
printf '%s\\n' "$@"
"""


class Machine:
    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.data = folder / "data"
        self.libs = folder / "libs"
        self.asked = folder / "asked"
        self.libs.mkdir()
        (self.libs / "jmx_prometheus_javaagent-9.jar").touch()
        java = folder / "java" / "bin" / "java"
        java.parent.mkdir(parents=True)
        java.write_text(JAVA)
        java.chmod(0o755)
        self.environment = {
            "PATH": os.environ["PATH"],
            "JAVA_HOME": str(folder / "java"),
            "ASKED": str(self.asked),
            "KAFKA_LIBS": str(self.libs),
            "POD_IP": "127.0.4.2",
            "POD_NAME": "any-2",
        }

    def run(self, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [LAUNCHERS / program],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def kafka(self, **environment: str) -> tuple[list[str], list[str]]:
        """The broker's command line and its server.properties."""
        needed = {
            "KAFKA_WORK_DIR": str(self.work),
            "KAFKA_LOG_DIRS": str(self.data),
            "KAFKA_ZOOKEEPER_CONNECT": "zk:2181",
        }
        done = self.run("kafka-server", **(needed | environment))
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines(), (self.work / "server.properties").read_text().splitlines()

    def zookeeper(self, **environment: str) -> tuple[list[str], list[str]]:
        """The server's command line and its zoo.cfg."""
        needed = {"ZOO_WORK_DIR": str(self.work), "ZOO_DATA_DIR": str(self.data), "ZOO_CLIENT_PORT": "2181"}
        done = self.run("zookeeper-server", **(needed | environment))
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines(), (self.work / "zoo.cfg").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_environment_becomes_server_properties(machine: Machine) -> None:
    __, lines = machine.kafka(
        KAFKA_MESSAGE_MAX_BYTES="1024",
        KAFKA_LISTENER_NAME_A___B_SASL__X="y",
        KAFKA_LISTENERS="PLAINTEXT://127.0.4.2:9092",
        KAFKA_LOG_LEVEL="DEBUG",
        KAFKA_HEAP_OPTS="-Xmx1g",
        NOT_KAFKA="z",
    )
    assert lines == sorted(
        [
            "broker.id=2",
            "message.max.bytes=1024",
            "listener.name.a-b.sasl_x=y",
            "listeners=PLAINTEXT://127.0.4.2:9092",
            f"log.dirs={machine.data}",
            "zookeeper.connect=zk:2181",
        ]
    )


def test_no_value_breaks_out_of_its_line(machine: Machine) -> None:
    __, lines = machine.kafka(KAFKA_A=r"back\slash & more", KAFKA_B="two\nlines\r", KAFKA_C=" space = in front")
    assert r"a=back\\slash & more" in lines
    assert r"b=two\nlines\r" in lines
    assert r"c=\ space = in front" in lines


def test_configuration_is_for_its_owner_only(machine: Machine) -> None:
    machine.kafka(KAFKA_SSL_KEYSTORE_PASSWORD="secret")
    assert stat.S_IMODE((machine.work / "server.properties").stat().st_mode) == 0o600
    assert stat.S_IMODE(machine.work.stat().st_mode) == 0o700


def test_java_is_told_heap_agent_and_options(machine: Machine) -> None:
    words, __ = machine.kafka(KAFKA_METRICS_PORT="9404", KAFKA_HEAP_OPTS="-Xms64m -Xmx1g", KAFKA_OPTS="-Da=1 -Db=2")
    assert {"-Xms64m", "-Xmx1g", "-Da=1", "-Db=2"} <= set(words)
    agents = [word for word in words if word.startswith("-javaagent:")]
    agent = f"-javaagent:{machine.libs}/jmx_prometheus_javaagent-9.jar=127.0.4.2:9404:"
    assert agents == [f"{agent}{LAUNCHERS.parent}/etc/jmx-kafka.yml"]
    assert words[-2:] == ["kafka.Kafka", str(machine.work / "server.properties")]
    assert not any(word.startswith("-javaagent:") for word in machine.kafka()[0])


@pytest.mark.parametrize(("name", "number"), [("kafka-0", "0"), ("kafka-12", "12"), ("kafka", "0"), ("kafka-x", "0")])
def test_broker_id_is_the_ordinal(machine: Machine, name: str, number: str) -> None:
    assert f"broker.id={number}" in machine.kafka(POD_NAME=name)[1]
    assert "broker.id=7" in machine.kafka(POD_NAME=name, KAFKA_BROKER_ID="7")[1]


def test_broker_is_known_elsewhere_by_a_port_of_its_own(machine: Machine) -> None:
    inside = {"KAFKA_LISTENERS": "PLAINTEXT://127.0.4.2:9092", "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://kafka-2:9092"}
    outside = {"KAFKA_EXTERNAL_PORT": "31000", "KAFKA_EXTERNAL_HOST": "cameras.example.org"}
    __, lines = machine.kafka(**inside, **outside)
    assert "listeners=PLAINTEXT://127.0.4.2:9092,EXTERNAL://127.0.4.2:31002" in lines
    assert "advertised.listeners=PLAINTEXT://kafka-2:9092,EXTERNAL://cameras.example.org:31002" in lines
    assert not any("external" in line.split("=")[0] for line in lines)
    __, lines = machine.kafka(**inside, **outside, KAFKA_EXTERNAL_BIND="0.0.0.0")
    assert "listeners=PLAINTEXT://127.0.4.2:9092,EXTERNAL://0.0.0.0:31002" in lines


def test_passwords_go_by_files(machine: Machine) -> None:
    users = 'broker=se"cret=\\1\ncctv=other secret'
    listeners = "SASL_SSL://127.0.4.2:9092,EXTERNAL://0.0.0.0:9093"
    words, lines = machine.kafka(KAFKA_USERS=users, KAFKA_LISTENERS=listeners, KAFKA_BROKER_ID="0")
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    # A backslash is doubled for JAAS, and once more for the file.
    login = rf'{module} username="broker" password="se\\"cret=\\\\1";'
    for listener in ("sasl_ssl", "external"):
        assert f"listener.name.{listener}.scram-sha-512.sasl.jaas.config={login}" in lines
    done = (machine.asked.parent / "asked.users").read_text().splitlines()
    assert [line for line in done if line.startswith("SCRAM")] == [
        r'SCRAM-SHA-512=iterations=8192,password=se"cret=\\1',
        "SCRAM-SHA-512=iterations=8192,password=other secret",
    ]
    assert [line.split("--entity-name ")[1].split()[0] for line in done if "--entity-name" in line] == [
        "broker",
        "cctv",
    ]
    assert not any("cret" in line for line in [*words, *(line for line in done if "--entity-name" in line)])
    assert not list(machine.work.glob("user.*"))


def test_one_broker_sets_the_passwords(machine: Machine) -> None:
    machine.kafka(KAFKA_USERS="broker=secret", KAFKA_LISTENERS="SASL_SSL://127.0.4.2:9092")
    assert not (machine.asked.parent / "asked.users").exists()


@pytest.mark.parametrize("files", [[], ["meta.properties"]])
def test_waits_for_the_session_of_a_killed_broker(machine: Machine, files: list[str]) -> None:
    machine.data.mkdir()
    for name in files:
        (machine.data / name).touch()
    words, __ = machine.kafka()
    assert words[0] == "kafka-server: waiting: ZooKeeper still has the session of the broker 2 that was killed"
    assert words[-2] == "kafka.Kafka"
    assert len(machine.asked.read_text().splitlines()) == 3


def test_does_not_ask_after_a_clean_stop(machine: Machine) -> None:
    machine.data.mkdir()
    for name in ("meta.properties", ".kafka_cleanshutdown"):
        (machine.data / name).touch()
    machine.kafka()
    assert not machine.asked.exists()


def test_environment_becomes_zoo_cfg(machine: Machine) -> None:
    words, lines = machine.zookeeper(
        ZOO_TICK_TIME="1000",
        ZOO_ADMIN__ENABLE_SERVER="false",
        ZOO_4LW__COMMANDS__WHITELIST="srvr",
        ZOO_CFG_EXTRA="quorumListenOnAllIPs=false\nx.y=z",
        ZOO_HEAP_OPTS="-Xmx64m",
    )
    assert sorted(lines) == sorted(
        [
            "tickTime=1000",
            "admin.enableServer=false",
            "4lw.commands.whitelist=srvr",
            "quorumListenOnAllIPs=false",
            "x.y=z",
            "clientPort=2181",
            f"dataDir={machine.data}",
        ]
    )
    assert "-Xmx64m" in words
    assert not (machine.data / "myid").exists()


def test_server_of_an_ensemble_listens_on_its_own_address(machine: Machine) -> None:
    servers = " ".join(f"server.{number}=zk-{number - 1}.zk:2888:3888" for number in (1, 2, 3))
    __, lines = machine.zookeeper(ZOO_SERVERS=servers)
    assert [line for line in lines if line.startswith("server.")] == [
        "server.1=zk-0.zk:2888:3888",
        "server.2=zk-1.zk:2888:3888",
        "server.3=127.0.4.2:2888:3888",
    ]
    assert (machine.data / "myid").read_text() == "3\n"


@pytest.mark.parametrize(
    ("program", "environment", "message"),
    [
        ("kafka-server", {}, "kafka-server: KAFKA_WORK_DIR is not set"),
        ("kafka-server", {"KAFKA_WORK_DIR": "{}", "KAFKA_LOG_DIRS": "{}"}, "KAFKA_ZOOKEEPER_CONNECT is not set"),
        ("zookeeper-server", {"ZOO_WORK_DIR": "{}"}, "ZOO_DATA_DIR is not set"),
        (
            "zookeeper-server",
            {"ZOO_WORK_DIR": "{}", "ZOO_DATA_DIR": "{}", "ZOO_CLIENT_PORT": "1", "KAFKA_LIBS": "/nowhere"},
            "KAFKA_LIBS=/nowhere: is no folder of jars",
        ),
    ],
)
def test_names_what_is_wrong(machine: Machine, program: str, environment: dict[str, str], message: str) -> None:
    done = machine.run(program, **{name: value.format(machine.work) for name, value in environment.items()})
    assert done.returncode == 78
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_users_are_known_to_who_speaks_plain_where_that_is_asked_for(machine: Machine) -> None:
    users = {"KAFKA_USERS": 'broker=se"cret\ncctv=a=b', "KAFKA_LISTENERS": "SASL_SSL://127.0.4.2:9092"}
    __, lines = machine.kafka(**users, KAFKA_SASL_ENABLED_MECHANISMS="SCRAM-SHA-512,PLAIN")
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    known = rf'{module} user_broker="se\\"cret" user_cctv="a=b";'
    assert f"listener.name.sasl_ssl.plain.sasl.jaas.config={known}" in lines
    __, lines = machine.kafka(**users, KAFKA_SASL_ENABLED_MECHANISMS="SCRAM-SHA-512")
    assert not any("PlainLoginModule" in line for line in lines)
