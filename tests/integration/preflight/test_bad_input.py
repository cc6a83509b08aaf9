"""What cannot work is refused before anything starts, all of it at once, by the names that people wrote."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkout
import pytest

Refuse = Callable[..., list[str]]


@pytest.fixture
def refusals(tmp_path: Path) -> Refuse:
    """Run the preflight with some variables; returns the problems that it tells."""

    def run(**variables: Any) -> list[str]:
        environment = os.environ | {"XDG_DATA_HOME": str(tmp_path / "data"), "XDG_STATE_HOME": str(tmp_path / "state")}
        variables["local_runtime_user_home"] = str(tmp_path / "home")  # what root looks at instead of XDG's folders
        ended = subprocess.run(
            ["ansible-playbook", "playbooks/preflight.yml", "-e", json.dumps(variables)],
            cwd=checkout.ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert not {"data", "state", "home"} & {path.name for path in tmp_path.iterdir()}
        if ended.returncode == 0:
            return []
        assert "changed=0" in ended.stdout
        told = re.search(r"because of (\d+) problems?:\n((?: +- .*\n)+)", ended.stdout)
        assert told, ended.stdout
        problems = [line.strip().removeprefix("- ") for line in told[2].splitlines()]
        assert len(problems) == int(told[1])
        return problems

    return run


@pytest.fixture
def busy_port() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


FREE = {
    "video_port": 28163, "tf_serving_grpc_port": 28500, "tf_serving_rest_port": 28501, "kafka_port": 28092,
    "kafka_metrics_port": 28404, "zookeeper_port": 28181, "zookeeper_metrics_port": 28405,
}  # fmt: skip


def test_a_good_configuration_has_no_problem(refusals: Refuse) -> None:
    assert refusals(**FREE) == []


def test_all_problems_are_told_at_once(refusals: Refuse, busy_port: int, tmp_path: Path) -> None:
    model = tmp_path / "no model"
    (model / "1").mkdir(parents=True)
    cameras = [{"id": "gate", "url": "gopher://192.0.2.1/"}, {"id": "gate", "url": "sample:bikes"}]
    problems = refusals(
        **FREE | {"video_port": busy_port, "kafka_port": FREE["zookeeper_port"]},
        cameras=cameras,
        kafka_version="4.1.0",
        kafka_security_protocol="SASL_SSL",
        kafka_broker_password="hunter2",
        kafka_client_password="of enough letters",
        tf_serving_model_path=str(model),
        local_runtime_disk_mebibytes=10**9,
        local_runtime_memory_mebibytes=10**9,
        local_runtime_network="10.0",
    )
    for expected in (
        r"cameras\[0\]\.url is 'gopher://.*expected rtsp://",
        r"cameras\[1\]\.id is 'gate'.*expected an id of its own",
        r"kafka_version=4\.1\.0: Kafka 4 and later cannot run with ZooKeeper; expected 3\.9\.",
        r"the password of the Kafka user broker: expected 8 or more printable(?!.*hunter2)",
        r"tf_serving_model_path=.*no model: .*no SavedModel; expected a folder",
        rf"video_port={busy_port}: .*already in use.*expected a free port",
        rf"zookeeper_port={FREE['zookeeper_port']} and kafka_port=.*: expected a port of its own for each",
        r"XDG_DATA_HOME=.*: \d+ MiB are free there; expected 1000000000 MiB",
        r"memory: \d+ MiB are available; expected 1000\d+ MiB",
        r"local_runtime_network=10\.0: expected the first two octets of loopback addresses",
    ):
        (problem,) = [line for line in problems if re.match(expected, line)]
        problems.remove(problem)
    assert problems == []


def test_a_python_that_cannot_run_the_services_is_refused(refusals: Refuse, tmp_path: Path) -> None:
    python = tmp_path / "python2"
    python.write_text("#!/bin/sh\necho 2.7\necho 'ImportError: No module named venv' >&2\nexit 1\n")
    python.chmod(0o755)
    version, venv = refusals(**FREE, local_runtime_python_executable=str(python))
    assert re.match(r"local_runtime_python_executable=.*: version 2\.7; expected Python 3\.11 to 3\.13", version)
    assert "apt install python3-venv" in venv


def test_a_named_java_of_the_wrong_version_is_refused(refusals: Refuse, tmp_path: Path) -> None:
    java = tmp_path / "java/bin/java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'openjdk version \"24.0.1\"' >&2\n")
    java.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and folder.name.startswith(("pytest-", "popen-", "test_")):
            folder.chmod(0o755)  # root refuses a Java that the workloads' user cannot reach
    assert refusals(**FREE, java_home=str(tmp_path / "java")) == [
        f"java_home={tmp_path}/java: is Java 24; expected the home of a Java 17 or 21"
    ]
