"""The playbook that writes a Compose file: what it leaves in its folder, and what it shows."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkout
import pytest
import yaml

Write = Callable[..., str]
PASSWORD = "hunter2"


def camera(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"id": name, "url": f"rtsp://me:{password}@192.0.2.1/{name}"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Run the playbook for some cameras; returns what it printed."""

    def run(*options: str, cameras: list[dict[str, str]], **variables: Any) -> str:
        variables |= {"cameras": cameras, "compose_dir": str(tmp_path / "compose")}
        ended = subprocess.run(
            ["ansible-playbook", "playbooks/compose.yml", "-vv", "--diff", *options, "-e", json.dumps(variables)],
            cwd=checkout.ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    return run


def services(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "compose.yaml").read_text())["services"])


def test_the_folder_has_what_the_manifests_say_and_nothing_else(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "compose"
    assert "compose.yaml" in write("--check", cameras=[camera("gate"), camera("yard")])
    assert not folder.exists()

    shown = write(cameras=[camera("gate"), camera("yard")])
    assert f"podman-compose -f {folder}/compose.yaml up -d" in " ".join(shown.split())
    assert PASSWORD not in shown
    assert {"producer-gate-0", "producer-yard-0", "kafka-0", "zookeeper-0", "tf-serving-0", "video-0"} <= set(
        services(folder)
    )
    holders = {path for path in folder.rglob("*") if path.is_file() and PASSWORD in path.read_text()}
    assert {str(path.relative_to(folder)) for path in holders} == {"env/producer-gate-0.env", "env/producer-yard-0.env"}
    for path in (folder / "env", *holders):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0

    assert "changed=0" in write(cameras=[camera("gate"), camera("yard")])

    before = services(folder)
    shown = write(cameras=[camera("gate", password="hunter3")])
    assert not re.search("hunter[23]", shown)
    after = services(folder)
    assert not (folder / "env/producer-yard-0.env").exists()
    assert "producer-yard-0" not in after
    # Compose makes that container anew whose description is another one.
    assert after["producer-gate-0"] != before["producer-gate-0"]
    assert after["kafka-0"] == before["kafka-0"]


def test_what_cannot_work_is_told_and_nothing_written(tmp_path: Path) -> None:
    variables = {"cameras": [{"id": "gate", "url": "gopher://192.0.2.1/"}], "compose_dir": str(tmp_path / "compose")}
    ended = subprocess.run(
        ["ansible-playbook", "playbooks/compose.yml", "-e", json.dumps(variables)],
        cwd=checkout.ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "cameras[0].url" in ended.stdout
    assert not (tmp_path / "compose").exists()
