"""The pipeline as containers of one machine, by podman-compose: from images to predicted pictures, and to nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import checkout
import pytest
import waiting
import yaml
from containers import podman
from user import User

PROJECT = "cctv-compose-test"
CAMERAS = {"bikes", "carphone", "photos"}  # the samples that are shown when no camera is set
# Each look runs podman.
until = partial(waiting.until, timeout_s=120, every_s=0.2)


class Project:
    """A Compose project that is run by podman-compose."""

    def __init__(self, root: User) -> None:
        self._root = root
        self._environment: dict[str, str] = {}
        self._registry = ""
        self.folder = root.folder / "compose"

    def write(self, registry: str) -> None:
        """Write the Compose file, for images that ``registry`` serves; no way leads out of the containers' network."""
        self._registry = registry
        settings = self._root.make("containers")
        # The tests' root may not raise limits to what podman gives by default.
        (settings / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]\n'
        )
        (settings / "registries.conf").write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
        self._environment = {
            "CONTAINERS_CONF": str(settings / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(settings / "registries.conf"),
        }
        variables = {
            "compose_dir": str(self.folder),
            "compose_network": {"internal": True},
            "image_registry": registry,
            "workload_namespace": PROJECT,
        }
        self._root.run(
            "ansible-playbook", "playbooks/compose.yml", "-e", json.dumps(variables),
            cwd=checkout.ROOT, log="compose.log",
        )  # fmt: skip

    def services(self) -> list[str]:
        """The names of its services."""
        return sorted(yaml.safe_load((self.folder / "compose.yaml").read_text())["services"])

    def compose(self, *arguments: str) -> None:
        """Run podman-compose."""
        self._root.run("podman-compose", *arguments, cwd=self.folder, log="compose.log", **self._environment)

    def end(self) -> None:
        """Remove all that is there of it."""
        # All at once Kafka would wait for a ZooKeeper that has gone already.
        self.compose("--parallel", "1", "down", "--volumes", "--rmi", "all")

    def inspect(self, service: str) -> dict[str, Any]:
        """What podman knows of a service's container."""
        return dict(json.loads("\n".join(podman("inspect", f"{PROJECT}_{service}_1")))[0])

    def healthy(self, service: str) -> bool:
        """Run a container's health check once; podman runs them by systemd, which may not be there."""
        check = ["podman", "healthcheck", "run", f"{PROJECT}_{service}_1"]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0

    def cameras(self) -> dict[str, Any]:
        """What the video service says of each camera; nothing while it does not answer."""
        (network,) = self.inspect("video-0")["NetworkSettings"]["Networks"].values()
        try:
            with urllib.request.urlopen(f"http://{network['IPAddress']}:30163/cameras", timeout=3) as answer:
                return {camera["id"]: camera for camera in json.load(answer)["cameras"]}
        except OSError:
            return {}

    def left(self) -> list[str]:
        """What is there of it: containers, volumes, networks, images."""
        mine = ("--filter", f"label=io.podman.compose.project={PROJECT}")
        return [
            *podman("ps", "--all", *mine, "--format", "{{.Names}}"),
            *podman("volume", "ls", "--filter", f"name=^{PROJECT}_", "--format", "{{.Name}}"),
            *podman("network", "ls", "--filter", f"name=^{PROJECT}_", "--format", "{{.Name}}"),
            *podman("images", "--filter", f"reference={self._registry}/*/*", "--format", "{{.Repository}}"),
        ]


@pytest.fixture
def registry(root: User, bundle: Path) -> Iterator[str]:
    """The bundle's images, served on this machine alone."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "http": {"addr": address},
        "storage": {
            "filesystem": {"rootdirectory": str(bundle / "images")},
            "maintenance": {"readonly": {"enabled": True}},
        },
    }
    (root.folder / "registry.yml").write_text(yaml.safe_dump(settings))
    with (root.folder / "registry.log").open("w") as log:
        served = subprocess.Popen(
            [bundle / "bin/registry", "serve", root.folder / "registry.yml"], stdout=log, stderr=log
        )
    try:
        until("answer of the registry", lambda: served.poll() is None and _listens(address))
        yield address
    finally:
        served.terminate()
        served.wait()


def _listens(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/v2/", timeout=3):
            return True
    except OSError:
        return False


@pytest.fixture
def project(root: User) -> Iterator[Project]:
    made = Project(root)
    yield made
    if made.left():
        made.end()


def test_pictures_of_every_camera_flow_and_come_back(project: Project, registry: str) -> None:
    project.write(registry)
    project.compose("up", "--detach")
    until(
        "predicted frames of every camera",
        lambda: (
            {name for name, camera in project.cameras().items() if camera["state"] == "live" and camera["label"]}
            == CAMERAS
        ),
    )
    for service in project.services():
        until(f"health of {service}", lambda service=service: project.healthy(service))

    killed = project.inspect("consumer-0")["State"]["Pid"]
    os.kill(killed, signal.SIGKILL)
    until("other process", lambda: project.inspect("consumer-0")["State"]["Pid"] not in (0, killed))
    before = project.cameras()
    until(
        "frames of every camera again",
        lambda: all(camera["frames"] > before[name]["frames"] + 3 for name, camera in project.cameras().items()),
    )

    project.end()
    assert project.left() == []
