"""The services' images get to a registry of somebody's, and into a tar that a container engine loads."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checkout
import pytest
from user import User

SERVICES = sorted(path.parent.name for path in (checkout.ROOT / "services").glob("*/Dockerfile"))
PASSWORD = "push-me"
HASH = "$2b$04$dcUCN90zmdQ1BAj8CYd1Q.yMsIOzUH4bQnJNmlObUKTmdaXHMiRTO"
# What a service says that is started with nothing: it runs, and reads its environment.
SAYS = {
    "archiver": "KAFKA_BOOTSTRAP_SERVERS is not set",
    "consumer": "KAFKA_BOOTSTRAP_SERVERS is not set",
    "detection": "KAFKA_BOOTSTRAP_SERVERS is not set",
    "elasticsearch": "elasticsearch-server: ES_WORK_DIR is not set",
    "filebeat": "filebeat-shipper: KAFKA_BOOTSTRAP_SERVERS is not set",
    "indices": "ELASTICSEARCH_URL is not set",
    "kafka": "kafka-server: KAFKA_WORK_DIR is not set",
    "producer": "CAMERA_URL is not set",
    "topics": "TOPICS is not set",
    "ui": "ELASTICSEARCH_URL is not set",
    "video": "KAFKA_BOOTSTRAP_SERVERS is not set",
}


PROGRAMS = {
    "detection": "cctv-detect",
    "elasticsearch": "elasticsearch-server",
    "filebeat": "filebeat-shipper",
    "kafka": "kafka-server",
}


class Registry:
    """The bundle's registry, which speaks TLS and wants a password."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.folder = folder
        self._program = program
        self._log = folder / "registry.log"

    def __enter__(self) -> Registry:
        for kind, subject, more in (
            ("ca", "/CN=test authority", []),
            ("server", "/CN=registry", ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]),
        ):
            subprocess.run(
                [
                    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                    *("-days", "1", "-subj", subject, "-keyout", f"{kind}.key", "-out", f"{kind}.crt", *more),
                ],
                cwd=self.folder,
                check=True,
                capture_output=True,
            )
        (self.folder / "htpasswd").write_text(f"pusher:{HASH}\n")
        configuration = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "storage")}},
            "http": {"addr": "127.0.0.1:0", "tls": {"certificate": "server.crt", "key": "server.key"}},
            "auth": {"htpasswd": {"realm": "test", "path": str(self.folder / "htpasswd")}},
        }
        (self.folder / "config.yml").write_text(json.dumps(configuration))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, "serve", "config.yml"],
                cwd=self.folder,
                env=os.environ | {"OTEL_TRACES_EXPORTER": "none"},
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 60
        while not (found := re.search(r"listening on (127\.0\.0\.1:\d+)", self._log.read_text())):
            assert self._process.poll() is None and time.monotonic() < end, self._log.read_text()
            time.sleep(0.1)
        self.address = found[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def tags(self, name: str) -> list[str]:
        """The tags of an image."""
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, f"https://{self.address}", "pusher", PASSWORD)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPBasicAuthHandler(passwords),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.folder / "ca.crt"))),
        )
        with opener.open(f"https://{self.address}/v2/{name}/tags/list") as answer:
            found: list[str] = json.load(answer)["tags"]
        return found

    def pushes(self) -> int:
        """How many layers and images it was sent."""
        return len(re.findall(r'"(?:PUT) /v2/', self._log.read_text()))


@pytest.fixture
def registry(bundle: Path, tmp_path: Path) -> Iterator[Registry]:
    (tmp_path / "registry").mkdir()
    with Registry(bundle / "bin/registry", tmp_path / "registry") as made:
        yield made


Images = Callable[..., tuple[bool, str]]


@pytest.fixture
def images(root: User, bundle: Path) -> Images:
    """Run playbooks/images.yml; return whether it changed something, or failed with what."""

    def run(*more: str, fails: bool = False, **variables: Any) -> tuple[bool, str]:
        variables["bundle_cache_dir"] = root.environment["TEST_CACHE"] + "/bundle"
        done = subprocess.run(
            ["ansible-playbook", "playbooks/images.yml", "-vvv", *more, "-e", json.dumps(variables)],
            cwd=checkout.ROOT,
            env=root.environment | {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        said = done.stdout + done.stderr
        assert bool(done.returncode) == fails, said
        return " changed=0 " not in said, said

    return run


def test_a_registry_gets_what_it_lacks(registry: Registry, images: Images) -> None:
    site = {"image_registry": f"{registry.address}/site", "images_username": "pusher", "images_password": PASSWORD}
    trusted = site | {"images_ca_file": str(registry.folder / "ca.crt")}
    for refused, message in (
        (site, "certificate signed by unknown authority: set images_ca_file to"),
        (trusted | {"images_password": "not-it"}, "set images_username and images_password, or images_auth_file"),
        (trusted | {"image_registry": "127.0.0.1:1"}, "connection refused: see that this machine reaches it"),
        ({}, "neither image_registry nor images_dest is set"),
    ):
        for check in ((), ("--check",)):
            said = images(*check, fails=True, **refused)[1]
            assert message in said
            assert "not-it" not in said
    assert images("--check", **trusted)[0]
    assert registry.pushes() == 0
    changed, said = images(**trusted)
    assert changed
    assert PASSWORD not in said
    for name in SERVICES:
        assert len(registry.tags(f"site/cctv/{name}")) == 1
    sent = registry.pushes()
    assert sent
    for check in ((), ("--check",)):
        assert not images(*check, **trusted)[0]
    assert registry.pushes() == sent


def test_a_tar_is_loaded_and_its_images_run(root: User, images: Images) -> None:
    tar = root.folder / "images.tar"
    site = {"image_registry": "registry.example.org/site", "images_dest": str(tar)}
    assert images("--check", **site)[0]
    assert not tar.exists()
    assert images(**site)[0]
    assert not images(**site)[0]
    storage = ["--root", str(root.folder / "storage"), "--runroot", str(root.folder / "run")]

    def podman(*arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            ["podman", *storage, *arguments], env=root.environment, capture_output=True, text=True, check=False
        )
        assert not (check and done.returncode), done.stderr
        return done.stdout + done.stderr

    try:
        podman("load", "--input", str(tar))
        names = podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        assert sorted(name.split(":")[0] for name in names) == [
            f"registry.example.org/site/cctv/{name}" for name in SERVICES
        ]
        # The tests' root may not raise limits to what podman gives by default.
        limits = ["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=4096:4096"]
        safe = [
            *limits,
            "--rm",
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--network",
            "none",
            "--cap-drop",
            "all",
            "--pull",
            "never",
        ]
        for name, message in SAYS.items():
            image = next(each for each in names if f"/{name}:" in each)
            program = PROGRAMS.get(name, f"cctv-{name}")
            assert message in podman("run", *safe, image, program, check=False)
        serving = next(each for each in names if "/serving:" in each)
        said = podman("run", *safe, serving, "sh", "-c", "id -u; ls /models/imagenet/1; cctv-serving --version")
        assert said.split()[:2] == ["10001", "assets"]
        assert "TensorFlow Library: 2." in said
    finally:
        podman("rmi", "--all", "--force", check=False)
