"""A host gets the files of a bundle: only those that it lacks, whole and verified, or none."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkout
import pytest

Place = Callable[..., dict[str, Any]]


def write_bundle(folder: Path, files: dict[str, bytes]) -> None:
    """Write a bundle of these files; those below bin/ are executable."""
    components = []
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        component: dict[str, Any] = {
            "type": "file",
            "name": name,
            "version": "v1",
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
        }
        if name.startswith("bin/"):
            component["properties"] = [{"name": "cctv:executable", "value": "true"}]
        components.append(component)
    properties = {"cctv:architecture": "amd64", "cctv:kubernetes_version": "v1.36.3", "cctv:debian": "bookworm"}
    metadata = {
        "component": {
            "name": "cctv-pipeline-bundle",
            "version": "1",
            "properties": [{"name": name, "value": value} for name, value in properties.items()],
        }
    }
    (folder / "bundle.json").write_text(json.dumps({"metadata": metadata, "components": components}))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a bundle of three files."""
    folder = tmp_path / "bundle"
    write_bundle(folder, {"bin/tool": b"tool 1", "deb/a.deb": b"a" * 3_000_000, "deb/b.deb": b"b"})
    return folder


@pytest.fixture
def place(tmp_path: Path, bundle: Path) -> Place:
    """Place files below tmp_path/host by the module, on this machine; returns the module's result."""

    def run(*options: str, files: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        host = tmp_path / "host"
        entries = files or [
            {"src": "bin/tool", "dest": f"{host}/bin/tool"},
            {"src": "deb/", "dest": f"{host}/deb/", "exclusive": True},
            {"content": "answer = 42\n", "dest": f"{host}/etc/tool.conf", "mode": "0600"},
        ]
        play = [
            {
                "hosts": "localhost",
                "gather_facts": False,
                "tasks": [
                    {
                        "cctv.pipeline.bundle_files": {"bundle": str(bundle), "files": entries},
                        "register": "placed",
                        "ignore_errors": True,
                    },
                    {
                        "ansible.builtin.copy": {
                            "content": "{{ placed | to_json }}",
                            "dest": f"{tmp_path}/result.json",
                        },
                        "check_mode": False,
                    },
                ],
            }
        ]
        (tmp_path / "play.json").write_text(json.dumps(play))
        ended = subprocess.run(
            ["ansible-playbook", "-c", "local", str(tmp_path / "play.json"), *options],
            cwd=checkout.ROOT,
            env=os.environ | {"ANSIBLE_NOCOLOR": "true"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        result: dict[str, Any] = json.loads((tmp_path / "result.json").read_text())
        return result | {"printed": ended.stdout}

    return run


def test_files_are_placed_once(place: Place, tmp_path: Path) -> None:
    host = tmp_path / "host"
    foretold = place("--check", "--diff")
    assert foretold["changed"] and not host.exists()
    assert "+answer = 42" in foretold["printed"]
    placed = place()
    assert placed["files"] == foretold["files"]
    assert (host / "bin/tool").read_bytes() == b"tool 1"
    assert (host / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (host / "etc/tool.conf").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (host / "deb").iterdir()) == ["a.deb", "b.deb"]
    again = place()
    assert not again["changed"] and again["files"] == []


def test_only_what_differs_is_mended(place: Place, tmp_path: Path) -> None:
    host = tmp_path / "host"
    place()
    untouched = (host / "deb/a.deb").stat()
    (host / "deb/b.deb").write_bytes(b"flipped")
    (host / "bin/tool").chmod(0o644)
    (host / "deb/stranger.deb").write_bytes(b"")
    mended = place()
    assert sorted(mended["files"]) == [f"{host}/bin/tool", f"{host}/deb/b.deb", f"{host}/deb/stranger.deb"]
    assert (host / "deb/b.deb").read_bytes() == b"b"
    assert (host / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert not (host / "deb/stranger.deb").exists()
    assert (host / "deb/a.deb").stat().st_mtime_ns == untouched.st_mtime_ns


def test_a_damaged_bundle_replaces_nothing(place: Place, bundle: Path, tmp_path: Path) -> None:
    place()
    host = tmp_path / "host"
    (host / "deb/b.deb").write_bytes(b"old")
    (bundle / "deb/b.deb").write_bytes(b"B")
    failed = place()
    assert failed["failed"]
    assert f"{host}/deb/b.deb arrived with another SHA-256" in failed["msg"]
    assert (host / "deb/b.deb").read_bytes() == b"old"
    assert sorted(path.name for path in (host / "deb").iterdir()) == ["a.deb", "b.deb"]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"src": "bin/absent", "dest": "/x"}, "src=bin/absent: the bundle has no such file"),
        ({"src": "none/", "dest": "/x/"}, "src=none/: the bundle has no such file"),
        ({"src": "bin/tool", "dest": "x"}, "dest=x: expected an absolute path"),
        ({"dest": "/x"}, "dest=/x: expected either src or content"),
        ({"dest": "/x", "src": "bin/tool", "content": ""}, "dest=/x: expected either src or content"),
    ],
)
def test_what_cannot_be_placed_is_refused(place: Place, entry: dict[str, str], told: str) -> None:
    failed = place(files=[entry])
    assert failed["failed"] and told in failed["msg"]


def test_what_is_no_bundle_is_refused(place: Place, bundle: Path) -> None:
    (bundle / "bundle.json").write_text("{}")
    failed = place()
    assert failed["failed"] and "bundle.json is not a bundle's manifest" in failed["msg"]
