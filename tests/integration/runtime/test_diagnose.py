"""The archive for support, of a real local runtime: what is in it, and that no secret is."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tarfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

from tests.integration.runtime.test_local_runtime import ROOT, Machine, settings

PASSWORD = 'geh"eim/sehr?ä&7x'
CAMERA = "kam-era:pass7wort"
PLANTED = "unbekannt4711"
"""Secret, but in no Secret."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        made.supervisor("stopped")


def forms(value: str) -> set[str]:
    encoded = base64.b64encode(value.encode()).decode()
    quoted = {urllib.parse.quote(value), urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value)}
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], encoded, *quoted}


def test_an_archive_tells_all_but_secrets(machine: Machine, tmp_path: Path) -> None:
    said = " ".join(
        [
            "cameras are well",
            *forms(PASSWORD),
            f"rtsp://{CAMERA}@192.0.2.8/2",
            f"password={PLANTED}",
            f"Basic {PLANTED}",
        ]
    )
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"PASSWORD": PASSWORD, "CAMERA_URL": f"rtsp://{CAMERA}@192.0.2.7/1", "SASL_USERNAME": "hello"},
    }
    machine.supervisor()
    env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "PASSWORD"}}}]
    secrets = base64.b64encode(json.dumps([secret]).encode()).decode()
    machine.apply(settings(SAYS=said), machine.app("app", env=env), settings("other"), secrets=secrets)
    log = tmp_path / "state/logs/app-0.log"
    until("word of the app", lambda: log.exists() and "says" in log.read_text())
    assert PASSWORD in log.read_text()

    archive = tmp_path / "support/found.tar.gz"
    variables = {
        "diagnose_dest": str(archive),
        "local_runtime_state": machine.dirs["state_dir"],
        "local_runtime_data": machine.dirs["data_dir"],
        "local_runtime_python": sys.executable,
    }
    done = subprocess.run(
        [
            *("ansible-playbook", "-i", "localhost,", "-c", "local"),
            *("-e", json.dumps(variables), ROOT / "playbooks/diagnose.yml"),
        ],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(archive) in done.stdout
    assert archive.stat().st_mode & 0o777 == 0o600

    with tarfile.open(archive) as opened:
        found = {
            member.name.removeprefix("found/"): opened.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in opened.getmembers()
        }
    everything = done.stdout + done.stderr + "".join(found.values())
    for hidden in (*forms(PASSWORD), *forms(CAMERA), "pass7wort", PLANTED):
        assert hidden not in everything
    assert base64.b64encode(PASSWORD.encode())[:-4].decode() not in everything

    assert "cameras are well" in found["logs/app-0.log"]
    assert "@192.0.2.8/2" in found["logs/app-0.log"]
    assert '"hello"' in found["manifests/c.json"]
    kinds = [manifest["kind"] for manifest in json.loads(found["manifests/c.json"])]
    assert sorted(kinds) == ["ConfigMap", "ConfigMap", "Deployment", "Secret"]
    assert re.search(r"app-0 +running +yes", found["status.txt"])
    assert json.loads(found["processes.json"])["app-0"]["resident_bytes"] > 1_000_000
    assert json.loads(found["machine.json"])["disks"][machine.dirs["state_dir"]]["free"] > 0
    version = re.search(r"(?m)^version: (.*)$", (ROOT / "galaxy.yml").read_text())
    assert version is not None
    assert json.loads(found["versions.json"])["cctv.pipeline"] == version[1]
    assert "spawned: 'app-0'" in found["logs/supervisord.log"]
    # It answers /metrics like anything else: with its whole environment.
    assert "SAYS=" in found["metrics/app-0.txt"]
    assert found["problems.txt"].startswith("cameras.json: ")
